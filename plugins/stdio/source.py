"""The source ``stdin``: lines until the end of standard input."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator, Sequence

import msgspec

from trimtab.api import Source, SourceContext, SourceError, StateError
from trimtab.plugins.files.lines import READ_SIZE, Block, LineCutter, LongLine, reject, require_lines
from trimtab.plugins.stdio.waiting import readable

STDIN = 0
CHUNKS_AHEAD = 16
"""How many reads may wait while those before them go to the disk; then all of them go at once."""
LONGEST_PAUSE = 10.0
"""Seconds between two tries while the disk takes nothing."""


class StdinOptions(msgspec.Struct, frozen=True):
    """A source of type ``stdin`` has no keys of its own."""


def create_source(_options: StdinOptions, context: SourceContext) -> Source:
    """Make the source. Raises :class:`SourceError` for a codec without lines."""
    require_lines(context.codec, context, "stdin")
    return LineStream(STDIN, context)


class LineStream(Source):
    """Reads lines from a file descriptor: a pipe, a terminal, a file. The descriptor stays open and as it is.

    It is not switched to non-blocking mode, because a terminal shares the mode with standard output.
    """

    def __init__(self, descriptor: int, context: SourceContext) -> None:
        self._descriptor = descriptor
        self._context = context

    async def run(self) -> None:
        """Accept lines until the end. A last line without newline is an event too."""
        lines = LineCutter()
        ahead: asyncio.Queue[bytes] = asyncio.Queue(CHUNKS_AHEAD)
        reading = asyncio.create_task(self._read_into(ahead))
        try:
            chunks = [b"..."]
            while chunks[-1]:
                chunks = await _waiting(ahead)
                await self._accept(lines.feed(b"".join(chunks)))
            await reading
        except OSError as error:
            message = f"sources.{self._context.name}: expected standard input to be open, got {error.strerror}"
            raise SourceError(message, retryable=False) from error
        finally:
            reading.cancel()
        await self._accept(lines.finish())

    async def _read_into(self, ahead: asyncio.Queue[bytes]) -> None:
        """Read on while what was read before goes to the disk. Empty bytes are the end."""
        try:
            while chunk := await self._read():
                await ahead.put(chunk)
        except OSError:
            await ahead.put(b"")
            raise
        await ahead.put(b"")

    async def _read(self) -> bytes:
        """The next bytes, empty at the end."""
        try:
            await readable(self._descriptor)
        except PermissionError:  # a regular file: it cannot be waited for, and never needs to
            return await asyncio.to_thread(os.read, self._descriptor, READ_SIZE)
        return os.read(self._descriptor, READ_SIZE)

    async def _accept(self, pieces: Iterator[Block | LongLine]) -> None:
        records: list[bytes] = []
        for piece in pieces:
            if isinstance(piece, Block):
                records += piece.data.split(b"\n")
            else:
                await reject(piece, self._context.partition, self._context)
        if records:
            await self._keep(records)

    async def _keep(self, records: Sequence[bytes]) -> None:
        """Have lines accepted, however long it takes: they are nowhere else."""
        pause = 0.1
        while True:
            try:
                await self._context.accept(records)
            except StateError:  # the host says so
                await asyncio.sleep(pause)
                pause = min(pause * 2, LONGEST_PAUSE)
            else:
                return


async def _waiting(ahead: asyncio.Queue[bytes]) -> list[bytes]:
    """Wait for chunks, and return all that are there, up to the end."""
    chunks = [await ahead.get()]
    while chunks[-1] and not ahead.empty():
        chunks.append(ahead.get_nowait())
    return chunks
