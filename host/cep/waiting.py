"""Events that wait for the watermark.

Batches are kept as they come, in columns: a list of their times, one of their keys and so on. They are looked at when
the watermark reaches them, so that an event costs next to nothing as long as events are more or less in order. A batch
that the watermark divides leaves a rest. What is divided twice waits in a heap, as events do that come one by one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from heapq import heappop, heappush
from typing import Any, NamedTuple, TypeAlias

from trimtab.cep.bindings import Key
from trimtab.values import Values


class Incoming(NamedTuple):
    """An event before any rule has seen it. ``time``: event time or arrival, ms. ``position``: as events came."""

    time: int
    position: int
    key: Key
    value: Any


Row: TypeAlias = tuple[int, int, Key, Any, int]
"""An event: its time, its place in the order of all, its key, value and position."""


class Columns(NamedTuple):
    """Several events. ``numbers``: their places in the order of all."""

    times: Sequence[int]
    numbers: Sequence[int]
    keys: Sequence[Key]
    values: Values
    positions: Sequence[int]

    def part(self, indexes: Sequence[int]) -> Columns:
        """Return some of the events."""
        times, numbers, keys, positions = (
            [column[i] for i in indexes] for column in (self.times, self.numbers, self.keys, self.positions)
        )
        return Columns(times, numbers, keys, self.values.part(indexes), positions)

    def rows(self, indexes: Sequence[int]) -> Iterator[Row]:
        """Yield some of the events."""
        times, numbers, keys, values, positions = self
        for i in indexes:
            yield times[i], numbers[i], keys[i], values[i], positions[i]


class Waiting:
    """Events that the watermark has not reached; as a collection, in the order in which they came."""

    def __init__(self) -> None:
        self._batches: list[tuple[int, int, Columns, bool]] = []
        """A heap, by the time of the first event. The last value tells whether it is a rest."""
        self._rows: list[Row] = []
        """A heap too."""

    def __iter__(self) -> Iterator[Incoming]:
        batches = [batch for _first, _number, batch, _divided in self._batches]
        rows = [*self._rows, *(row for batch in batches for row in zip(*batch, strict=True))]
        for time, _number, key, value, position in sorted(rows, key=_number_of):
            yield Incoming(time, position, key, value)

    def __bool__(self) -> bool:
        return bool(self._rows or self._batches)

    def __len__(self) -> int:
        return len(self._rows) + sum(len(batch.times) for _first, _number, batch, _divided in self._batches)

    def add(self, columns: Columns, first: int) -> None:
        """Add events, at least one. ``first``: the least of their times. The columns are kept as they are."""
        heappush(self._batches, (first, columns.numbers[0], columns, False))

    def add_one(self, row: Row) -> None:
        """Add an event."""
        heappush(self._rows, row)

    def take(self, time: int) -> tuple[list[Columns], list[Row]]:
        """Let go of the events up to a time.

        Returns batches, among whose events there may be later ones, which stay too, and single events in their order.
        """
        waiting, due = self._rows, list[Row]()
        batches = self._take_batches(time) if self._batches and self._batches[0][0] <= time else []
        while waiting and waiting[0][0] <= time:
            due.append(heappop(waiting))
        return batches, due

    def _take_batches(self, time: int) -> list[Columns]:
        batches = list[Columns]()
        while self._batches and self._batches[0][0] <= time:
            _first, _number, batch, divided = heappop(self._batches)
            batches.append(batch)
            later = [i for i, at in enumerate(batch.times) if at > time]
            if later and divided:
                for row in batch.rows(later):
                    heappush(self._rows, row)
            elif later:
                rest = batch.part(later)
                heappush(self._batches, (min(rest.times), rest.numbers[0], rest, True))
        return batches


def _number_of(row: Row) -> int:
    return row[1]
