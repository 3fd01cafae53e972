"""The script engine for Python."""

from __future__ import annotations

from trimtab.sandbox.python.engine import PythonEngine, PythonInstance

__all__ = ["PythonEngine", "PythonInstance"]
