"""The languages that come with trimtab: JavaScript (and TypeScript), and Python."""

from __future__ import annotations

from trimtab.api import ScriptEngine, hookimpl


@hookimpl
def trimtab_script_engines() -> list[ScriptEngine]:
    """Add both. Imported here and not above: the host process finds plugins and never runs a script."""
    from trimtab.plugins.lofka import Lofka
    from trimtab.sandbox.javascript import JavaScriptEngine
    from trimtab.sandbox.python import PythonEngine

    return [JavaScriptEngine(Lofka), PythonEngine()]
