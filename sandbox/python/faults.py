"""From what user code raised to a fault with its place in the user's source."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import islice
from types import FrameType, TracebackType
from typing import NamedTuple

from trimtab.errors import CallError, Fault, ScriptError

LONGEST_MESSAGE = 4000
"""Characters: a fault is kept with every dead letter."""

OUT_OF_MEMORY = "expected to stay within the memory limit, got more data than fits; hold less at once"


class Place(NamedTuple):
    """A place in a file of the user; line and column count from 1."""

    file: str
    line: int | None = None
    column: int | None = None


def fault_of(error: BaseException, script: str, texts: Mapping[str, str]) -> Fault:
    """Describe an error of user code.

    ``texts`` are the script's own files by name. The place is the innermost one in these files. Calls the
    error's ``__str__``, which is user code.
    """
    if isinstance(error, ScriptError):
        return error.fault
    place = _place(error, texts) or Place(script)
    if isinstance(error, MemoryError):
        return Fault("MemoryLimitExceeded", OUT_OF_MEMORY, *place)
    name = error.name if isinstance(error, CallError) else type(error).__name__
    message = str(error.msg if isinstance(error, SyntaxError) else error)
    return Fault(sendable(name), sendable(message), *place)


def waiting_place(frames: Iterable[FrameType], texts: Mapping[str, str]) -> tuple[str, int] | None:
    """Return the file and line of the last of some frames that is in the script's own files."""
    own = [frame for frame in frames if frame.f_code.co_filename in texts]
    return (own[-1].f_code.co_filename, own[-1].f_lineno) if own else None


def sendable(text: str) -> str:
    """Make any text fit to be stored and sent: lone surrogates cannot be encoded."""
    if len(text) > LONGEST_MESSAGE:
        text = text[:LONGEST_MESSAGE] + "..."
    return text.encode(errors="backslashreplace").decode()


def _place(error: BaseException, texts: Mapping[str, str]) -> Place | None:
    if isinstance(error, SyntaxError) and error.filename is not None and error.filename in texts:
        return Place(error.filename, _number(error.lineno), _number(error.offset))
    innermost = None
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename in texts:
            innermost = trace
        trace = trace.tb_next
    return None if innermost is None else _place_in(innermost, texts)


def _number(value: object) -> int | None:
    """Anybody may raise a ``SyntaxError`` with anything in its fields, and Python knows columns of 0."""
    return value if type(value) is int and value > 0 else None


def _place_in(trace: TracebackType, texts: Mapping[str, str]) -> Place:
    code = trace.tb_frame.f_code
    line, _end, offset, _end_offset = next(islice(code.co_positions(), trace.tb_lasti // 2, None))
    if line is None or offset is None:
        return Place(code.co_filename, trace.tb_lineno)
    return Place(code.co_filename, line, _column(texts[code.co_filename], line, offset))


def _column(text: str, line: int, offset: int) -> int:
    """Return the column of a byte offset (in UTF-8) within a line."""
    return len(text.split("\n", line)[line - 1].encode()[:offset].decode(errors="replace")) + 1
