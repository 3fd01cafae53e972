"""What can be wrong with an expression: its text, or what an event holds."""

from __future__ import annotations

from trimtab.errors import TrimtabError


class ExpressionError(TrimtabError):
    """The text of an expression is wrong: it was refused and nothing runs.

    ``message`` says what was expected and what came, ``line`` and ``column`` (both from 1) where in ``source``.
    """

    def __init__(self, message: str, source: str, offset: int) -> None:
        self.message = message.encode(errors="backslashreplace").decode()  # it may quote lone surrogates
        self.source = source
        self.line = source.count("\n", 0, offset) + 1
        self.column = offset - source.rfind("\n", 0, offset)
        place = f"column {self.column}" if self.line == 1 else f"line {self.line}, column {self.column}"
        super().__init__(f"{place}: {self.message}")


class EvaluationError(TrimtabError):
    """An event holds values that the expression cannot work with: a type error, a division by zero, ..."""


class MissingField(TrimtabError):
    """The event lacks a field that the expression reads."""
