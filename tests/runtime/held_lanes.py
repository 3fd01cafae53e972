"""Lanes whose processes never start: what is put into their queues stays there until a test takes it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence

from trimtab.engine.batch import SourceSpec
from trimtab.engine.engine import Plan
from trimtab.engine.result import BatchResult
from trimtab.engine.script import LogEntry
from trimtab.engine.state import DueTimer, StateRow
from trimtab.errors import Fault
from trimtab.runtime.processes import Worker
from trimtab.runtime.router import Router
from trimtab.runtime.supervisor import Lane
from trimtab.runtime.work import Barrier, Cut, Work


class NoOwner:
    """Owns lanes that are not run, so it is never asked for anything."""

    async def start_worker(self) -> Worker:
        raise NotImplementedError

    def plan_of(self, generation: int) -> Plan:
        raise NotImplementedError

    def state_of(self, lane: int) -> AsyncIterator[list[StateRow]]:
        raise NotImplementedError

    def state_versions(self) -> Mapping[str, str]:
        raise NotImplementedError

    def watermarks(self, place: int | None) -> Mapping[str, int]:
        raise NotImplementedError

    def longest_timeout(self) -> float:
        raise NotImplementedError

    def earlier_rules(self) -> Mapping[str, Sequence[bytes | None]]:
        raise NotImplementedError

    async def finished(self, work: Work, result: BatchResult) -> None:
        raise NotImplementedError

    async def abandoned(self, work: Work, script: str | None, fault: Fault, timer: DueTimer | None) -> None:
        raise NotImplementedError

    def room_made(self) -> None:
        raise NotImplementedError

    def logged(self, entries: list[LogEntry]) -> None:
        raise NotImplementedError

    def closed(self, script: str, version: str, fault: Fault | None) -> None:
        raise NotImplementedError

    def lane_event(self, lane: Lane, event: str, detail: str) -> None:
        raise NotImplementedError


class HeldLane(Lane):
    """``taken`` holds what was taken from the queue, in order."""

    def __init__(self, index: int, target: int) -> None:
        super().__init__(index, NoOwner(), 1)
        self.target = target
        self.taken: list[Work | Cut | Barrier] = []

    def take(self) -> None:
        """Take one item, joined with what fits, as the lane would send it. Its deliveries are not told."""
        if self._queue:
            item = self._queue.popleft()
            if isinstance(item, Work):
                item = self._gather(item)
                self._queued -= item.batch.count
            self.taken.append(item)

    @property
    def works(self) -> list[Work]:
        """What was taken but for the cuts."""
        return [item for item in self.taken if isinstance(item, Work)]


def held(lanes: int, key: str | None, *, target: int = 4) -> tuple[Router, list[HeldLane]]:
    """A router to held lanes, with one source ``gps``."""
    made = [HeldLane(index, target) for index in range(lanes)]
    return Router(made, {"gps": SourceSpec(key=key)}, 1), made
