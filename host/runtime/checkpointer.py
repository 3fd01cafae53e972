"""Takes checkpoints: one point in the order of all events, on the disk with everything that belongs to it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

import msgspec
import structlog

from trimtab.api import Position, SinkError
from trimtab.engine.state import StateRow
from trimtab.errors import StateError
from trimtab.runtime.checkpoints import Checkpoint, Reason
from trimtab.runtime.durable import Durable
from trimtab.runtime.supervisor import Lane
from trimtab.runtime.work import Barrier


@dataclass(frozen=True, slots=True)
class Mark:
    """The point in the order of all events that a checkpoint is of."""

    barrier: Barrier
    generation: int
    sources: Mapping[str, Position]
    watermarks: Mapping[str, int]
    versions: Mapping[str, str]
    """Of the scripts that run."""
    covered: Sequence[asyncio.Future[None]]
    """Of the deliveries that came before."""


class Marked(Protocol):
    """What checkpoints are taken of: the stream."""

    now: Callable[[], int]
    """The processing time in ms."""

    @property
    def lanes(self) -> Sequence[Lane]:
        """All lanes."""

    def mark(self) -> Mark:
        """Put a barrier into the order of all events."""

    async def flush(self) -> None:
        """Have the sinks make sure of what they wrote. Raises :class:`SinkError`."""


class CheckpointStatus(msgspec.Struct):
    """What ``status`` shows of checkpoints."""

    id: int = 0
    """Of the last one; 0: there is none yet."""
    at: int | None = None
    """When it was taken, in ms since the epoch."""
    seconds: float | None = None
    """From the barrier to the disk."""
    changed: int | None = None
    """Rows of state that it wrote."""
    error: str | None = None
    """Why the next one could not be taken."""


class Checkpointer:
    """Takes a checkpoint every ``interval`` seconds, where anything has happened since the last."""

    def __init__(self, stream: Marked, durable: Durable, interval: float) -> None:
        self.status = CheckpointStatus()
        self._stream, self._durable, self._interval = stream, durable, interval
        self._lock = asyncio.Lock()
        self._stopping = asyncio.Event()
        self._taking: set[asyncio.Task[bool]] = set()
        self._covered: list[asyncio.Future[None]] = []
        """What the next checkpoint covers, where one could not be written."""
        self._log = structlog.get_logger("trimtab.checkpoint")
        if durable.checkpoint is not None:
            self._note(durable.checkpoint)

    async def run(self) -> None:
        """Take checkpoints until :meth:`stop`."""
        while not self._stopping.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), self._interval)
            if not self._stopping.is_set():
                await self.take("interval")

    def stop(self) -> None:
        """Have :meth:`run` return, after the checkpoint that is under way."""
        self._stopping.set()

    async def take(self, reason: Reason) -> bool:
        """Take a checkpoint; waits for what was read before it, also for sinks that cannot be written.

        Returns False where it could not be written; what belongs to it then belongs to the next one. One that was begun
        goes on when the caller is cancelled.
        """
        self._taking.add(taking := asyncio.create_task(self._take(reason)))
        taking.add_done_callback(self._taking.discard)
        return await asyncio.shield(taking)

    async def _take(self, reason: Reason) -> bool:
        async with self._lock:
            started = time.monotonic()
            mark = self._stream.mark()
            self._covered += mark.covered
            await mark.barrier.passed
            rows = [row for lane in self._stream.lanes if lane.frozen is not None for row in lane.frozen.rows()]
            rows.sort(key=_is_value)  # a script is cleared before any lane's new values of it
            checkpoint = Checkpoint(
                at=self._stream.now(),
                generation=mark.generation,
                reason=reason,
                seconds=round(time.monotonic() - started, 6),
                sources=dict(mark.sources),
                watermarks=dict(mark.watermarks),
                versions=dict(mark.versions),
            )
            written = False
            try:
                written = not self._says_more(checkpoint, rows) or await self._write(checkpoint, rows)
            finally:
                for lane in self._stream.lanes:
                    lane.thaw(kept=written)
            if written:
                self._settle()
            return written

    def _says_more(self, checkpoint: Checkpoint, rows: Sequence[StateRow]) -> bool:
        """Whether anything has happened since the last checkpoint."""
        last = self._durable.checkpoint
        return last is None or bool(rows) or _content(checkpoint) != _content(last)

    async def _write(self, checkpoint: Checkpoint, rows: Sequence[StateRow]) -> bool:
        try:
            await self._stream.flush()
            number = await asyncio.to_thread(self._durable.checkpoints.commit, checkpoint, rows)
        except (StateError, SinkError) as error:
            if self.status.error is None:
                self._log.error("a checkpoint cannot be taken; trying again", error=str(error))
            self.status.error = str(error)
            return False
        self._durable.checkpoint = msgspec.structs.replace(checkpoint, id=number, changed=len(rows))
        self._note(self._durable.checkpoint)
        await self._trim(checkpoint)
        return True

    async def _trim(self, checkpoint: Checkpoint) -> None:
        """Let go of what the journal need not hold any more. What is left there now goes with the next checkpoint."""
        identity = self._durable.journal.identity
        positions = {name: at.next for name, at in checkpoint.sources.items() if at.partition == identity}
        if not positions:
            return
        try:
            await asyncio.to_thread(self._durable.journal.trim, positions)
        except StateError as error:
            self._log.error("the journal cannot be trimmed", error=str(error))

    def _settle(self) -> None:
        covered, self._covered = self._covered, []
        for future in covered:
            if not future.done():
                future.set_result(None)

    def _note(self, checkpoint: Checkpoint) -> None:
        self.status = CheckpointStatus(checkpoint.id, checkpoint.at, checkpoint.seconds, checkpoint.changed)


def _is_value(row: StateRow) -> bool:
    """Whether a row is a value, and not that a script has none any more."""
    return bool(row.name)


def _content(checkpoint: Checkpoint) -> object:
    return checkpoint.sources, checkpoint.watermarks, checkpoint.versions, checkpoint.generation
