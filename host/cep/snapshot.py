"""Partial matches as JSON: what a checkpoint holds. Events that several of them share are written once."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import msgspec

from trimtab.cep.runs import Event, Partials, Run, Taken, taken
from trimtab.values import Row, decode

_encode = msgspec.json.Encoder().encode


class StoredEvent(msgspec.Struct, array_like=True, frozen=True):
    """An event as it is stored."""

    time: int
    number: int
    position: int
    value: msgspec.Raw


class StoredPartials(msgspec.Struct, array_like=True, frozen=True):
    """The partial matches of one rule and key as they are stored.

    ``taken``: stage, event (an index) and what was taken before (an index, -1: nothing). ``runs``, ``withheld``: state
    and what was taken last (an index).
    """

    events: list[StoredEvent]
    taken: list[tuple[str, int, int]]
    runs: list[tuple[int, int]]
    withheld: list[tuple[int, int]]
    stopped: bool = False
    deadlines: tuple[int, ...] = ()


def store(partials: Partials) -> StoredPartials:
    """Return partial matches as they are stored."""
    if len(partials.runs) == 1 and not partials.withheld:
        return _store_one(partials, partials.runs[0])
    writer = _Writer()
    runs, withheld = writer.runs(partials.runs), writer.runs(partials.withheld)
    return StoredPartials(writer.events, writer.taken, runs, withheld, partials.stopped, partials.deadlines)


def _store_one(partials: Partials, run: Run) -> StoredPartials:
    """Store a single one, as most are: it shares nothing."""
    path = list(taken(run.path))[::-1]
    events = [_stored(each.event) for each in path]
    stages = [(each.stage, index, index - 1) for index, each in enumerate(path)]
    last = len(path) - 1
    return StoredPartials(events, stages, [(run.state, last)], [], partials.stopped, partials.deadlines)


def load(stored: StoredPartials, number: Callable[[], int]) -> Partials:
    """Return partial matches from what is stored. ``number``: gives events their places in the order of all."""
    order = sorted(range(len(stored.events)), key=lambda index: stored.events[index].number)
    numbers = {index: number() for index in order}
    events = [
        Event(decode(each.value), each.time, numbers[index], each.position) for index, each in enumerate(stored.events)
    ]
    paths: list[Taken] = []
    firsts: list[Event] = []
    for stage, event, previous in stored.taken:
        paths.append(Taken(stage, events[event], paths[previous] if previous >= 0 else None))
        firsts.append(firsts[previous] if previous >= 0 else events[event])
    partials = Partials()
    partials.runs = [Run(state, paths[path], firsts[path]) for state, path in stored.runs]
    partials.withheld = [Run(state, paths[path], firsts[path]) for state, path in stored.withheld]
    partials.stopped, partials.deadlines = stored.stopped, stored.deadlines
    return partials


def _stored(event: Event) -> StoredEvent:
    value = event.value
    text = msgspec.Raw(value.line.rstrip() if isinstance(value, Row) else _encode(value))
    return StoredEvent(event.time, event.number, event.position, text)


class _Writer:
    """Numbers what is shared."""

    def __init__(self) -> None:
        self.events: list[StoredEvent] = []
        self.taken: list[tuple[str, int, int]] = []
        self._events: dict[int, int] = {}
        self._taken: dict[int, int] = {}

    def runs(self, runs: Iterable[Run]) -> list[tuple[int, int]]:
        return [(run.state, self._path(run.path)) for run in runs]

    def _path(self, path: Taken) -> int:
        unknown: list[Taken] = []
        each: Taken | None = path
        while each is not None and id(each) not in self._taken:
            unknown.append(each)
            each = each.previous
        previous = -1 if each is None else self._taken[id(each)]
        for one in reversed(unknown):
            self.taken.append((one.stage, self._event(one.event), previous))
            previous = self._taken[id(one)] = len(self.taken) - 1
        return previous

    def _event(self, event: Event) -> int:
        if id(event) not in self._events:
            self._events[id(event)] = len(self.events)
            self.events.append(_stored(event))
        return self._events[id(event)]
