"""``=~``: a regular expression against a whole string, as Java's ``matches``, in time linear in the string.

The syntax is RE2's (https://github.com/google/re2/wiki/Syntax) and ``\\u0041``. What differs from Java:

- Look-around, back references, possessive repetition and atomic groups are refused: RE2 never goes back. So are
  ``\\Z``, ``\\h``, ``\\R`` and flags other than ``i``, ``m``, ``s`` and ``U``.
- Classes within classes, such as ``[a-z&&[^b]]``, are refused: RE2 would take their signs for characters.
- ``.`` leaves out ``\\n`` only, not ``\\r`` and the line ends of Unicode; ``\\s`` leaves out the vertical tab.
- ``(?i)`` knows all of Unicode, not ASCII only. ``\\d``, ``\\w``, ``\\s`` and ``\\b`` know ASCII only, as in Java 19.
- ``{,2}``, which Java refuses, stands for itself.
- ``(?U)`` makes repetition lazy, which no match of a whole string shows, and does not change the classes.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from trimtab.expressions.errors import EvaluationError
from trimtab.expressions.operators import describe

MAX_PATTERN = 500
"""Characters that a pattern may have."""
MAX_MEMORY = 2**20
"""Bytes that a pattern may take once it is compiled, with what is kept of its runs."""
MAX_SUBJECT = 100_000
"""Characters that a string may have to be matched: the time is linear, but in the pattern's size too."""

# An escape; as a group the digits of one that RE2 lacks, unless it is half a character as Java writes them.
_ESCAPE = re.compile(r"\\(?:u(?![dD][89a-fA-F])([0-9a-fA-F]{4})|.)", re.DOTALL)
_NESTED = re.compile(r"\[\^?\]?[^\]]*(?:\[|&&)")
_HINTS = {
    "invalid perl operator": "look-around, atomic groups and the like are not supported; use !, && and several =~",
    "invalid escape sequence": (
        r"write \\ for a backslash, \z for the end, \x{1F600} for a character; "
        r"back references such as \1 are not supported: write out what they repeat"
    ),
    "bad repetition operator": "possessive repetition is not supported; leave out the last sign",
    "pattern too large - compile failed": "repeat less, or use several =~",
    "invalid repetition size": "repeat at most 1000 times in all",
}


class PatternError(ValueError):
    """The text is no regular expression, or one that cannot be matched in bounded time and memory."""


def matcher(pattern: str) -> Callable[[Any], bool]:
    """Return a function that tells whether a string matches as a whole; nil matches nothing.

    Raises :class:`PatternError` with the reason. The function raises :class:`EvaluationError` for what is no
    string, or a string of more than :data:`MAX_SUBJECT` characters.
    """
    fullmatch = _compiled(pattern).fullmatch

    def matches(subject: Any) -> bool:
        if type(subject) is str and len(subject) <= MAX_SUBJECT:
            return fullmatch(_utf8(subject)) is not None
        if subject is None:
            return False
        came = f"one of {len(subject)}" if type(subject) is str else describe(subject)
        raise EvaluationError(f"expected a string of at most {MAX_SUBJECT} characters for =~, got {came}")

    return matches


def _compiled(pattern: str) -> Any:
    if len(pattern) > MAX_PATTERN:
        raise PatternError(f"expected a pattern of at most {MAX_PATTERN} characters, got {len(pattern)}")
    if _NESTED.search(_ESCAPE.sub("x", pattern)):
        raise PatternError(rf"expected no class within a class, got /{pattern}/; write \[ or \& for the sign itself")
    # Only here: a process that matches no pattern does not load the library.
    import re2

    options = re2.Options()
    options.max_mem = MAX_MEMORY
    options.never_capture = True
    options.log_errors = False  # they would go to stderr; they are raised as well
    try:
        return re2.compile(_utf8(_ESCAPE.sub(_with_code_point, pattern)), options)
    except re2.error as error:
        reason = error.args[0].decode(errors="replace")
        hint = _HINTS.get(reason.partition(":")[0])
        raise PatternError(
            f"expected a regular expression, got /{pattern}/: {reason}" + (f"; {hint}" if hint else "")
        ) from None


def _with_code_point(found: re.Match[str]) -> str:
    return rf"\x{{{found[1]}}}" if found[1] else found[0]


def _utf8(text: str) -> bytes:
    # RE2 takes half a surrogate pair, which JSON may hold, for one character; Python would refuse to encode it.
    return text.encode(errors="surrogatepass")
