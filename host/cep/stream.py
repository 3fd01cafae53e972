"""A keyed stream of events, and the rules that look for patterns in it."""

from __future__ import annotations

import heapq
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from itertools import count
from operator import itemgetter
from typing import Any, NamedTuple

from trimtab.cep.bindings import Key
from trimtab.cep.index import Index
from trimtab.cep.machine import Found, TooManyPartialMatches
from trimtab.cep.placed import Placed
from trimtab.cep.program import Memo
from trimtab.cep.runs import Event, Partials

_SLACK = 1024
"""Alarms of partial matches that are gone are kept until there are that many beside as many as there are others."""


class Incoming(NamedTuple):
    """An event before any rule has seen it. ``time``: event time or arrival, ms. ``position``: as events came."""

    time: int
    position: int
    key: Key
    value: Any
    line: bytes | None = None


class Result(NamedTuple):
    """What was found for a rule and a key."""

    placed: Placed
    key: Key
    found: Found


_time = itemgetter(0)
_place = itemgetter(0, 1)


class KeyedStream:
    """Events by one key and in one kind of time, and the rules over them.

    In event time events wait until the watermark has reached them, and are taken in the order of their timestamps; in
    arrival time they are taken as they come. One thread.
    """

    def __init__(self, *, event_time: bool) -> None:
        self.event_time = event_time
        self.clock: int | None = None
        """The watermark, or when the last event arrived; ms."""
        self.open: dict[Key, dict[Placed, Partials]] = {}
        """The partial matches, by key and rule."""
        self.waiting: list[Incoming] = []
        """Events that the watermark has not reached."""
        self.changed: dict[tuple[Placed, Key], None] | None = None
        """Where partial matches have changed, if somebody wants to know."""
        self.stopped: list[tuple[Placed, Key]] = []
        """Where rules had more partial matches than they may have; for the caller to take."""
        self._unsorted = False
        self._index: Index[Placed] = Index()
        self._bound: dict[Key, Index[Placed]] = {}
        self._numbers = count()
        self._orders = count()
        self._alarms: list[tuple[int, int, Key, Placed]] = []
        self._handed: dict[tuple[Key, Placed], None] = {}
        """Rules with windows between events that got one of the time in hand."""
        self._compact_at = _SLACK

    def next_number(self) -> int:
        """Return the place of an event that is taken now in the order of all."""
        return next(self._numbers)

    # --- rules ---

    def add(self, placed: Placed) -> None:
        """Have a rule look at events from now on."""
        placed.order = next(self._orders)
        for index in self._indexes(placed):
            index.add(placed, placed.needs)

    def remove(self, placed: Placed) -> None:
        """Have a rule begin no further matches."""
        for index in self._indexes(placed):
            index.remove(placed, placed.needs)
        for key in [] if placed.keys is None else placed.keys:
            if self._bound[key].empty:
                del self._bound[key]

    def _indexes(self, placed: Placed) -> Iterator[Index[Placed]]:
        if placed.keys is None:
            yield self._index
            return
        for key in placed.keys:
            yield self._bound.setdefault(key, Index())

    def forget(self, placed: Placed) -> None:
        """Drop the partial matches of a rule."""
        for key in self.keys_of(placed):
            self.put(placed, key, Partials())

    def keys_of(self, placed: Placed) -> list[Key]:
        """Return the keys for which a rule has partial matches."""
        return [key for key, states in self.open.items() if placed in states]

    def put(self, placed: Placed, key: Key, partials: Partials) -> None:
        """Give a rule these partial matches for a key, in the place of those that it has."""
        states = self.open.setdefault(key, {})
        states[placed] = partials
        self._settle(placed, key, states, partials)
        self._watch(placed, key, partials)

    # --- events ---

    def feed(self, events: Iterable[Incoming], late: list[Incoming]) -> list[Result]:
        """Take events in the order in which they came; those that the watermark has passed are added to ``late``.

        Returns what is found at once: in event time nothing.
        """
        if not self.event_time:
            return [result for event in events for result in self._arrive(event)]
        clock, waiting = self.clock, self.waiting
        for event in events:
            if clock is not None and event[0] <= clock:
                late.append(event)
            else:
                waiting.append(event)
        self._unsorted = True
        return []

    def advance(self, time: int) -> list[Result]:
        """Let the watermark, or the clock, come to a time, ms. It never goes back. Returns what is found."""
        if self.clock is not None and time <= self.clock and self.event_time:
            return []
        self.clock = time if self.clock is None else max(time, self.clock)
        results: list[Result] = []
        if self.waiting and self.event_time:
            if self._unsorted:
                self.waiting.sort(key=_place)
                self._unsorted = False
            at = bisect_right(self.waiting, time, key=_time)
            due = self.waiting[:at]
            del self.waiting[:at]
            self._take_all(due, results)
        self._ring(time, results)
        return results

    @property
    def next_alarm(self) -> int | None:
        """When the clock may next end a partial match, ms."""
        return self._alarms[0][0] if self._alarms else None

    def _arrive(self, event: Incoming) -> list[Result]:
        results: list[Result] = []
        self.clock = event.time if self.clock is None else max(self.clock, event.time)
        self._take_all([event], results)
        return results

    def _take_all(self, events: list[Incoming], results: list[Result]) -> None:
        """The path of every event: most of them concern no rule."""
        find, bound, is_open, alarms = self._index.find, self._bound, self.open, self._alarms
        now = 0
        for event in events:
            time, _position, key, value, _line = event
            if self._handed and time != now:
                self._look_again(now, results)
            now = time
            if alarms and alarms[0][0] <= time:
                self._ring(time, results)
            beginning = find(value)
            if bound and key in bound:
                beginning = beginning + bound[key].find(value)
            if beginning or key in is_open:
                self._take(event, beginning, results)
        if self._handed:
            self._look_again(now, results)

    def _take(self, event: Incoming, beginning: list[Placed], results: list[Result]) -> None:
        time, position, key, value, line = event
        states = self.open.get(key)
        if states is None:
            states = self.open[key] = {}
        memo: Memo = {}
        taken = Event(value, time, next(self._numbers), position, line)
        begins = {placed for placed in beginning if placed.is_bound is None or placed.is_bound(key)}
        concerned = begins.union(states)
        for placed in sorted(concerned, key=_by_order) if len(concerned) > 1 else concerned:
            partials = states.get(placed)
            if partials is None:
                partials = states[placed] = Partials()
            self._hand(placed, partials, taken, memo, begins=placed in begins, key=key, results=results)
            if partials.idle:
                del states[placed]
        if not states:
            self.open.pop(key, None)

    def _hand(
        self,
        placed: Placed,
        partials: Partials,
        event: Event,
        memo: Memo,
        *,
        begins: bool,
        key: Key,
        results: list[Result],
    ) -> None:
        """Hand an event to the partial matches of one rule."""
        machine = placed.machine
        if partials.stopped:
            return
        before, withheld = partials.runs, partials.withheld
        if machine.waits_between and (key, placed) not in self._handed:
            self._note(placed, key, machine.advance(partials, event.time), results)
            if self.event_time:
                self._handed[(key, placed)] = None
        try:
            found = machine.take(partials, event, memo, begins=begins)
        except TooManyPartialMatches:
            placed.overflows += 1
            self.stopped.append((placed, key))
            found = []
        runs = partials.runs
        if self.changed is not None and (partials.withheld is not withheld or not _same(before, runs)):
            self.changed[(placed, key)] = None
        if found:
            self._note(placed, key, found, results)
        if machine.window and runs:
            if machine.waits_between and runs[-1].first is event:
                self._alarm(event.time + machine.window, key, placed)
            self._watch(placed, key, partials)

    def _note(self, placed: Placed, key: Key, found: list[Found], results: list[Result]) -> None:
        for each in found:
            if each.kind == "match":
                placed.matches += 1
            else:
                placed.timeouts += 1
            results.append(Result(placed, key, each))

    def _settle(self, placed: Placed, key: Key, states: dict[Placed, Partials], partials: Partials) -> None:
        """Let go of what is empty."""
        if partials.idle:
            del states[placed]
            if not states:
                self.open.pop(key, None)

    # --- the clock ---

    def _look_again(self, time: int, results: list[Result]) -> None:
        """Let the clock stand once more at the time of events that were taken, as Flink does behind them.

        It ends partial matches that came to a stage whose window was over before they came.
        """
        handed, self._handed = self._handed, {}
        for key, placed in handed:
            self._ring_one(placed, key, time, results)

    def _watch(self, placed: Placed, key: Key, partials: Partials) -> None:
        if partials.alarm is None and (due := placed.machine.due(partials)) is not None:
            partials.alarm = due
            self._alarm(due, key, placed)

    def _alarm(self, due: int, key: Key, placed: Placed) -> None:
        heapq.heappush(self._alarms, (due, next(self._numbers), key, placed))
        if len(self._alarms) > self._compact_at:
            self._alarms[:] = [each for each in self._alarms if each[3] in self.open.get(each[2], ())]
            heapq.heapify(self._alarms)
            self._compact_at = 2 * len(self._alarms) + _SLACK

    def _ring(self, time: int, results: list[Result]) -> None:
        """Stop the clock at every moment up to a time at which partial matches end."""
        while self._alarms and self._alarms[0][0] <= time:
            due, _number, key, placed = heapq.heappop(self._alarms)
            self._ring_one(placed, key, due, results)

    def _ring_one(self, placed: Placed, key: Key, time: int, results: list[Result]) -> None:
        states = self.open.get(key)
        partials = None if states is None else states.get(placed)
        if states is None or partials is None:
            return
        if partials.alarm == time:
            partials.alarm = None
        before = partials.runs
        self._note(placed, key, placed.machine.advance(partials, time), results)
        if self.changed is not None and not _same(before, partials.runs):
            self.changed[(placed, key)] = None
        self._watch(placed, key, partials)
        self._settle(placed, key, states, partials)


def _by_order(placed: Placed) -> int:
    return placed.order


def _same(before: list[Any], after: list[Any]) -> bool:
    return len(before) == len(after) and all(one is other for one, other in zip(before, after, strict=True))
