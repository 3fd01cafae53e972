"""JavaScript and TypeScript scripts, on dukpy (QuickJS-ng)."""

from trimtab.sandbox.javascript.engine import JavaScriptEngine

__all__ = ["JavaScriptEngine"]
