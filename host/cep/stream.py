"""A keyed stream of events, and the rules that look for patterns in it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import count
from typing import Any, NamedTuple, TypeAlias

from msgspec.structs import replace

from trimtab.cep.alarms import Alarms
from trimtab.cep.bindings import Key, as_key
from trimtab.cep.bound import RuleIndex
from trimtab.cep.machine import Found, TooManyPartialMatches
from trimtab.cep.opened import Opened
from trimtab.cep.placed import Placed
from trimtab.cep.program import Memo
from trimtab.cep.runs import Event, Partials
from trimtab.cep.waiting import Columns, Due, Incoming, Waiting

__all__ = ["Incoming", "KeyedStream", "Result"]


_SAMPLED = 64
"""One event in so many has its time taken."""
_NOBODY: list[Placed] = []
_NO_STATES: Mapping[Placed, Partials] = {}
_PLAIN_KEYS = {str, int, type(None)}

Row: TypeAlias = tuple[int, int, Key, Any, int, bytes | None, list[Placed]]
"""An event that concerns somebody: time, number, key, value, position, line, rules that it may begin a match of."""


class Result(NamedTuple):
    """What was found for a rule and a key."""

    placed: Placed
    key: Key
    found: Found


class KeyedStream:
    """Events by one key and in one kind of time, and the rules over them.

    In event time events wait until the watermark has reached them, and are taken in the order of their timestamps; in
    arrival time they are taken as they come. One thread.
    """

    def __init__(self, *, event_time: bool) -> None:
        self.event_time = event_time
        self.clock: int | None = None
        """The watermark, or when the last event arrived; ms."""
        self.open = Opened()
        """The partial matches, by key and rule."""
        self.changed: dict[tuple[Placed, Key], None] | None = None
        """Where partial matches have changed, if somebody wants to know."""
        self.timer: Callable[[], int] | None = None
        """Nanoseconds, to take samples of what events cost; None: none are taken."""
        self.stopped: list[tuple[Placed, Key]] = []
        """Where rules had more partial matches than they may have; for the caller to take."""
        self._waiting = Waiting()
        self._rules = RuleIndex()
        self._next_number = 0
        self._orders = count()
        self._alarms = Alarms()
        self._handed: dict[tuple[Key, Placed], None] = {}
        """Rules with windows between events that got one of the time in hand."""

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

    def forget(self, placed: Placed) -> None:
        """Drop the partial matches of a rule."""
        for key in self.keys_of(placed):
            self.put(placed, key, Partials())

    def keys_of(self, placed: Placed) -> list[Key]:
        """Return the keys for which a rule has partial matches."""
        return self.open.keys_of(placed)

    def put(self, placed: Placed, key: Key, partials: Partials) -> None:
        """Give a rule these partial matches for a key, in the place of those that it has."""
        before = self.open.find(placed, key)
        if before is not None:
            self.open.remove(before)
        if not partials.idle:
            own = replace(partials, placed=placed, key=key, alarm=None)  # alarms of the other one may still be set
            self.open.add(own)
            for due in own.deadlines:
                self._alarms.ring_at(due, own)
            self._watch(own)

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
        lines: Sequence[bytes | None] | None = None,
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
        return self._feed(Columns(times, numbers, keys, values, positions, lines or [None] * len(times)), late)

    def _columns(self, events: Sequence[Incoming]) -> Columns:
        times, positions, keys, values, lines = zip(*events, strict=True)
        first = self._reserve(len(events))
        return Columns(times, range(first, first + len(events)), keys, values, positions, lines)

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
            self._take_all(sorted(self._concerning(self._waiting.take(time), time)), results)
        self._ring(time, results)
        return results

    @property
    def next_alarm(self) -> int | None:
        """When the clock may next end a partial match, ms."""
        return self._alarms.next

    def _arrive(self, columns: Columns) -> list[Result]:
        times, results = columns.times, list[Result]()
        if len(times) > 1 and list(times) != sorted(times):  # the clock goes back: then each event sees its own time
            return [found for i in range(len(times)) for found in self._arrive(columns.part(i, i + 1))]
        time = times[-1]
        self.clock = time if self.clock is None else max(time, self.clock)
        self._take_all(self._concerning([columns], time), results)
        self._ring(time, results)
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
        for (times, numbers, keys, values, positions, lines), beginning in found:
            wanted = [i for i, key in enumerate(keys) if key in begun or key in is_open]
            rows += [
                (times[i], numbers[i], keys[i], values[i], positions[i], lines[i], beginning.get(i, _NOBODY))
                for i in wanted
                if times[i] <= until
            ]
        return rows

    def _take_all(self, rows: Iterable[Row], results: list[Result]) -> None:
        is_open, alarms, now = self.open.by_key, self._alarms.heap, 0
        for time, number, key, value, position, line, beginning in rows:
            if not beginning and key not in is_open:
                continue
            if time != now and self._handed:
                self._look_again(now, results)
            now = time
            if alarms and alarms[0][0] <= time:
                self._ring(time, results)
            self._take(key, Event(value, time, number, position, line), beginning, results)
        if self._handed:
            self._look_again(now, results)

    def _take(self, key: Key, event: Event, beginning: list[Placed], results: list[Result]) -> None:
        states = self.open.by_key.get(key)
        memo: Memo = {}
        if not beginning and isinstance(states, Partials):
            self._hand(states.placed, key, states, event, memo, False, results)
        elif states is None and len(beginning) == 1:
            (placed,) = beginning
            if placed.is_bound is None or placed.is_bound(key):
                self._hand(placed, key, None, event, memo, True, results)
        else:
            begins = {placed for placed in beginning if placed.is_bound is None or placed.is_bound(key)}
            known = self.open.get(key, _NO_STATES)
            for placed in sorted(begins.union(known), key=_by_order):
                self._hand(placed, key, known.get(placed), event, memo, placed in begins, results)

    def _hand(  # noqa: C901 - the path of every event that concerns a rule
        self,
        placed: Placed,
        key: Key,
        known: Partials | None,
        event: Event,
        memo: Memo,
        begins: bool,
        results: list[Result],
    ) -> None:
        """Hand an event to the partial matches of one rule; ``known``: those that there are."""
        partials = Partials(placed=placed, key=key) if known is None else known
        if partials.stopped:
            return
        machine, before, withheld = placed.machine, partials.runs, partials.withheld
        if machine.waits_between:
            self._let_time_come(partials, event.time, results)
        timer = None if event.number % _SAMPLED else self.timer
        started = 0 if timer is None else timer()
        try:
            found = machine.take(partials, event, memo, begins=begins)
        except TooManyPartialMatches:
            placed.overflows += 1
            self.stopped.append((placed, key))
            found = []
        if timer is not None:
            placed.samples.append(timer() - started)
        is_other = before != partials.runs or withheld != partials.withheld or partials.stopped
        if is_other and self.changed is not None:
            self.changed[(placed, key)] = None
        if found:
            self._note(placed, key, found, results)
        if partials.runs or partials.withheld or partials.stopped or partials.deadlines:
            if known is None:
                self.open.add(partials)
            if machine.window and (partials.alarm is None or machine.waits_between):
                self._set_alarms(partials, event)
        elif known is not None:
            self.open.remove(partials)

    def _let_time_come(self, partials: Partials, time: int, results: list[Result]) -> None:
        """End what is out of time before an event is taken, once for each time."""
        placed, key = partials.placed, partials.key
        if (key, placed) not in self._handed:
            self._note(placed, key, placed.machine.advance(partials, time), results)
            if self.event_time:
                self._handed[(key, placed)] = None

    def _note(self, placed: Placed, key: Key, found: list[Found], results: list[Result]) -> None:
        for each in found:
            if each.kind == "match":
                placed.matches += 1
            else:
                placed.timeouts += 1
            results.append(Result(placed, key, each))

    # --- the clock ---

    def _look_again(self, time: int, results: list[Result]) -> None:
        """Let the clock stand once more at the time of events that were taken, as Flink does behind them.

        It ends partial matches that came to a stage whose window was over before they came.
        """
        handed, self._handed = self._handed, {}
        for key, placed in handed:
            self._ring_one(placed, key, time, results)

    def _set_alarms(self, partials: Partials, event: Event) -> None:
        machine, runs = partials.placed.machine, partials.runs
        if machine.waits_between and runs and runs[-1].first is event:
            due = event.time + machine.window
            partials.deadlines = (*partials.deadlines, due)
            self._alarms.ring_at(due, partials)
        self._watch(partials)

    def _watch(self, partials: Partials) -> None:
        machine = partials.placed.machine
        if partials.alarm is None and (due := machine.due(partials)) is not None:
            if machine.waits_between:  # then an alarm counts for what comes after the partial matches, too
                partials.alarm = due
                self._alarms.ring_at(due, partials)
            else:
                self._alarms.set(partials, due, machine.window)

    def _ring(self, time: int, results: list[Result]) -> None:
        """Stop the clock at every moment up to a time at which partial matches end."""
        while (alarm := self._alarms.pop(time)) is not None:
            due, partials = alarm
            self._ring_one(partials.placed, partials.key, due, results)

    def _ring_one(self, placed: Placed, key: Key, time: int, results: list[Result]) -> None:
        partials = self.open.find(placed, key)
        if partials is None:
            return
        if partials.alarm == time:
            partials.alarm = None
        before, deadlines = partials.runs, partials.deadlines
        if deadlines:
            partials.deadlines = tuple(due for due in deadlines if due > time)
        self._note(placed, key, placed.machine.advance(partials, time), results)
        if self.changed is not None and (before != partials.runs or deadlines != partials.deadlines):
            self.changed[(placed, key)] = None
        if partials.idle:
            self.open.remove(partials)
        else:
            self._watch(partials)


def _without_late(columns: Columns, clock: int, late: list[Incoming]) -> Columns:
    """Return the events that the watermark has not passed, and add the others to ``late``."""
    for time, _number, key, value, position, line in zip(*columns, strict=True):
        if time <= clock:
            late.append(Incoming(time, position, key, value, line))
    return columns.rows([i for i, time in enumerate(columns.times) if time > clock])


def _by_order(placed: Placed) -> int:
    return placed.order
