"""Events whose event time has not come: rules hold them in the memory of a lane, and the host keeps what they came as.

A lane that dies gets them again. They are in every checkpoint, as rows, so that a host that dies has them too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import msgspec

from trimtab.engine.batch import Batch, Events, SourceSpec
from trimtab.engine.result import BatchResult
from trimtab.engine.state import StateRow, cleared

WAITING = "\0waiting"
"""``script`` of the rows; their ``key`` is the lane."""
_REACHED = "reached:"
_EVENTS = "events:"

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Batch).decode


class Waiting:
    """What waits in one lane. ``lane``: its index."""

    def __init__(self, lane: int) -> None:
        self.reached: dict[str, int] = {}
        """How far event time has come in the lane, by source."""
        self._told: dict[str, int] = {}
        self._key = str(lane)
        self._batches: dict[int, tuple[int, Batch]] = {}
        """By id, with the highest event time in it."""
        self._stored: dict[str, int] = {}
        """Names of the rows in the last checkpoint; with what was reached, where that is what they say."""

    def restarted(self) -> None:
        """The lane begins anew: it knows how far event time had come, and not what it was told since."""
        self._told.clear()

    @property
    def batches(self) -> list[Batch]:
        """What the lane is to hold, in the order in which it came."""
        return [batch for _latest, batch in self._batches.values()]

    def take(self, batch: Batch, latest: int) -> None:
        """Keep a batch of which the highest event time is ``latest``."""
        self._batches[batch.id] = (latest, batch)

    def note(self, batch: Batch, result: BatchResult) -> None:
        """Take note of a batch that the lane has handled, and of what came of it."""
        self._told |= batch.watermarks
        if batch.only is None and not (batch.isolated and batch.count):  # else time stands still in the lane
            self.reached |= self._told
        if not result.holds:
            self._batches.clear()
            return
        if result.latest is not None and batch.only is None:
            self.take(batch, result.latest)
        for number, (highest, each) in list(self._batches.items()):
            if highest <= self.reached.get(each.source, highest - 1):
                del self._batches[number]

    def rows(self) -> list[StateRow]:
        """Return what is different from what the last call has returned, as rows."""
        names = {f"{_EVENTS}{number}": 0 for number in self._batches}
        if names:
            names |= {f"{_REACHED}{source}": time for source, time in self.reached.items()}
        gone = [StateRow(WAITING, self._key, name, None) for name in self._stored if name not in names]
        new = [self._row(name) for name, said in names.items() if self._stored.get(name) != said]
        self._stored = names
        return gone + new

    def _row(self, name: str) -> StateRow:
        if name.startswith(_REACHED):
            value = msgspec.json.encode(self.reached[name.removeprefix(_REACHED)])
        else:
            value = _encode(self._batches[int(name.removeprefix(_EVENTS))][1])
        return StateRow(WAITING, self._key, name, value)


class Stored:
    """What waited when a checkpoint was taken, made from its rows."""

    def __init__(self, rows: Iterable[StateRow]) -> None:
        self._reached: dict[str, dict[str, int]] = {}
        self._batches: dict[str, list[Batch]] = {}
        for row in rows:
            if row.value is None:
                continue
            if row.name.startswith(_REACHED):
                source = row.name.removeprefix(_REACHED)
                self._reached.setdefault(row.key, {})[source] = msgspec.json.decode(row.value)
            else:
                self._batches.setdefault(row.key, []).append(_decode(row.value))

    def clocks(self) -> dict[str, int]:
        """Return how far event time had come in every lane, by source."""
        clocks: dict[str, int] = {}
        for reached in self._reached.values():
            for source, time in reached.items():
                clocks[source] = min(time, clocks.get(source, time))
        return clocks

    def events(self, sources: Mapping[str, SourceSpec]) -> Iterator[tuple[Batch, Events]]:
        """Yield what waits, lane by lane in the order in which it came: batches that hold nothing else."""
        for lane, batches in self._batches.items():
            for batch in sorted(batches, key=lambda each: each.id):
                spec = sources.get(batch.source)
                if spec is None:
                    continue
                reached = self._reached.get(lane, {}).get(batch.source)
                events = Events(batch, spec, decoded=False)
                kept = [i for i in range(events.count) if reached is None or events.timestamp(i) > reached]
                if kept:
                    part = chosen(batch, events.lines, kept)
                    yield part, Events(part, spec, decoded=False)


def chosen(batch: Batch, lines: Sequence[bytes], indexes: Sequence[int]) -> Batch:
    """Return a batch with some of the events of another one."""
    positions = batch.positions_of(lines)
    return msgspec.structs.replace(
        batch,
        data=b"\n".join([lines[i] for i in indexes]),
        count=len(indexes),
        positions=[positions[i] for i in indexes],
        watermarks={},
    )


def distribute(
    stored: Stored,
    sources: Mapping[str, SourceSpec],
    lanes: Sequence[Waiting],
    index_of: Callable[[object], int],
    next_id: Callable[[], int],
    watermarks: Mapping[str, int],
) -> list[StateRow]:
    """Give lanes what waited when a checkpoint was taken, whatever lanes there were then.

    ``watermarks``: of the sources in that checkpoint; where nothing waited, lanes had come as far. Returns the row that
    says that what is stored is stored anew.
    """
    clocks = {**watermarks, **stored.clocks()}
    for waiting in lanes:
        waiting.reached.update(clocks)
    found = False
    for batch, events in stored.events(sources):
        found = True
        keys = _keys(batch, events)
        for index, waiting in enumerate(lanes):
            mine = [i for i, key in enumerate(keys) if index_of(key) == index]
            if mine:
                part = chosen(batch, events.lines, mine)
                part.id = next_id()
                waiting.take(part, max(events.timestamp(i) for i in mine))
    return [cleared(WAITING)] if found else []


def _keys(batch: Batch, events: Events) -> list[object]:
    if batch.rekeyed is not None:
        rekeyed = Events(batch, SourceSpec(key=batch.rekeyed), decoded=False)
        return list(rekeyed.keys or [])
    return [events.key(index) for index in range(events.count)]
