"""What a rule knows while it runs: events that were taken, and the partial matches that hold them.

Events are shared between partial matches and live as long as one of them needs them: a partial match is a chain of
:class:`Taken`, which share their beginnings, and memory is freed when the last chain lets go.

There may be hundreds of thousands of these objects, so they are small, and the garbage collector does not look at them:
none of them can be reached from what it holds.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from trimtab.values import whole


class Event(msgspec.Struct, gc=False, eq=False):
    """An event that some partial match has taken, or may take."""

    value: Any
    """A JSON value, or a row of one: conditions look at either."""
    time: int
    """Event time or arrival, ms."""
    number: int
    """In the order in which events were processed."""
    position: int
    """In the order in which events came."""

    @property
    def whole(self) -> Any:
        """The JSON value."""
        return whole(self.value)


class Taken(msgspec.Struct, frozen=True, gc=False, eq=False):
    """An event in a partial match, and what was taken before it."""

    stage: str
    event: Event
    previous: Taken | None


class Run(msgspec.Struct, frozen=True, gc=False, eq=False):
    """A partial match. ``state``: the number of the automaton's state that it is in."""

    state: int
    path: Taken
    first: Event


def taken(path: Taken | None) -> Iterator[Taken]:
    """Yield what was taken, the last event first."""
    while path is not None:
        yield path
        path = path.previous


def by_stage(path: Taken | None) -> dict[str, list[Event]]:
    """Return the events of each stage that took some, in the order of the pattern."""
    events: dict[str, list[Event]] = {}
    for each in reversed(list(taken(path))):
        events.setdefault(each.stage, []).append(each.event)
    return events


class Partials(msgspec.Struct, gc=False, eq=False):
    """The partial matches of one rule for one key.

    ``runs`` are in the order in which they began. ``withheld`` are complete matches that wait for runs that began
    before them, as skip strategies want it. ``stopped``: there were more than the rule may have. ``alarm``: the time,
    ms, of the first event of the run that the clock is to end next. ``placed`` and ``key``: whose they are.
    ``deadlines``: of rules with windows between events, when the whole windows of all that has begun end, ms: the clock
    looks then, also where that has ended since.
    """

    runs: Sequence[Run] = ()
    withheld: Sequence[Run] = ()
    alarm: int | None = None
    stopped: bool = False
    placed: Any = None
    key: Any = None
    deadlines: tuple[int, ...] = ()

    @property
    def idle(self) -> bool:
        """Whether nothing is kept."""
        return not (self.runs or self.withheld or self.stopped or self.deadlines)
