"""What went wrong in a database, in the words of the bindings' contract. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from trimtab.api import CallError

LONGEST_STATEMENT = 80
"""Characters of a statement that a message shows."""
SHORTEST_SECRET = 4
"""Passwords with fewer characters are not masked: they stand in any text by chance."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """An error of a driver. ``lost``: the connection cannot be used again."""

    name: str
    message: str
    code: str | int | None = None
    retryable: bool = False
    lost: bool = False

    def call_error(self, resource: str, statement: str | None, secret: str | None) -> CallError:
        """Return the error for the script. ``secret``: a password, which no message holds."""
        text = " ".join(self.message.split()) or "no reason"
        if secret and len(secret) >= SHORTEST_SECRET:
            text = text.replace(secret, "***")
        code = "" if self.code is None else f" [{self.code}]"
        place = "" if statement is None else f"; in: {_shortened(statement)}"
        return CallError(
            self.name, f"{resource}: {_EXPECTED[self.name]}, got {text}{code}{place}",
            code=self.code, retryable=self.retryable,
        )  # fmt: skip


_EXPECTED = {
    "AuthenticationError": "expected to be let in",
    "ConnectionError": "expected a connection",
    "PolicyError": "expected a statement that stays in the file of the resource",
    "SqlError": "expected the database to do it",
    "TimeoutError": "expected an answer in time",
}

_RETRYABLE_STATES = frozenset({"40001", "40P01", "55P03", "55006"})
"""Serialization failure, deadlock, lock not available, object in use."""


def of_state(state: str | None, message: str) -> Trouble:
    """Return the trouble that an SQLSTATE stands for, as the standard, PostgreSQL and most drivers use it."""
    if state is None:
        return Trouble("SqlError", message)
    if state.startswith("08") or state in {"57P01", "57P02", "57P03"}:  # the server goes down, or comes up
        return connection_lost(message, state)
    if state.startswith("28"):
        return Trouble("AuthenticationError", message, state)
    if state in {"57014", "HYT00", "HYT01"}:
        return Trouble("TimeoutError", message, state, retryable=True)
    return Trouble("SqlError", message, state, retryable=state in _RETRYABLE_STATES or state.startswith("53"))


def connection_lost(message: str, code: str | int | None = None) -> Trouble:
    """Return the trouble of a connection that broke or never came."""
    return Trouble("ConnectionError", message, code, retryable=True, lost=True)


def timed_out(seconds: float) -> Trouble:
    """Return the trouble of a connection that did not answer in time: what it still says belongs to nobody."""
    return Trouble("TimeoutError", f"none within {seconds:g} s", retryable=True, lost=True)


def _shortened(statement: str) -> str:
    line = " ".join(statement.split())
    return line if len(line) <= LONGEST_STATEMENT else f"{line[:LONGEST_STATEMENT]}..."
