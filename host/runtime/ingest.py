"""Runs the sources, and turns what they read, or accept, into events."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path

import msgspec
import structlog

from trimtab.api import Codec, CodecError, Position, Records, Source, SourceContext, SourceError
from trimtab.engine.watermark import Watermark
from trimtab.runtime.journal import Journal
from trimtab.runtime.router import Router

MOST_BACK_OFF = 10.0
MOST_ACCEPTED = 10_000
"""Events that may be accepted and not delivered yet, before others are told to come back."""
READ_BYTES = 1 << 20
"""Of the journal at once, when the host starts."""

Reject = Callable[[str, bytes, str, int, str], Awaitable[None]]
"""Takes a record that is not valid: source, bytes, partition, position, reason."""


class SourceStatus(msgspec.Struct):
    """What ``status`` shows of a source."""

    received: int = 0
    handled: int = 0
    lag: int = 0
    rejected: int = 0
    late: int = 0
    """Events that came when the watermark had passed them, too late for rules in event time."""
    watermark: int | None = None
    state: str = "waiting"
    error: str | None = None
    position: str | None = None


class Ingest(SourceContext):
    """One source with what the host does for it: decoding, routing, counting, starting it again.

    ``now``: the processing time in ms. ``partition``: of sources that count their own records.
    """

    def __init__(
        self,
        name: str,
        folder: Path,
        codec: Codec,
        lateness: float,
        router: Router,
        reject: Reject,
        journal: Journal,
        partition: str,
        now: Callable[[], int],
    ) -> None:
        self.name, self.folder, self.codec, self.partition = name, folder, codec, partition
        self.watermark = Watermark(int(lateness * 1000))
        self.late = 0
        """Events that came too late for rules."""
        self._counts = SourceStatus()
        self._source: Source | None = None
        self._router = router
        self._reject = reject
        self._journal = journal
        self._now = now
        self._inbox: deque[Records] = deque()
        """What is in the journal, and on its way from there."""
        self._accepted = 0
        """Events in the inbox, or being written to the journal."""
        self._delivering = asyncio.Lock()
        self._deliveries: set[asyncio.Task[None]] = set()
        self._resumed: Position | None = None
        self._room = asyncio.Event()
        self._covered: list[asyncio.Future[None]] = []
        """Of deliveries that no checkpoint holds yet."""
        self._log = structlog.get_logger("trimtab.source").bind(source=name)

    # --- what sources call ---

    async def deliver(self, records: Records) -> asyncio.Future[None]:
        """See :meth:`SourceContext.deliver`."""
        if not self.codec.is_json:
            records = await self._decode(records)
        covered: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if records.data:
            count = records.data.count(b"\n") + 1
            self._counts.received += count
            delivery = await self._router.route(self.name, records, count, self._now())
            delivery.done.add_done_callback(lambda _done: self._handled(count))
        else:
            self._router.skip(self.name, records)
        self._covered.append(covered)
        return covered

    async def accept(self, records: Sequence[bytes]) -> None:
        """See :meth:`SourceContext.accept`. Waits while too much is accepted and not delivered."""
        if not records:
            return
        while self._accepted >= MOST_ACCEPTED:
            self._room.clear()
            await self._room.wait()
        self._accepted += len(records)
        try:
            first = await self._journal.append(self.name, records, lines=self.codec.lines)
        except BaseException:
            self._accepted -= len(records)
            raise
        self._inbox.extend(self._numbered(first, records))  # in the order of the numbers: appends return in it
        self._deliveries.add(task := asyncio.create_task(self._deliver_accepted()))
        task.add_done_callback(self._deliveries.discard)

    async def reject(self, record: bytes, position: int, reason: str, partition: str | None = None) -> None:
        """See :meth:`SourceContext.reject`."""
        await self._reject_from(record, self.partition if partition is None else partition, position, reason)

    def has_room(self) -> bool:
        """See :meth:`SourceContext.has_room`."""
        return self._accepted < MOST_ACCEPTED and self._router.has_room()

    # --- what the host calls ---

    def status(self) -> SourceStatus:
        """Count what there is."""
        counts = self._counts
        counts.lag = counts.received - counts.handled
        counts.watermark = self.watermark.value
        counts.late = self.late
        counts.position = self._source.position() if self._source else None
        return counts

    def position(self) -> Position | None:
        """Return how far the source has come: up to there everything is in the queues of the lanes."""
        position = self._router.positions.get(self.name, self._resumed)
        if position is None or self._source is None:
            return position
        return msgspec.structs.replace(position, noted=self._source.note())

    def resume(self, position: Position | None, watermark: int | None) -> None:
        """Go on from a checkpoint. Called before :meth:`run`."""
        self._resumed, self.watermark.value = position, watermark

    def take_covered(self) -> list[asyncio.Future[None]]:
        """Return the futures of what was delivered since the last time, for when a checkpoint holds it."""
        covered, self._covered = self._covered, []
        return covered

    async def run(self, source: Source) -> None:
        """Run the source to its end; start it again when it fails for a while. Raises :class:`SourceError`.

        What an earlier run has accepted and not handled comes first. When it returns, or is cancelled, all that was
        accepted is delivered.
        """
        self._source = source
        if self._resumed is not None and self._resumed.partition != self._journal.identity:
            source.resume(self._resumed)
        await self._deliver_rest()
        try:
            await self._run(source)
        finally:
            async with self._delivering:
                pass

    async def _run(self, source: Source) -> None:
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

    async def _deliver_rest(self) -> None:
        """Deliver what the journal holds and no checkpoint does."""
        own = self._resumed is not None and self._resumed.partition == self._journal.identity
        after = self._resumed.next if self._resumed is not None and own else 0
        while rest := await asyncio.to_thread(self._journal.read, self.name, after, READ_BYTES):
            for records in rest:
                await self.deliver(records)
            after = self._router.positions[self.name].next

    def _numbered(self, first: int, records: Sequence[bytes]) -> Iterator[Records]:
        if self.codec.lines:
            numbers = range(first, first + len(records))
            yield Records(b"\n".join(records), positions=numbers, partition=self._journal.identity, end=numbers.stop)
            return
        for number, record in enumerate(records, first):
            yield Records(record, positions=[number], partition=self._journal.identity, end=number + 1)

    async def _deliver_accepted(self) -> None:
        async with self._delivering:
            while self._inbox:
                records = self._inbox[0]
                await self.deliver(records)
                self._inbox.popleft()
                self._accepted -= len(records.positions or ())
                self._room.set()

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
        end = records.end if records.end is not None or records.positions is None else records.positions[-1] + 1
        return Records(
            b"\n".join(texts),
            positions=kept,
            partition=records.partition,
            end=position if end is None else end,
            whole=records.whole,
        )

    async def _reject_from(self, record: bytes, partition: str, position: int, reason: str) -> None:
        self._counts.rejected += 1
        await self._reject(self.name, record, partition, position, reason)
