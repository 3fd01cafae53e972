"""What the scripts and the rules must have done with some events, computed without any host."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from tests.chaos.rules import CALLED, CLIMB, HIGHS, LOWEST, SKIPPING, WINDOW_MS
from tests.chaos.workload import BOTH, TIMER_MS, Event, Identity

Facts = dict[str, Any]
Letter = tuple[str, int]
"""A dead letter: script, number of the event."""


@dataclass(slots=True)
class Outcome:
    """All that can be seen: what must be emitted, with what, and the dead letters.

    What is counted or found stands in its order for each key.
    """

    emitted: dict[Identity, Facts] = field(default_factory=dict)
    letters: set[Letter] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class Ended:
    """How a partial match has ended. ``at``: event time of its match or time-out, ms."""

    kind: str
    at: int
    low: Event
    highs: Sequence[Event]


def outcome(events: Iterable[Event]) -> Outcome:
    """Return what comes of events; those of one key must come in their order."""
    events = list(events)
    expected = Outcome()
    states: dict[str, dict[str, int]] = defaultdict(dict)
    for event in events:
        if event.do == "count":
            _count(event, states[event.key], expected)
        elif event.do == "fail":
            expected.letters |= {(script, event.n) for script in BOTH}
    matches = {
        (CALLED[rule], key): _find(rule, key, timed, expected)
        for key, timed in _timed(events).items()
        for rule in CALLED
    }
    for event in events:  # audits are sent when all timers have fired and all partial matches have ended
        if event.do == "audit":
            for script in BOTH:
                count = matches.get((script, event.key))
                state = {**states[event.key], "matches": count} if count else dict(states[event.key])
                expected.emitted[script, "audit", event.key, event.n] = {"state": state}
    return expected


def partial_matches(events: Sequence[Event], *, skipping: bool) -> Sequence[Ended]:
    """Return how the partial matches of a key end, in this order, except for those that a match drops.

    Each low value begins one, and what follows decides by itself whether and when it is complete. But if the rule is
    ``skipping``, a match waits until all those that began before have ended, and drops those that began before its
    first high value.
    """
    ended: list[Ended] = []
    released = dropped = 0
    for index, low in enumerate(events):
        if low.value >= LOWEST or (skipping and low.n < dropped):
            continue
        until = _time(low) + WINDOW_MS
        fitting = (event for event in events[index + 1 :] if _time(event) < until and event.value >= low.value + CLIMB)
        highs = list(islice(fitting, HIGHS))
        if len(highs) < HIGHS:
            released = until
            ended.append(Ended("timeout", until, low, highs))
        else:
            complete, dropped = _time(highs[-1]), highs[0].n
            released = max(released, complete) if skipping else complete
            ended.append(Ended("match", released, low, highs))
    return sorted(ended, key=lambda each: (each.at, each.kind))  # a time-out comes behind the matches that it releases


def _time(event: Event) -> int:
    assert event.ts is not None
    return event.ts


def _timed(events: Iterable[Event]) -> dict[str, list[Event]]:
    """Return what rules look at, by key: whatever scripts do with it."""
    timed: dict[str, list[Event]] = defaultdict(list)
    for event in events:
        if event.ts is not None:
            timed[event.key].append(event)
    return timed


def _find(rule: str, key: str, events: Sequence[Event], expected: Outcome) -> int:
    """Have a rule look at the events of a key; returns how many matches there are."""
    count = 0
    for each in partial_matches(events, skipping=rule == SKIPPING):
        count += each.kind == "match"
        stages = {"low": [each.low], "high": list(each.highs)}
        facts: Facts = {
            "timestamp": each.at,
            "events": {stage: taken for stage, taken in stages.items() if taken},
            "count": count if each.kind == "match" else None,
        }
        expected.emitted[rule, each.kind, key, tuple(event.n for event in (each.low, *each.highs))] = facts
    return count


def _count(event: Event, state: dict[str, int], expected: Outcome) -> None:
    count = state["count"] = state.get("count", 0) + 1
    state["last"] = event.n
    state["fired"] = count
    if count % 5:
        state["since"] = state.get("since", 0) + 1
    else:
        del state["since"]
    _emit(expected, "count", event, {"count": count})
    # Where the clock of the machine decides, neither the time nor the order of timers is known beforehand.
    timed = {} if event.ts is None else {"at": event.ts + TIMER_MS, "fired": count}
    _emit(expected, "timer", event, timed)


def _emit(expected: Outcome, kind: str, event: Event, facts: Facts) -> None:
    for script in BOTH:
        expected.emitted[script, kind, event.key, event.n] = facts
