"""What one handler did with one batch, or with one event of it."""

from __future__ import annotations

from collections.abc import Iterable
from contextvars import ContextVar
from dataclasses import dataclass, field

from trimtab.engine.batch import Events
from trimtab.engine.state import StateRow, StateStore
from trimtab.engine.transaction import Transaction
from trimtab.errors import Fault


@dataclass(frozen=True, slots=True)
class ScriptState:
    """Whose state a handler works on. ``version``: of the script, as JSON text."""

    store: StateStore
    script: str
    version: bytes
    handles_timers: bool = False


@dataclass(slots=True)
class Emitted:
    """Values emitted to one sink: JSON texts without newline, and the index of the event each belongs to."""

    indexes: list[int] = field(default_factory=list)
    lines: list[bytes] = field(default_factory=list)


@dataclass(slots=True)
class HandlerRun:
    """Filled by a script instance while one handler goes through one batch."""

    sinks: frozenset[str]
    events: Events
    state: ScriptState
    settled: list[StateRow] = field(default_factory=list)
    """What is different in the state whatever becomes of the events."""
    index: int = -1
    """The event in hand. Set before each call of the handler."""
    emitted: dict[str, Emitted] = field(default_factory=dict)
    faults: dict[int, Fault] = field(default_factory=dict)
    """By event index."""
    samples: list[int] = field(default_factory=list)
    """Nanoseconds that some of the events took, picked evenly."""
    ended: bool = False
    """The event of an asynchronous handler is over: nothing that is still done for it counts."""
    _transactions: list[tuple[int, Transaction]] = field(default_factory=list)
    """What events have done to the state, with their indexes, in the order in which they were handled."""

    def emit(self, sink: str, line: bytes) -> None:
        """Record a value, as JSON text, for a sink. Raises ``LookupError`` for a sink that is not configured."""
        emitted = self.emitted.get(sink)
        if emitted is None:
            if sink not in self.sinks:
                known = ", ".join(sorted(self.sinks)) or "none is configured"
                raise LookupError(f"unknown sink {sink!r}; expected one of: {known}")
            emitted = self.emitted[sink] = Emitted()
        emitted.indexes.append(self.index)
        emitted.lines.append(line)

    def extend(self, sink: str, indexes: Iterable[int], lines: Iterable[bytes]) -> None:
        """Record many values for a known sink at once."""
        emitted = self.emitted.setdefault(sink, Emitted())
        emitted.indexes.extend(indexes)
        emitted.lines.extend(lines)

    def transaction(self) -> Transaction:
        """Return what the event in hand does to the state of its key."""
        if self._transactions and self._transactions[-1][0] == self.index:
            return self._transactions[-1][1]
        state = self.state
        transaction = Transaction(state.store, state.script, state.version, self.events.key_text(self.index))
        self._transactions.append((self.index, transaction))
        return transaction

    def fail(self, index: int, fault: Fault) -> None:
        """Record that the handler failed on an event, and drop what that event had emitted and changed."""
        self.faults[index] = fault
        self.undo(index)
        for emitted in self.emitted.values():
            if index in emitted.indexes:
                kept = [i for i, at in enumerate(emitted.indexes) if at != index]
                emitted.indexes[:] = [emitted.indexes[i] for i in kept]
                emitted.lines[:] = [emitted.lines[i] for i in kept]

    def undo(self, first: int) -> None:
        """Put back what the last events have changed, from the one with index ``first`` on."""
        while self._transactions and self._transactions[-1][0] >= first:
            self._transactions.pop()[1].undo()

    def changes(self) -> list[StateRow]:
        """Return what is different in the state: for each value that events have changed what it is in the end."""
        rows = {(row.key, row.name): row for _index, each in self._transactions for row in each.rows()}
        return [*self.settled, *rows.values()]


class Hand:
    """The event that is in hand in this process: what ``emit``, ``state`` and ``timer`` belong to.

    ``run``: of the handler that runs to its end now. A handler that waits in between has its run in ``in_flight``.
    """

    __slots__ = ("run",)

    def __init__(self) -> None:
        self.run: HandlerRun | None = None

    def current(self, what: str) -> HandlerRun:
        """Return the run with the event in hand as its ``index``. Raises ``RuntimeError`` while there is none."""
        run = self.run or in_flight.get()
        if run is None or run.ended:
            raise RuntimeError(
                f"expected {what} while a handler handles an event, got a call outside of one; "
                "call it in the handler and before it ends, not in open(), close() or at the top level"
            )
        return run


in_flight: ContextVar[HandlerRun | None] = ContextVar("in_flight", default=None)
"""The run of an asynchronous handler, in the context of its task."""
