"""Brings events to lanes: unkeyed ones wherever there is room, those of one key always to the same lane."""

from __future__ import annotations

import asyncio
import itertools
import zlib
from collections.abc import Iterator, Sequence

import msgspec

from trimtab.api import Position, Records
from trimtab.engine.batch import Batch, SourceSpec, read_keys
from trimtab.engine.engine import Plan
from trimtab.errors import Fault
from trimtab.runtime.supervisor import Lane
from trimtab.runtime.work import Barrier, Cut, Delivery, Work, tick
from trimtab.values import lines_of, offsets

_KEYS_REMEMBERED = 100_000


class Router:
    """Puts batches into the queues of the lanes, and cuts between generations.

    Whatever is put in between two waits goes into all queues at once, so a cut falls at one point in the order of
    all events.
    """

    def __init__(self, lanes: Sequence[Lane], sources: dict[str, SourceSpec], generation: int) -> None:
        self.generation = generation
        self.place = 0
        """Of what is put into the queues next, in the order in which events were read."""
        self.in_one_lane: frozenset[str] = frozenset()
        """Sources without key whose events keep state: all of it belongs to the key null, so to one lane."""
        self.rekeyed: dict[str, frozenset[str]] = {}
        """By source: the keys that rules have for its events and the source has not."""
        self.positions: dict[str, Position] = {}
        """How far each source has come: up to there everything is in the queues."""
        self._lanes = lanes
        self._sources = sources
        self._ids = itertools.count(1)
        self._freed = asyncio.Event()
        self._lane_of_key = _LaneOfKey(len(lanes))

    def room_made(self) -> None:
        """Wake those who wait for room."""
        self._freed.set()

    def has_room(self) -> bool:
        """Whether every lane would take more at once."""
        return all(lane.has_room for lane in self._lanes)

    def cut(self, plan: Plan) -> list[Cut]:
        """From here on, every event is handled by the plan's generation."""
        self.generation = plan.generation
        cuts = [Cut(plan) for _ in self._lanes]
        for lane, cut in zip(self._lanes, cuts, strict=True):
            lane.cut(cut)
        return cuts

    def bar(self) -> Barrier:
        """Put a barrier into all queues."""
        barrier = Barrier(len(self._lanes))
        for lane in self._lanes:
            lane.bar(barrier)
        return barrier

    def tick(self, lane: Lane, now: int) -> None:
        """Have a lane fire the timers that are due now, in ms."""
        work = tick(now, self.place)
        work.batch.id, work.batch.generation = next(self._ids), self.generation
        lane.put(work)

    async def route(self, source: str, records: Records, count: int, arrival: int) -> Delivery:
        """Bring ``count`` records, which are JSON texts by now, to their lanes; waits while these have no room."""
        delivery = Delivery()
        batch = Batch(
            id=0,
            generation=0,
            source=source,
            data=records.data,
            count=count,
            arrival=arrival,
            partition=records.partition,
            start=records.start,
            positions=None if records.positions is None else list(records.positions),
        )
        remaining: Batch | None = batch
        while remaining is not None:
            lane = await self._lane_with_room(source)
            part, remaining = _split(remaining, count if records.whole else max(lane.target, 1))
            self._put_part(lane, part, delivery)
            self.place += 1
            self.positions[source] = Position(records.partition, _next_position(part, remaining, records.end))
        delivery.complete()
        return delivery

    def skip(self, source: str, records: Records) -> None:
        """Take note that nothing of some records is left to be handled."""
        if records.end is not None:
            self.positions[source] = Position(records.partition, records.end)

    def _put_part(self, lane: Lane, part: Batch, delivery: Delivery) -> None:
        key = self._sources[part.source].key
        if key is None or len(self._lanes) == 1:
            self._put(lane, part, delivery)
        else:
            for index, share in self._shares(part, key):
                self._put(self._lanes[index], share, delivery)
        for path in self.rekeyed.get(part.source, ()):
            for index, share in self._shares(part, path):
                self._put(self._lanes[index], msgspec.structs.replace(share, rekeyed=path), delivery)

    def next_id(self) -> int:
        """Return an id for a batch that no other has."""
        return next(self._ids)

    def resubmit(self, batch: Batch, key: object, version: tuple[str, bytes] | None) -> asyncio.Future[Fault | None]:
        """Bring one event of the dead letters to the lane of its key. Becomes the fault it fails with, or None."""
        outcome: asyncio.Future[Fault | None] = asyncio.get_running_loop().create_future()
        batch.id, batch.generation = next(self._ids), self.generation
        self._lanes[self.index_of(key)].put(Work(batch, [], version, outcome))
        return outcome

    def _put(self, lane: Lane, batch: Batch, delivery: Delivery) -> None:
        batch.id, batch.generation = next(self._ids), self.generation
        lane.put(Work(batch, [delivery.add()], place=self.place, end=self.place))

    async def _lane_with_room(self, source: str) -> Lane:
        """Wait for room: in any lane for unkeyed events, in every lane for keyed ones, whose share may go anywhere."""
        while True:
            lanes = self._lanes_for(source)
            free = [lane for lane in lanes if lane.has_room]
            if free and (self._sources[source].key is None or len(free) == len(lanes)):
                return min(free, key=lambda lane: lane.backlog)
            self._freed.clear()
            await self._freed.wait()

    def _lanes_for(self, source: str) -> Sequence[Lane]:
        return [self._lanes[self.index_of(None)]] if source in self.in_one_lane else self._lanes

    def _shares(self, batch: Batch, path: str) -> Iterator[tuple[int, Batch]]:
        """Split a batch by the lanes of its keys, keeping the order."""
        lines = lines_of(batch.data)
        positions = batch.positions or offsets(lines, batch.start)
        texts = map(_text, read_keys(batch.data, batch.count, path))
        shares: list[list[int]] = [[] for _ in self._lanes]
        for i, lane in enumerate(map(self._lane_of_key.__getitem__, texts)):
            shares[lane].append(i)
        for index, share in enumerate(shares):
            if share:
                data = b"".join([lines[i] for i in share])[:-1]
                kept = [positions[i] for i in share]
                yield index, msgspec.structs.replace(batch, data=data, count=len(share), positions=kept)

    def index_of(self, key: object) -> int:
        """The lane of a key: by a hash that is the same in every run."""
        return self._lane_of_key[_text(key)]


