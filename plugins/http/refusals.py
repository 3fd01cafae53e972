"""How the HTTP source says no: one shape for every error."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class Refusal(Exception):
    """A request that is not accepted. Nothing of it was delivered.

    ``expected``, ``got`` and ``hint`` (what to do) make the message; ``line`` (from 1) is where in the body the
    mistake is, ``index`` (from 0) in which element of an array.
    """

    def __init__(
        self,
        status: int,
        *,
        expected: str,
        got: str,
        hint: str,
        line: int | None = None,
        index: int | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.status = status
        self.expected = expected
        self.got = got
        self.hint = hint
        self.line = line
        self.index = index
        self.headers = dict(headers or {})
        super().__init__(self._message())

    def document(self) -> dict[str, Any]:
        """Return the body of the answer."""
        return {
            "error": {
                "message": str(self),
                "expected": self.expected,
                "got": self.got,
                "hint": self.hint,
                "line": self.line,
                "index": self.index,
            }
        }

    def _message(self) -> str:
        places = [
            f"{name} {number}" for name, number in (("line", self.line), ("index", self.index)) if number is not None
        ]
        place = f"{', '.join(places)}: " if places else ""
        return f"{place}expected {self.expected}, got {self.got}; {self.hint}"


def too_large(limit: int, got: str) -> Refusal:
    """Return the refusal of a body over ``limit`` bytes."""
    return Refusal(
        413,
        expected=f"a body of at most {limit} bytes",
        got=got,
        hint="send fewer events at once, or raise max_body of the source",
    )
