"""The partial matches of a stream, and what events and the clock do to them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple, TypeAlias

from msgspec.structs import replace

from trimtab.cep.alarms import Alarms
from trimtab.cep.bindings import Key
from trimtab.cep.machine import Found, TooManyPartialMatches
from trimtab.cep.opened import Opened, States
from trimtab.cep.placed import Placed
from trimtab.cep.program import Memo
from trimtab.cep.runs import Event, Partials

_SAMPLED = 64
"""One event in so many has its time taken."""

Concerned: TypeAlias = tuple[int, int, Key, Any, int, list[Placed]]
"""An event that concerns somebody: time, number, key, value, position, rules that it may begin a match of."""


class Result(NamedTuple):
    """What was found for a rule and a key."""

    placed: Placed
    key: Key
    found: Found


class Progress:
    """How far the matches of a stream have come."""

    def __init__(self, *, event_time: bool) -> None:
        self.event_time = event_time
        self.open = Opened()
        """The partial matches, by key and rule."""
        self.changed: dict[tuple[Placed, Key], bool] | None = None
        """Where partial matches have changed, if somebody wants to know, and whether there were none before."""
        self.timer: Callable[[], int] | None = None
        """Nanoseconds, to take samples of what events cost; None: none are taken."""
        self.stopped: list[tuple[Placed, Key]] = []
        """Where rules had more partial matches than they may have; for the caller to take."""
        self._alarms = Alarms()
        self._handed: dict[tuple[Key, Placed], None] = {}
        """Rules with windows between events that got one of the time in hand."""

    @property
    def next_alarm(self) -> int | None:
        """When the clock may next end a partial match, ms."""
        return self._alarms.next

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
            self.open.remove(placed, key, before)
            placed.partial_matches -= len(before.runs)
        if not partials.idle:
            own = replace(partials, placed=placed, key=key, alarm=None)  # alarms of the other one may still be set
            self.open.add(placed, key, own)
            placed.partial_matches += len(own.runs)
            for due in own.deadlines:
                self._alarms.ring_at(due, own)
            self._watch(own)

    def take(self, events: Iterable[Concerned], results: list[Result]) -> None:
        """Take events in their order, each after what the clock ends before it."""
        self.open.settle()
        by_key, alarms, now = self.open.by_key, self._alarms.heap, 0
        for time, number, key, value, position, beginning in events:
            states = by_key.get(key)
            if states is None and not beginning:
                continue
            if time != now and self._handed:
                self._look_again(now, results)
                states = by_key.get(key)
            now = time
            if alarms and alarms[0][0] <= time:
                self.ring(time, results)
                states = by_key.get(key)
            event = Event(value, time, number, position)
            only = beginning[0] if len(beginning) == 1 and beginning[0].is_bound is None else None
            if states is None and only is not None:
                self._hand(Partials(placed=only, key=key), True, event, {}, True, results)
            elif type(states) is Partials and (not beginning or states.placed is only):
                self._hand(states, False, event, {}, only is not None, results)
            else:
                self._hand_to_all(key, event, beginning, states, results)
        if self._handed:
            self._look_again(now, results)

    def _hand_to_all(
        self, key: Key, event: Event, beginning: list[Placed], states: States | None, results: list[Result]
    ) -> None:
        """Hand an event to several rules, in the order of the rules."""
        begins = {placed for placed in beginning if placed.is_bound is None or placed.is_bound(key)}
        known = {states.placed: states} if isinstance(states, Partials) else states or {}
        memo = Memo()
        for placed in sorted(begins.union(known), key=_by_order):
            partials = known.get(placed) or Partials(placed=placed, key=key)
            self._hand(partials, placed not in known, event, memo, placed in begins, results)

    def _hand(  # noqa: C901 - the path of every event that concerns a rule
        self, partials: Partials, is_new: bool, event: Event, memo: Memo, begins: bool, results: list[Result]
    ) -> None:
        """Hand an event to the partial matches of one rule."""
        if partials.stopped:
            return
        placed, before, withheld = partials.placed, partials.runs, partials.withheld
        machine = placed.machine
        if machine.waits_between:
            self._let_time_come(partials, event.time, results)
        timer = self.timer if self.timer is not None and not event.number % _SAMPLED else None
        started = 0 if timer is None else timer()
        try:
            found = machine.take(partials, event, memo, begins)
        except TooManyPartialMatches:
            placed.overflows += 1
            self.stopped.append((placed, partials.key))
            found = ()
        if timer is not None:
            placed.samples.append(timer() - started)
        runs = partials.runs
        placed.partial_matches += len(runs) - len(before)
        if self.changed is not None and (before != runs or withheld != partials.withheld or partials.stopped):
            self.changed.setdefault((placed, partials.key), is_new)
        if found:
            self._note(placed, partials.key, found, results)
        if runs or partials.withheld or partials.stopped or partials.deadlines:
            if is_new:
                self.open.add(placed, partials.key, partials)
            if machine.waits_between:
                self._set_alarms(partials, event)
            elif runs and machine.window and partials.alarm is None:
                self._alarms.set(partials, runs[0].first.time, machine.window)
        elif not is_new:
            self.open.remove(placed, partials.key, partials)

    def _let_time_come(self, partials: Partials, time: int, results: list[Result]) -> None:
        """End what is out of time before an event is taken, once for each time."""
        placed, key = partials.placed, partials.key
        if (key, placed) not in self._handed:
            self._note(placed, key, placed.machine.advance(partials, time), results)
            if self.event_time:
                self._handed[(key, placed)] = None

    def _note(self, placed: Placed, key: Key, found: Sequence[Found], results: list[Result]) -> None:
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
        """Set the alarms of a rule with windows between events."""
        machine, runs = partials.placed.machine, partials.runs
        if machine.window and runs and runs[-1].first is event:
            due = event.time + machine.window
            partials.deadlines = (*partials.deadlines, due)
            self._alarms.ring_at(due, partials)
        self._watch(partials)

    def _watch(self, partials: Partials) -> None:
        """Set an alarm for when the clock next ends a partial match."""
        machine, runs = partials.placed.machine, partials.runs
        if partials.alarm is not None or not (machine.window and runs):
            return
        began = runs[0].first.time
        if machine.waits_between:  # then an alarm counts for what comes after the partial matches, too
            partials.alarm = began
            self._alarms.ring_at(began + machine.window, partials)
        else:
            self._alarms.set(partials, began, machine.window)

    def ring(self, time: int, results: list[Result]) -> None:
        """Stop the clock at every moment up to a time at which partial matches end."""
        while (alarm := self._alarms.pop(time)) is not None:
            due, partials = alarm
            self._ring_one(partials.placed, partials.key, due, results)

    def _ring_one(self, placed: Placed, key: Key, time: int, results: list[Result]) -> None:
        partials = self.open.find(placed, key)
        if partials is None:
            return
        if partials.alarm is not None and partials.alarm + placed.machine.window == time:
            partials.alarm = None
        before, deadlines = partials.runs, partials.deadlines
        if deadlines:
            partials.deadlines = tuple(due for due in deadlines if due > time)
        self._note(placed, key, placed.machine.advance(partials, time), results)
        placed.partial_matches += len(partials.runs) - len(before)
        if self.changed is not None and (before != partials.runs or deadlines != partials.deadlines):
            self.changed.setdefault((placed, key), False)
        if partials.idle:
            self.open.remove(placed, key, partials)
        else:
            self._watch(partials)


def _by_order(placed: Placed) -> int:
    return placed.order
