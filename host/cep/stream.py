"""A keyed stream of events, and the rules that look for patterns in it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import count
from typing import Any

from trimtab.cep.bindings import as_key
from trimtab.cep.bound import RuleIndex
from trimtab.cep.placed import Placed
from trimtab.cep.progress import Progress, Result, Row
from trimtab.cep.waiting import Columns, Due, Incoming, Waiting

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
        self._waiting = Waiting()
        self._rules = RuleIndex()
        self._next_number = 0
        self._orders = count()

    @property
    def waiting(self) -> Waiting:
        """Events that the watermark has not reached, in the order in which they came."""
        return self._waiting

    @waiting.setter
    def waiting(self, events: Sequence[Incoming]) -> None:
        self._waiting = Waiting()
        if events:
            columns = self._columns(events)
            self._waiting.add(columns, min(columns.times))

    def next_number(self) -> int:
        """Return the place of an event that is taken now in the order of all."""
        return self._reserve(1)

    def _reserve(self, numbers: int) -> int:
        first = self._next_number
        self._next_number += numbers
        return first

    # --- rules ---

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

    def feed_batch(
        self,
        times: Sequence[int],
        keys: Sequence[Any],
        values: Sequence[Any],
        positions: Sequence[int],
        late: list[Incoming],
    ) -> list[Result]:
        """Take events as :meth:`feed` does, given by their parts, which costs less.

        ``keys``: JSON values, not yet as :func:`as_key` returns them. Events wait in these sequences and matches hold
        the values, so that nobody may change them.
        """
        if not times:
            return []
        if not _PLAIN_KEYS.issuperset(map(type, keys)):
            keys = list(map(as_key, keys))
        first = self._reserve(len(times))
        numbers = range(first, first + len(times))
        return self._feed(Columns(times, numbers, keys, values, positions), late)

    def _columns(self, events: Sequence[Incoming]) -> Columns:
        times, positions, keys, values = zip(*events, strict=True)
        first = self._reserve(len(events))
        return Columns(times, range(first, first + len(events)), keys, values, positions)

    def _feed(self, columns: Columns, late: list[Incoming]) -> list[Result]:
        if not self.event_time:
            return self._arrive(columns)
        clock, first = self.clock, min(columns.times)
        if clock is not None and first <= clock:
            columns = _without_late(columns, clock, late)
            if not columns.times:
                return []
            first = min(columns.times)
        self._waiting.add(columns, first)
        return []

    def advance(self, time: int) -> list[Result]:
        """Let the watermark, or the clock, come to a time, ms. It never goes back. Returns what is found."""
        if self.clock is not None and time <= self.clock and self.event_time:
            return []
        self.clock = time if self.clock is None else max(time, self.clock)
        results: list[Result] = []
        if self._waiting:
            self.take(sorted(self._concerning(self._waiting.take(time), time)), results)
        self.ring(time, results)
        return results

    def _arrive(self, columns: Columns) -> list[Result]:
        times, results = columns.times, list[Result]()
        if len(times) > 1 and list(times) != sorted(times):  # the clock goes back: then each event sees its own time
            return [found for i in range(len(times)) for found in self._arrive(columns.part(i, i + 1))]
        time = times[-1]
        self.clock = time if self.clock is None else max(time, self.clock)
        self.take(self._concerning([columns], time), results)
        self.ring(time, results)
        return results

    def _concerning(self, due: Due, until: int) -> list[Row]:
        """Return those of the events up to a time that concern anybody: of most events, nothing more is seen.

        They may begin a match, or there are matches that have begun with their key, or may begin now.
        """
        is_open = self.open.by_key
        found = [(columns, self._rules.find_all(columns)) for columns in due]
        begun = {columns.keys[i] for columns, beginning in found for i in beginning}
        if not begun and not is_open:
            return []
        rows: list[Row] = []
        for (times, numbers, keys, values, positions), beginning in found:
            wanted = [i for i, key in enumerate(keys) if key in begun or key in is_open]
            rows += [
                (times[i], numbers[i], keys[i], values[i], positions[i], beginning.get(i, _NOBODY))
                for i in wanted
                if times[i] <= until
            ]
        return rows


def _without_late(columns: Columns, clock: int, late: list[Incoming]) -> Columns:
    """Return the events that the watermark has not passed, and add the others to ``late``."""
    for time, _number, key, value, position in zip(*columns, strict=True):
        if time <= clock:
            late.append(Incoming(time, position, key, value))
    return columns.rows([i for i, time in enumerate(columns.times) if time > clock])
