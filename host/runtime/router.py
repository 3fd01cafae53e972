"""Brings events to lanes: unkeyed ones wherever there is room, those of one key always to the same lane."""

from __future__ import annotations

import asyncio
import itertools
import zlib
from collections.abc import Iterator, Sequence

import msgspec

from trimtab.api import Records
from trimtab.engine.batch import Batch, SourceSpec, read_keys
from trimtab.engine.engine import Plan
from trimtab.errors import Fault
from trimtab.runtime.supervisor import Lane
from trimtab.runtime.work import Cut, Delivery, Work

_KEYS_REMEMBERED = 100_000


class Router:
    """Puts batches into the queues of the lanes, and cuts between generations.

    Whatever is put in between two waits goes into all queues at once, so a cut falls at one point in the order of
    all events.
    """

    def __init__(self, lanes: Sequence[Lane], sources: dict[str, SourceSpec], generation: int) -> None:
        self.generation = generation
        self._lanes = lanes
        self._sources = sources
        self._ids = itertools.count(1)
        self._freed = asyncio.Event()
        self._lane_of_key: dict[object, int] = {}

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
        key = self._sources[source].key
        remaining: Batch | None = batch
        while remaining is not None:
            lane = await self._lane_with_room(key)
            part, remaining = _split(remaining, max(lane.target, 1))
            if key is None or len(self._lanes) == 1:
                self._put(lane, part, delivery)
            else:
                for index, share in self._shares(part, key):
                    self._put(self._lanes[index], share, delivery)
        delivery.complete()
        return delivery

    def resubmit(self, batch: Batch, key: object, version: tuple[str, bytes] | None) -> asyncio.Future[Fault | None]:
        """Bring one event of the dead letters to the lane of its key. Becomes the fault it fails with, or None."""
        outcome: asyncio.Future[Fault | None] = asyncio.get_running_loop().create_future()
        batch.id, batch.generation = next(self._ids), self.generation
        self._lanes[self._index_of(key)].put(Work(batch, [], version, outcome))
        return outcome

    def _put(self, lane: Lane, batch: Batch, delivery: Delivery) -> None:
        batch.id, batch.generation = next(self._ids), self.generation
        lane.put(Work(batch, [delivery.add()]))

    async def _lane_with_room(self, key: str | None) -> Lane:
        """Wait for room: in any lane for unkeyed events, in every lane for keyed ones, whose share may go anywhere."""
        while True:
            free = [lane for lane in self._lanes if lane.has_room]
            if free and (key is None or len(free) == len(self._lanes)):
                return min(free, key=lambda lane: lane.backlog)
            self._freed.clear()
            await self._freed.wait()

    def _shares(self, batch: Batch, path: str) -> Iterator[tuple[int, Batch]]:
        """Split a batch by the lanes of its keys, keeping the order."""
        lines = batch.data.split(b"\n")
        positions = batch.positions_of(lines)
        index_of = self._index_of
        chosen = [index_of(key) for key in read_keys(batch.data, batch.count, path)]
        for index in range(len(self._lanes)):
            share = [i for i, lane in enumerate(chosen) if lane == index]
            if share:
                data = b"\n".join([lines[i] for i in share])
                kept = [positions[i] for i in share]
                yield index, msgspec.structs.replace(batch, data=data, count=len(share), positions=kept)

    def _index_of(self, key: object) -> int:
        """The lane of a key: by a hash that is the same in every run."""
        text = key if type(key) is str else msgspec.json.encode(key)  # 1, 1.0 and "1" are different keys
        index = self._lane_of_key.get(text)
        if index is None:
            if len(self._lane_of_key) >= _KEYS_REMEMBERED:
                self._lane_of_key.clear()
            data = text.encode() if isinstance(text, str) else text
            index = self._lane_of_key[text] = zlib.crc32(data) % len(self._lanes)
        return index


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
