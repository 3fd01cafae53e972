"""What one handler did with one batch."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from trimtab.errors import Fault


@dataclass(slots=True)
class Emitted:
    """Values emitted to one sink: JSON texts without newline, and the index of the event each belongs to."""

    indexes: list[int] = field(default_factory=list)
    lines: list[bytes] = field(default_factory=list)


@dataclass(slots=True)
class HandlerRun:
    """Filled by a script instance while one handler goes through one batch."""

    sinks: frozenset[str]
    index: int = -1
    """The event in hand. Set before each call of the handler."""
    emitted: dict[str, Emitted] = field(default_factory=dict)
    faults: dict[int, Fault] = field(default_factory=dict)
    """By event index."""
    samples: list[int] = field(default_factory=list)
    """Nanoseconds that some of the events took, picked evenly."""

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

    def fail(self, index: int, fault: Fault) -> None:
        """Record that the handler failed on an event, and drop what that event had emitted."""
        self.faults[index] = fault
        for emitted in self.emitted.values():
            if index in emitted.indexes:
                kept = [i for i, at in enumerate(emitted.indexes) if at != index]
                emitted.indexes[:] = [emitted.indexes[i] for i in kept]
                emitted.lines[:] = [emitted.lines[i] for i in kept]

    def restart(self) -> None:
        """Forget what was recorded but the faults: the batch is run again without the events that failed."""
        self.emitted.clear()
        self.samples.clear()
