"""``=~``: a regular expression against a whole string, as Java's ``matches``, in bounded time.

``\\d``, ``\\w``, ``\\s`` and case know ASCII only, as in Java.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from trimtab.expressions.automaton import automaton
from trimtab.expressions.errors import EvaluationError
from trimtab.expressions.operators import describe
from trimtab.expressions.patterns import read_pattern

MAX_SUBJECT = 10_000
"""Characters that a string may have to be matched."""


def matcher(pattern: str) -> Callable[[Any], bool]:
    """Return a function that tells whether a string matches as a whole; nil matches nothing.

    Raises :class:`~trimtab.expressions.patterns.PatternError` with the reason. The function raises
    :class:`EvaluationError` for what is no string, or a string of more than :data:`MAX_SUBJECT` characters.
    """
    run = automaton(read_pattern(pattern))

    def matches(subject: Any) -> bool:
        if type(subject) is str and len(subject) <= MAX_SUBJECT:
            return run(subject)
        if subject is None:
            return False
        came = f"one of {len(subject)}" if type(subject) is str else describe(subject)
        raise EvaluationError(f"expected a string of at most {MAX_SUBJECT} characters for =~, got {came}")

    return matches
