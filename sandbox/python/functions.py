"""The functions of a script that the engine calls: what they are, and where they are defined."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import CodeType
from typing import Any, NoReturn

from trimtab.errors import Fault, ScriptError
from trimtab.sandbox.python.faults import Place


@dataclass(frozen=True, slots=True)
class ScriptFunction:
    """One function of a script. ``what`` names it in messages; ``texts`` are the script's own files by name."""

    script: str
    what: str
    function: Callable[..., Any]
    texts: Mapping[str, str]

    @property
    def signature(self) -> inspect.Signature:
        """What it takes."""
        return inspect.signature(self.function)

    @property
    def is_async(self) -> bool:
        """Whether a call gives a coroutine, also through decorators made with ``functools.wraps``."""
        inner = inspect.unwrap(self.function)
        return inspect.iscoroutinefunction(inner) or inspect.iscoroutinefunction(type(inner).__call__)

    @property
    def is_generator(self) -> bool:
        """Whether a call gives a generator."""
        inner = inspect.unwrap(self.function)
        return inspect.isgeneratorfunction(inner) or inspect.isasyncgenfunction(inner)

    def takes(self, *arguments: None) -> bool:
        """Whether it can be called with that many arguments."""
        try:
            self.signature.bind(*arguments)
        except TypeError:
            return False
        return True

    def refuse(self, expected: str, got: str, advice: str) -> NoReturn:
        """Say why the script cannot be taken."""
        raise self.error(f"expected {expected}, got {got}; {advice}")

    def error(self, message: str) -> ScriptError:
        """Return an error with the place of the definition."""
        return ScriptError(Fault("ScriptError", f"{self.what}: {message}", *self.place()))

    def place(self) -> Place:
        """Return where the ``def`` is: the first line of the code is that of the first decorator."""
        code = getattr(inspect.unwrap(self.function), "__code__", None)
        if not isinstance(code, CodeType):
            return Place(self.script)
        first = code.co_firstlineno
        lines = self.texts.get(code.co_filename, "").split("\n")[first - 1 :]
        definition = re.compile(rf"[ \t]*(async[ \t]+)?def[ \t]+{re.escape(code.co_name)}\b")
        numbers = (number for number, line in enumerate(lines, first) if definition.match(line))
        return Place(code.co_filename, next(numbers, first))
