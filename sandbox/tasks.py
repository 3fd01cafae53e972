"""The event loop of a lane, and the threads in which calls to the outside wait."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop, Future

Result = TypeVar("Result")

MOST_THREADS = 128
"""Calls that may wait at the same time."""
STACK = 512 << 10
"""Bytes of stack a thread: the usual 8 MB would count towards the lane's memory limit."""
BETWEEN_HEARTBEATS = 0.1
"""Seconds."""


class EventLoopTasks:
    """The ``Tasks`` of a process whose main thread runs scripts. Loop and threads are made when first needed.

    ``heartbeat`` is called while the loop runs, every 100 ms: the lane's sign of life. It must not block.
    """

    def __init__(self, heartbeat: Callable[[], None] = lambda: None) -> None:
        self._heartbeat = heartbeat
        self._loop: AbstractEventLoop | None = None
        self._threads: ThreadPoolExecutor | None = None

    @property
    def loop(self) -> AbstractEventLoop:
        """See ``Tasks``."""
        if self._loop is None:
            from asyncio import new_event_loop  # most lanes never wait

            self._loop = new_event_loop()
        return self._loop

    def call(self, function: Callable[[], Result]) -> Future[Result]:
        """See ``Tasks``."""
        if self._threads is None:
            threading.stack_size(STACK)
            self._threads = ThreadPoolExecutor(MOST_THREADS, "call")
        return self.loop.run_in_executor(self._threads, function)

    def wake(self) -> None:
        """See ``Tasks``."""
        if self._loop is not None:
            self._loop.stop()

    def turn(self) -> None:
        """See ``Tasks``."""
        self.loop.call_soon(self.loop.stop)
        self.loop.run_forever()

    def run(self, until: Callable[[], bool], readable: int | None = None) -> bool:
        """See ``Tasks``."""
        if until():
            return False
        loop = self.loop
        ready = threading.Event()

        def read() -> None:
            ready.set()
            loop.stop()

        if readable is not None:
            loop.add_reader(readable, read)
        beat = _Beat(loop, self._heartbeat)
        try:
            while not until() and not ready.is_set():
                loop.run_forever()
            return ready.is_set()
        finally:
            beat.stop()
            if readable is not None:
                loop.remove_reader(readable)

    def close(self) -> None:
        """End the threads that have nothing to do, and the loop."""
        if self._threads is not None:
            self._threads.shutdown(wait=False, cancel_futures=True)
        if self._loop is not None:
            self._loop.close()


class _Beat:
    """Calls a function again and again while a loop runs."""

    def __init__(self, loop: AbstractEventLoop, function: Callable[[], None]) -> None:
        self._loop, self._function = loop, function
        self._beat()

    def stop(self) -> None:
        self._next.cancel()

    def _beat(self) -> None:
        self._function()
        self._next = self._loop.call_later(BETWEEN_HEARTBEATS, self._beat)