class _LaneOfKey(dict[str | bytes, int]):
    """The lanes of keys, by their texts; those that were asked for are remembered."""

    def __init__(self, lanes: int) -> None:
        super().__init__()
        self._lanes = lanes

    def __missing__(self, text: str | bytes) -> int:
        if len(self) >= _KEYS_REMEMBERED:
            self.clear()
        data = text.encode() if isinstance(text, str) else text
        index = self[text] = zlib.crc32(data) % self._lanes
        return index


def _text(key: object) -> str | bytes:
    """Return what tells keys apart: 1, 1.0 and "1" are different ones."""
    return key if type(key) is str else msgspec.json.encode(key)


def _split(batch: Batch, most: int) -> tuple[Batch, Batch | None]:
    """Cut off the first ``most`` events."""
    if batch.count <= most:
        return batch, None
    tail = batch.data.split(b"\n", most)[most]
    head = batch.data[: len(batch.data) - len(tail) - 1]
    positions = batch.positions
    first = msgspec.structs.replace(
        batch, data=head, count=most, positions=None if positions is None else positions[:most]
    )
    rest = msgspec.structs.replace(
        batch,
        data=tail,
        count=batch.count - most,
        start=batch.start + len(head) + 1,
        positions=None if positions is None else positions[most:],
    )
    return first, rest


def _next_position(part: Batch, remaining: Batch | None, end: int | None) -> int:
    """Return where reading would go on behind a part of what a source has delivered."""
    if remaining is not None:
        return remaining.start if remaining.positions is None else remaining.positions[0]
    if end is not None:
        return end
    return part.start + len(part.data) + 1 if part.positions is None else part.positions[-1] + 1
