"""A keyed stream of events, and the rules that look for patterns in it."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from itertools import count
from typing import Any

from trimtab.cep.bindings import Key, as_key
from trimtab.cep.bound import RuleIndex
from trimtab.cep.placed import Placed
from trimtab.cep.progress import Concerned, Progress, Result
from trimtab.cep.waiting import Columns, Incoming, Row, Waiting
from trimtab.values import Decoded, Lines

__all__ = ["Incoming", "KeyedStream", "Result"]


_NOBODY: list[Placed] = []
_PLAIN_KEYS = {str, int, type(None)}


class KeyedStream(Progress):
    """Events by one key and in one kind of time, and the rules over them.

    In event time events wait until the watermark has reached them, and are taken in the order of their timestamps; in
    arrival time they are taken as they come. One thread.
    """

    def __init__(self, *, event_time: bool) -> None:
        super().__init__(event_time=event_time)
        self.clock: int | None = None
        """The watermark, or when the last event arrived; ms."""
        self.waiting = Waiting()
        """Events that the watermark has not reached, in the order in which they came."""
        self._rules = RuleIndex()
        self._next_number = 0
        self._orders = count()

    def next_number(self) -> int:
        """Return the place of an event that is taken now in the order of all."""
        return self._reserve(1)

    def _reserve(self, numbers: int) -> int:
        first = self._next_number
        self._next_number += numbers
        return first

    # --- rules ---

    @property
    def fields(self) -> frozenset[str] | None:
        """The fields that tell which events may begin a match; None: whole events are looked at."""
        return self._rules.fields

    def add(self, placed: Placed) -> None:
        """Have a rule look at events from now on."""
        placed.order = next(self._orders)
        self._rules.add(placed)

    def remove(self, placed: Placed) -> None:
        """Have a rule begin no further matches."""
        self._rules.remove(placed)

    # --- events ---

    def feed(self, events: Iterable[Incoming], late: list[Incoming]) -> list[Result]:
        """Take events in the order in which they came; those that the watermark has passed are added to ``late``.

        Returns what is found at once: in event time nothing.
        """
        events = list(events)
        return self._feed(self._columns(events), late) if events else []

    def feed_one(self, time: int, key: Key, value: Any, position: int) -> list[Result] | None:
        """Take an event as :meth:`feed` does. Returns None for one that the watermark has passed: it is dropped."""
        row = (time, self._next_number, key, value, position)
        self._next_number += 1
        if not self.event_time:
            return self._now([self._concerned(row)], time)
        if self.clock is not None and time <= self.clock:
            return None
        self.waiting.add_one(row)
        return []

    def feed_batch(
        self,
        times: Sequence[int],
        keys: Sequence[Any],
        values: Sequence[Any] | Lines,
        positions: Sequence[int],
        late: list[Incoming],
        *,
        plain_keys: bool = False,
    ) -> list[Result]:
        """Take events as :meth:`feed` does, given by their parts, which costs less.

        ``keys``: JSON values, not yet as :func:`as_key` returns them, or ``plain_keys``: strings, integers and None.
        ``values``: of lines, :attr:`fields` were read. Events wait in these sequences and matches hold the values, so
        that nobody may change them.
        """
        if not times:
            return []
        if not (plain_keys or _PLAIN_KEYS.issuperset(map(type, keys))):
            keys = list(map(as_key, keys))
        first = self._reserve(len(times))
        numbers = range(first, first + len(times))
        held = values if isinstance(values, Lines) else Decoded(values)
        return self._feed(Columns(times, numbers, keys, held, positions), late)

    def _columns(self, events: Sequence[Incoming]) -> Columns:
        times, positions, keys, values = zip(*events, strict=True)
        first = self._reserve(len(events))
        return Columns(times, range(first, first + len(events)), keys, Decoded(values), positions)

    def _feed(self, columns: Columns, late: list[Incoming]) -> list[Result]:
        if not self.event_time:
            return self._arrive(columns)
        clock, first = self.clock, min(columns.times)
        if clock is not None and first <= clock:
            columns = _without_late(columns, clock, late)
            if not columns.times:
                return []
            first = min(columns.times)
        self.waiting.add(columns, first)
        return []

    def advance(self, time: int) -> list[Result]:
        """Let the watermark, or the clock, come to a time, ms. It never goes back. Returns what is found."""
        if self.clock is not None and time <= self.clock and self.event_time:
            return []
        self.clock = time if self.clock is None else max(time, self.clock)
        results: list[Result] = []
        batches, rows = self.waiting.take(time)
        if batches:
            self.take(self._concerning(batches, rows, time), results)
        elif rows:
            self.take(map(self._concerned, rows), results)
        self.ring(time, results)
        return results

    def _arrive(self, columns: Columns) -> list[Result]:
        times = columns.times
        if list(times) == sorted(times):
            return self._now(self._concerning([columns], [], times[-1]), times[-1])
        rows = columns.rows(range(len(times)))  # the clock goes back: then each event sees its own time
        return [found for row in rows for found in self._now([self._concerned(row)], row[0])]

    def _now(self, concerned: Sequence[Concerned], time: int) -> list[Result]:
        """Take events at once."""
        self.clock = time if self.clock is None else max(time, self.clock)
        results: list[Result] = []
        self.take(concerned, results)
        self.ring(time, results)
        return results

    def _concerned(self, row: Row) -> Concerned:
        time, number, key, value, position = row
        return time, number, key, value, position, self._rules.find(key, value)

    def _concerning(self, batches: list[Columns], rows: list[Row], until: int) -> list[Concerned]:
        """Return those of the events up to a time that concern anybody, in their order: of most, nothing more is seen.

        They may begin a match, or there are matches that have begun with their key, or may begin now.
        """
        is_open = self.open.by_key
        found = [(columns, self._rules.find_all(columns)) for columns in batches]
        concerned = list(map(self._concerned, rows))
        begun = {columns.keys[i] for columns, beginning in found for i in beginning}
        begun.update(row[2] for row in concerned if row[5])
        if not begun and not is_open:
            return []
        for columns, beginning in found:
            times, numbers, keys, values, positions = columns
            looked_at = begun.union(is_open if len(is_open) < len(keys) else filter(is_open.__contains__, keys))
            wanted = [i for i, key in enumerate(keys) if key in looked_at]
            concerned += [
                (times[i], numbers[i], keys[i], value, positions[i], beginning.get(i, _NOBODY))
                for i, value in zip(wanted, values.some(wanted), strict=True)
            ]
        concerned.sort()
        del concerned[bisect_right(concerned, until, key=_time_of) :]
        return concerned


def _time_of(event: Concerned) -> int:
    return event[0]


def _without_late(columns: Columns, clock: int, late: list[Incoming]) -> Columns:
    """Return the events that the watermark has not passed, and add the others to ``late``."""
    for time, _number, key, value, position in columns.rows([i for i, at in enumerate(columns.times) if at <= clock]):
        late.append(Incoming(time, position, key, value))
    return columns.part([i for i, time in enumerate(columns.times) if time > clock])
