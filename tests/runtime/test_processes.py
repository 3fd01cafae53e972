"""Workers: everything a process has said is heard, however it ended."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable

import pytest

from tests.runtime.held_lanes import NoOwner
from trimtab.engine.engine import Plan
from trimtab.errors import LaneDied
from trimtab.runtime import wire
from trimtab.runtime.processes import NurseryProcess, Worker
from trimtab.runtime.supervisor import Lane

SETUP = wire.Setup(
    sources={}, sinks=[], folder="/nonexistent", roots=[], cache="/nonexistent", memory=1 << 28, confined=None
)


async def with_worker(use: Callable[[Worker], Awaitable[None]]) -> None:
    async with NurseryProcess(SETUP) as nursery:
        worker = await nursery.start(b"L")
        try:
            await use(worker)
        finally:
            worker.kill()
            await worker.close()


def test_what_a_process_said_before_it_ended_with_messages_unread_is_heard() -> None:
    async def use(worker: Worker) -> None:
        for generation in range(1, 4):
            worker.send(wire.Prepare(Plan(generation, {}, [], [])))
        worker.send(wire.Stop())
        for _ in range(10):  # nobody reads these, so the connection is reset
            worker.send(wire.Abort())
        assert await worker.ended == 0
        for _ in range(10):  # nor these: the connection is broken
            worker.send(wire.Abort())
            await asyncio.sleep(0)
        heard = [await worker.receive() for _ in range(3)]
        assert heard == [wire.Prepared(1), wire.Prepared(2), wire.Prepared(3)]
        assert await worker.receive() is None

    asyncio.run(with_worker(use))


def test_a_nursery_that_ends_while_it_starts_is_told_to_who_waits_for_a_worker() -> None:
    async def start() -> None:
        async with NurseryProcess(SETUP) as nursery:
            os.kill(nursery.pid, signal.SIGSTOP)  # so that it ends with a request unread, which resets the connection
            starting = asyncio.create_task(nursery.start(b"L"))
            await asyncio.sleep(0)
            os.kill(nursery.pid, signal.SIGKILL)
            with pytest.raises(LaneDied, match="the nursery process is gone"):
                await asyncio.wait_for(starting, 20)
            await nursery.ended

    asyncio.run(start())


class SlowOwner(NoOwner):
    """Gives a lane its process when a test says so."""

    def __init__(self, nursery: NurseryProcess) -> None:
        self._nursery = nursery
        self.asked = asyncio.Event()
        self.go = asyncio.Event()

    async def start_worker(self) -> Worker:
        self.asked.set()
        await self.go.wait()
        return await self._nursery.start(b"L")


def test_a_lane_that_is_stopped_while_its_process_is_born_ends() -> None:
    async def stop() -> str:
        async with NurseryProcess(SETUP) as nursery:
            owner = SlowOwner(nursery)
            lane = Lane(0, owner, 0)
            running = asyncio.create_task(lane.run())
            await owner.asked.wait()
            lane.stop()
            owner.go.set()
            await asyncio.wait_for(running, 20)
            return lane.state

    assert asyncio.run(stop()) == "stopped"
