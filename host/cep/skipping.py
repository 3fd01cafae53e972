"""After-match skip strategies: what is dropped when a match is found. As Flink's ``AfterMatchSkipStrategy``."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from trimtab.cep.pattern import SkipStrategy
from trimtab.cep.runs import Event, Run, taken

Order: TypeAlias = tuple[int, int]
"""The place of an event: its time, then when it was processed."""
Prune: TypeAlias = Callable[[Run], tuple[Order, bool] | None]
"""Tells of a match where it drops what began before, and at that place too where the second value is true.

None: it drops nothing, since the stage that the strategy names took no event.
"""


def pruning(strategy: SkipStrategy) -> Prune | None:
    """Return what tells of a match which others it drops; None for a strategy that never drops anything."""
    stage = strategy.stage
    match strategy.kind:
        case "NO_SKIP":
            return None
        case "SKIP_TO_NEXT":
            return lambda match: (order(match.first), True)
        case "SKIP_PAST_LAST_EVENT":
            return lambda match: (order(match.path.event), True)
        case "SKIP_TO_FIRST":
            return lambda match: _before([each.event for each in taken(match.path) if each.stage == stage][-1:])
        case "SKIP_TO_LAST":
            return lambda match: _before([each.event for each in taken(match.path) if each.stage == stage][:1])


def order(event: Event) -> Order:
    """Return the place of an event."""
    return event.time, event.number


def _before(events: list[Event]) -> tuple[Order, bool] | None:
    return (order(events[0]), False) if events else None
