"""Runs the sources, and turns what they read into events."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec
import structlog

from trimtab.api import Codec, CodecError, Records, Source, SourceContext, SourceError
from trimtab.engine.watermark import Watermark
from trimtab.runtime.router import Router

MOST_BACK_OFF = 10.0

Reject = Callable[[str, bytes, str, int, str], Awaitable[None]]
"""Takes a record that is not valid: source, bytes, partition, position, reason."""


class SourceStatus(msgspec.Struct):
    """What ``status`` shows of a source."""

    received: int = 0
    handled: int = 0
    lag: int = 0
    rejected: int = 0
    watermark: int | None = None
    state: str = "waiting"
    error: str | None = None
    position: str | None = None


class Ingest(SourceContext):
    """One source with what the host does for it: decoding, routing, counting, starting it again."""

    def __init__(
        self, name: str, folder: Path, codec: Codec, lateness: float, router: Router, reject: Reject, run: str
    ) -> None:
        self.name, self.folder, self.codec, self.partition = name, folder, codec, run
        self.watermark = Watermark(int(lateness * 1000))
        self._counts = SourceStatus()
        self._source: Source | None = None
        self._router = router
        self._reject = reject
        self._log = structlog.get_logger("trimtab.source").bind(source=name)

    # --- what sources call ---

    async def deliver(self, records: Records) -> asyncio.Future[None]:
        """See :meth:`SourceContext.deliver`."""
        if not self.codec.is_json:
            records = await self._decode(records)
        if not records.data:
            nothing: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            nothing.set_result(None)
            return nothing
        count = records.data.count(b"\n") + 1
        self._counts.received += count
        delivery = await self._router.route(self.name, records, count, time.time_ns() // 1_000_000)
        delivery.done.add_done_callback(lambda _done: self._handled(count))
        return delivery.done

    async def reject(self, record: bytes, position: int, reason: str, partition: str | None = None) -> None:
        """See :meth:`SourceContext.reject`."""
        await self._reject_from(record, self.partition if partition is None else partition, position, reason)

    def has_room(self) -> bool:
        """See :meth:`SourceContext.has_room`."""
        return self._router.has_room()

    # --- what the host calls ---

    def status(self) -> SourceStatus:
        """Count what there is."""
        counts = self._counts
        counts.lag = counts.received - counts.handled
        counts.watermark = self.watermark.value
        counts.position = self._source.position() if self._source else None
        return counts

    async def run(self, source: Source) -> None:
        """Run the source to its end; start it again when it fails for a while. Raises :class:`SourceError`."""
        self._source = source
        attempt = 0
        while True:
            received = self._counts.received
            self._counts.state = "running"
            try:
                await source.run()
            except SourceError as error:
                self._counts.error = str(error)
                self._counts.state = "failed"
                if not error.retryable:
                    raise
                attempt = attempt + 1 if self._counts.received == received else 1  # it has worked in between
                pause = min(MOST_BACK_OFF, 0.1 * 2**attempt)
                self._log.warning("source failed; trying again", error=str(error), seconds=pause)
                await asyncio.sleep(pause)
            else:
                self._counts.state = "finished"
                self._counts.error = None
                return

    def _handled(self, count: int) -> None:
        self._counts.handled += count

    async def _decode(self, records: Records) -> Records:
        """Turn records of a codec into JSON texts; those that are not valid go to the dead letters."""
        lines = records.data.split(b"\n") if self.codec.lines else [records.data]
        texts: list[bytes] = []
        kept: list[int] = []
        position = records.start
        for index, line in enumerate(lines):
            at = position if records.positions is None else records.positions[index]
            position += len(line) + 1
            try:
                texts.append(self.codec.to_json(line))
                kept.append(at)
            except CodecError as error:
                await self._reject_from(line, records.partition, at, str(error))
        return Records(b"\n".join(texts), positions=kept, partition=records.partition)

    async def _reject_from(self, record: bytes, partition: str, position: int, reason: str) -> None:
        self._counts.rejected += 1
        await self._reject(self.name, record, partition, position, reason)
