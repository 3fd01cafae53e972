"""What the scripts must have done with some events, computed without any host."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from tests.chaos.workload import BOTH, TIMER_MS, Event

Identity = tuple[str, str, str, int]
"""Of what was emitted: script, kind, key, number of the event."""
Facts = dict[str, Any]
Letter = tuple[str, int]
"""A dead letter: script, number of the event."""


@dataclass(slots=True)
class Outcome:
    """All that can be seen: what must be emitted, with what, and the dead letters."""

    rows: dict[Identity, Facts] = field(default_factory=dict)
    letters: set[Letter] = field(default_factory=set)
    order: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    """The numbers of the counted events by key, in the order in which they are handled."""


def outcome(events: Iterable[Event]) -> Outcome:
    """Return what comes of events; those of one key must come in their order."""
    expected = Outcome()
    states: dict[str, dict[str, int]] = defaultdict(dict)
    audits = []
    for event in events:
        if event.do == "count":
            _count(event, states[event.key], expected)
        elif event.do == "fail":
            expected.letters |= {(script, event.n) for script in BOTH}
        elif event.do == "audit":
            audits.append(event)
    for event in audits:  # they are sent when all timers have fired
        _emit(expected, "audit", event, {"state": dict(states[event.key])})
    return expected


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
    expected.order[event.key].append(event.n)


def _emit(expected: Outcome, kind: str, event: Event, facts: Facts) -> None:
    for script in BOTH:
        expected.rows[script, kind, event.key, event.n] = facts
