"""Writes what scripts emit to the sinks: in order, retried, and never lost."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable

import msgspec
import structlog

from trimtab.api import Sink, SinkError
from trimtab.engine.result import Lines

BACK_OFF = 0.1
MOST_BACK_OFF = 10.0


class SinkStatus(msgspec.Struct):
    """What ``status`` shows of a sink."""

    written: int = 0
    failed: int = 0
    error: str | None = None
    """Why it cannot be written at the moment."""


class SinkWriter:
    """One sink with its lock and its retries.

    ``give_up`` takes the lines that the sink refused for good.
    """

    def __init__(self, name: str, sink: Sink, give_up: Callable[[str, Lines, SinkError], Awaitable[None]]) -> None:
        self.name = name
        self.status = SinkStatus()
        self._sink = sink
        self._give_up = give_up
        self._lock = asyncio.Lock()
        self._refusal: str | None = None  # the last one, until a write succeeds
        self._log = structlog.get_logger("trimtab.sink").bind(sink=name)

    async def open(self) -> None:
        """Open the sink. Raises :class:`SinkError`."""
        await self._sink.open()

    async def close(self) -> None:
        """Close the sink; a failure is logged."""
        try:
            await self._sink.close()
        except SinkError as error:
            self._log.error("sink not closed cleanly", error=str(error))

    async def write(self, lines: Lines) -> None:
        """Write values; waits as long as it takes. A sink that fails for a while is tried again and again."""
        async with self._lock:
            attempt = 0
            while True:
                try:
                    await self._sink.write(lines.data, lines.count)
                except SinkError as error:
                    if not error.retryable:
                        self._refused(lines.count, str(error))
                        await self._give_up(self.name, lines, error)
                        return
                    attempt += 1
                    await self._back_off(attempt, error)
                else:
                    self._written(lines.count)
                    return

    async def flush(self) -> None:
        """Have the sink make sure of what it wrote. Raises :class:`SinkError`."""
        async with self._lock:
            await self._sink.flush()

    async def try_once(self, lines: Lines) -> SinkError | None:
        """Write values; returns the error instead of trying again or giving up."""
        async with self._lock:
            try:
                await self._sink.write(lines.data, lines.count)
            except SinkError as error:
                return error
            self._written(lines.count)
        return None

    def _written(self, count: int) -> None:
        self.status.written += count
        self.status.error = self._refusal = None

    def _refused(self, count: int, error: str) -> None:
        """Count refused values; a refusal like the one before is not logged again."""
        self.status.failed += count
        if error != self._refusal:
            self._log.error("sink refused values; refusals like this are only counted now", count=count, error=error)
        self._refusal = error

    async def _back_off(self, attempt: int, error: SinkError) -> None:
        if self.status.error is None:
            self._log.warning("sink cannot be written; trying again", error=str(error))
        self.status.error = str(error)
        await asyncio.sleep(random.uniform(0, min(MOST_BACK_OFF, BACK_OFF * 2**attempt)))
