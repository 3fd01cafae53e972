"""Finds the column of a syntax error, for which QuickJS names only the line that can be trusted."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable


def error_column(text: str, line: int, message: str, same_error: Callable[[str], bool]) -> int | None:
    """Return the column (from 1) of the first token in ``line`` that cannot stand there; None if that is not clear.

    ``same_error`` tells whether a text fails to compile with the same message in the same line. A parser stops at
    the first token that is wrong, so the shortest beginning of ``text`` with the same error ends with that token.
    """
    start = _offset(text, line)
    end = _offset(text, line + 1)
    if not same_error(text[:end]):
        return None
    length = start + 1 + bisect_left(range(start + 1, end), True, key=lambda length: same_error(text[:length]))
    token = message.rpartition(" ")[2].strip("'")
    width = len(token) if token and text.endswith(token, start, length) else 1
    return length - width - start + 1


def _offset(text: str, line: int) -> int:
    """Return where a line starts; the end of the text for one that is beyond."""
    offset = 0
    for _ in range(line - 1):
        offset = text.find("\n", offset) + 1
        if offset == 0:
            return len(text)
    return offset
