"""From an error as JavaScript describes it to a fault that names the place in the user's source."""

from __future__ import annotations

import re
from collections.abc import Iterator

import msgspec

from trimtab.errors import Fault
from trimtab.sandbox.javascript.modules import COMMONJS, COMMONJS_HEAD, Modules
from trimtab.sandbox.javascript.packages import ModuleNotFound
from trimtab.sandbox.limits import TimeLimitExceeded

_FRAME = re.compile(
    r"^ *at (?:(?P<function>.*?) ?\()?(?P<file>[^()\n]+?):(?P<line>\d+)(?::(?P<column>\d+))?\)?$", re.MULTILINE
)
_NO_MODULE = re.compile(r"(?:Failed to (?:normalize|load) module|cannot find module:?) '?(.*?)'?$")

TIME_LIMIT = TimeLimitExceeded.__name__
MEMORY_LIMIT = "MemoryLimitExceeded"
_UNUSABLE = "context is unusable"
"""Part of what dukpy says of an interpreter whose promise jobs were stopped."""
_NO_EXPORT = re.compile(r"Could not find export '([A-Za-z_$][\w$]*)' in module")


class JsError(msgspec.Struct):
    """An error as ``describe`` in prelude.js makes it."""

    name: str
    message: str
    stack: str = ""

    @classmethod
    def of_text(cls, text: str) -> JsError:
        """Take apart the text of dukpy's ``JSRuntimeError``: ``Name: message``, then the stack."""
        head, _, stack = text.partition("\n    at ")
        name, colon, message = head.partition(": ")
        if not colon or not name.isidentifier():
            name, message = "Error", head
        if message == "out of memory" or head == "null":  # no memory was left for an error object
            return memory_exceeded()
        return cls(name, message, f"    at {stack}" if stack else "")


def spoils(fault: Fault) -> bool:
    """Tell whether an interpreter was stopped, and may be of no use; any other fault is a rejected promise."""
    return fault.name in (TIME_LIMIT, MEMORY_LIMIT) or _UNUSABLE in fault.message


def memory_exceeded() -> JsError:
    """Return the error of a script that needs more memory than there is."""
    message = "expected to stay within the 128 MB of a script, was about to exceed them; keep less at once"
    return JsError(MEMORY_LIMIT, message)


def to_fault(error: JsError, modules: Modules, script: str) -> Fault:
    """Return the fault with the innermost place in the user's own files, else in a package's, else the script."""
    missing = _NO_MODULE.search(error.message)
    if missing and missing[1] in modules.problems:
        base, message = modules.problems[missing[1]]
        line, column = modules.mention(base, missing[1]) or (None, None)
        return Fault(ModuleNotFound.__name__, message, base, line, column)
    unknown = _NO_EXPORT.search(error.message) if error.name == "SyntaxError" else None
    if unknown and (found := modules.importer(unknown[1])):
        return Fault(error.name, error.message, *found)
    places = list(_places(error.stack, modules))
    own = [place for place in places if not modules.is_package(place[0])]
    file, line, column = next(iter(own or places), (script, None, None))
    return Fault(error.name, error.message, file, line, column)


def syntax_error_line(error: JsError) -> int | None:
    """Return the line of an error in text that was to be compiled; in a function's body, lines are counted there."""
    frame = _FRAME.search(error.stack)
    if frame is None or error.name != "SyntaxError":
        return None
    return int(frame["line"]) - (COMMONJS_HEAD if frame["file"] == COMMONJS else 0)


def _places(stack: str, modules: Modules) -> Iterator[tuple[str, int, int | None]]:
    for frame in _FRAME.finditer(stack):
        # A place without a function is where text could not be parsed: for COMMONJS, text that is no file.
        # QuickJS does not know the column then.
        unparsed = frame["function"] is None
        if unparsed and frame["file"] == COMMONJS:
            continue
        place = modules.locate(frame["file"], int(frame["line"]), int(frame["column"] or 1))
        if place is not None:
            yield (*place[:2], None if unparsed else place[2])
