"""Events that wait for the watermark, in columns: a list of their times, one of their keys and so on.

Batches are kept as they come and are looked at again when the watermark reaches them, so that an event costs next to
nothing as long as events are more or less in order. A batch that the watermark divides leaves a rest, and what is
divided twice is sorted; sorted rests of a size are merged, so that an event is sorted a few times at most, however much
disorder there is.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from heapq import heappop, heappush
from itertools import chain, count
from typing import Any, NamedTuple, TypeAlias

from trimtab.cep.bindings import Key

_FEW = 32
"""Batches of fewer events are put together."""


class Incoming(NamedTuple):
    """An event before any rule has seen it. ``time``: event time or arrival, ms. ``position``: as events came."""

    time: int
    position: int
    key: Key
    value: Any


class Columns(NamedTuple):
    """Several events. ``numbers``: their places in the order of all."""

    times: Sequence[int]
    numbers: Sequence[int]
    keys: Sequence[Key]
    values: Sequence[Any]
    positions: Sequence[int]

    def rows(self, indexes: Sequence[int]) -> Columns:
        """Return some of the events."""
        return Columns._make([column[i] for i in indexes] for column in self)

    def part(self, start: int, end: int) -> Columns:
        """Return the events from one index up to another."""
        return Columns._make(column[start:end] for column in self)

    def in_order(self) -> Columns:
        """Return the events by time."""
        return self.rows(sorted(range(len(self.times)), key=self.times.__getitem__))


def joined(several: Sequence[Columns]) -> Columns:
    """Return events of several columns as one."""
    return Columns._make(list(chain.from_iterable(columns)) for columns in zip(*several, strict=True))


Due: TypeAlias = list[Columns]
"""Columns of which the events up to some time are due."""


class _Sorted:
    """Sorted events, from an index on: those before it have gone."""

    __slots__ = ("columns", "start")

    def __init__(self, columns: Columns) -> None:
        self.columns, self.start = columns, 0

    def __len__(self) -> int:
        return len(self.columns.times) - self.start

    def take(self, time: int) -> Columns:
        """Let go of the events up to a time, and return them."""
        start = self.start
        self.start = end = bisect_right(self.columns.times, time, lo=start)
        taken = self.columns.part(start, end)
        if end > len(self):  # let go of their memory too
            self.columns, self.start = self.rest(), 0
        return taken

    def rest(self) -> Columns:
        return self.columns.part(self.start, len(self.columns.times))


class Waiting:
    """Events that the watermark has not reached; as a collection, in the order in which they came."""

    def __init__(self) -> None:
        self._parts: list[tuple[int, int, Columns | _Sorted, bool]] = []
        """A heap, by the time of the first event. The last value tells whether it has been divided."""
        self._few: list[Columns] = []
        self._first_of_few = 0
        self._counter = count()

    def __iter__(self) -> Iterator[Incoming]:
        columns = self._all()
        order = sorted(range(len(columns.numbers)), key=columns.numbers.__getitem__)
        times, _numbers, keys, values, positions = columns.rows(order)
        return map(Incoming, times, positions, keys, values)

    def __bool__(self) -> bool:
        return bool(self._few or self._parts)

    def __len__(self) -> int:
        return len(self._all().times)

    def _all(self) -> Columns:
        parts = [part.rest() if isinstance(part, _Sorted) else part for _time, _number, part, _divided in self._parts]
        return joined([*parts, *self._few]) if self else Columns((), (), (), (), ())

    def add(self, columns: Columns, first: int) -> None:
        """Add events, at least one. ``first``: the least of their times. The columns are kept as they are."""
        if len(columns.times) >= _FEW:
            self._push(first, columns)
            return
        self._first_of_few = min(first, self._first_of_few) if self._few else first
        self._few.append(columns)
        if len(self._few) >= _FEW:
            self._put_together()

    def take(self, time: int) -> Due:
        """Let go of the events up to a time. Among those that are returned there may be later ones, which stay too."""
        if self._few and self._first_of_few <= time:
            self._put_together()
        due: Due = []
        rests: list[_Sorted] = []
        while self._parts and self._parts[0][0] <= time:
            _first, _number, part, divided = heappop(self._parts)
            if isinstance(part, _Sorted):
                due.append(part.take(time))
                rests += [part] if len(part) else []
                continue
            due.append(part)
            later = [i for i, at in enumerate(part.times) if at > time]
            if later and divided:
                rests.append(_Sorted(part.rows(later).in_order()))
            elif later:
                rest = part.rows(later)
                self._push(min(rest.times), rest, divided=True)
        for each in _merged(rests):
            self._push(each.columns.times[each.start], each, divided=True)
        return due

    def _put_together(self) -> None:
        together = joined(self._few) if len(self._few) > 1 else self._few[0]
        self._few = []
        self._push(self._first_of_few, together)

    def _push(self, first: int, part: Columns | _Sorted, *, divided: bool = False) -> None:
        heappush(self._parts, (first, next(self._counter), part, divided))


def _merged(rests: list[_Sorted]) -> list[_Sorted]:
    """Merge what is small with what is not much larger: then there are few, and each event is merged seldom."""
    rests.sort(key=len, reverse=True)
    while len(rests) > 1 and len(rests[-2]) <= 2 * len(rests[-1]):
        small, large = rests.pop(), rests.pop()
        rests.append(_Sorted(joined([large.rest(), small.rest()]).in_order()))
        rests.sort(key=len, reverse=True)
    return rests
