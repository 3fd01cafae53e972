"""What travels through a lane: batches of events, and the cuts between generations."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from msgspec import structs

from trimtab.engine.batch import Batch
from trimtab.engine.engine import Plan
from trimtab.errors import Fault

END_OF_TIME = (1 << 53) - 1
"""The watermark of a source that has ended, in ms: the largest integer that JavaScript holds."""


class Delivery:
    """What a source handed over at once: done when every batch that it became part of is done."""

    def __init__(self) -> None:
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._open = 0
        self._complete = False

    def add(self) -> Delivery:
        """Count one more batch."""
        self._open += 1
        return self

    def complete(self) -> None:
        """Say that no batch will be added any more."""
        self._complete = True
        self._settle()

    def batch_done(self) -> None:
        """Count a batch as done."""
        self._open -= 1
        self._settle()

    def _settle(self) -> None:
        if self._complete and not self._open and not self.done.done():
            self.done.set_result(None)


@dataclass(eq=False, slots=True)
class Work:
    """A batch, and whom to tell when it is done."""

    batch: Batch
    deliveries: list[Delivery]
    replay: tuple[str, bytes] | None = None
    """Name and source of the version of a script that alone gets the batch."""

    outcome: asyncio.Future[Fault | None] | None = None
    """For a replay: becomes the fault of the event, or None when it was handled."""

    started: bool = False
    """Its events are in flight in the lane, which goes on with what follows."""

    place: int = 0
    """Of its first events in the order in which events were read."""

    end: int = 0
    """Of its last events."""

    def settle(self, fault: Fault | None) -> None:
        """Say what came of a replay."""
        if self.outcome is not None and not self.outcome.done():
            self.outcome.set_result(fault)

    def done(self) -> None:
        """Tell everybody."""
        for delivery in self.deliveries:
            delivery.batch_done()

    def singles(self) -> Iterator[Work]:
        """The same events one by one, isolated: after something in this batch took a lane down.

        Then the timers, which do not fire while events are handled in isolation.
        """
        batch = self.batch
        if not batch.count:
            yield replace(self, batch=structs.replace(batch, isolated=True), started=False)
            return
        lines = batch.data.split(b"\n")
        for line, position in zip(lines, batch.positions_of(lines), strict=True):
            single = structs.replace(batch, data=line, count=1, positions=[position], isolated=True)
            deliveries = [delivery.add() for delivery in self.deliveries]
            yield replace(self, batch=single, deliveries=deliveries, started=False)
        self.done()
        if batch.only is None:
            timers = structs.replace(batch, data=b"", count=0, positions=None, isolated=True)
            yield Work(timers, [], place=self.place, end=self.end)

    def without(self, script: str) -> Work:
        """The same events, for all scripts but this one too."""
        return replace(self, batch=structs.replace(self.batch, skip=(*self.batch.skip, script)), started=False)


@dataclass(eq=False, slots=True)
class Cut:
    """The point in a lane's queue from which the next generation handles the events."""

    plan: Plan
    done: asyncio.Future[None] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class Barrier:
    """The point in the order of all events at which a checkpoint is taken: in every lane's queue."""

    def __init__(self, lanes: int) -> None:
        self.passed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done when the results of everything before it were passed on, in every lane."""
        self._left = lanes

    def pass_lane(self) -> None:
        """Count a lane that has passed on everything before."""
        self._left -= 1
        if not self._left and not self.passed.done():
            self.passed.set_result(None)


def tick(now: int, place: int = 0) -> Work:
    """No events: only the timers that are due at a time, in ms, are fired."""
    batch = Batch(id=0, generation=0, source="", data=b"", count=0, arrival=now)
    return Work(batch, [], place=place, end=place)


def joined(first: Work, second: Work, limit: int) -> Work | None:
    """Two pieces of work as one, where they fit together and hold at most ``limit`` events; else None."""
    one, two = first.batch, second.batch
    fits = (
        one.count + two.count <= limit
        and first.outcome is None is second.outcome
        and not (one.isolated or two.isolated)
        and (one.source, one.partition, one.generation, one.only, one.skip, one.rekeyed)
        == (two.source, two.partition, two.generation, two.only, two.skip, two.rekeyed)
    )
    if not fits:
        return None
    if one.positions is None and two.positions is None and two.start == one.start + len(one.data) + 1:
        positions = None
    elif one.positions is not None and two.positions is not None:
        positions = one.positions + two.positions
    else:
        return None
    batch = structs.replace(one, data=one.data + b"\n" + two.data, count=one.count + two.count, positions=positions)
    return Work(batch, first.deliveries + second.deliveries, place=first.place, end=second.end)
