"""Cuts a stream of bytes into blocks of whole lines, without looking at single lines."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from trimtab.api import Codec, Records, SourceContext, SourceError

READ_SIZE = 1 << 20
"""Bytes to read at once: few enough reads that handing each to a thread costs nothing."""

BLOCK_SIZE = 1 << 17
"""Bytes to deliver at once: about a thousand events."""

LONGEST_LINE = 16 << 20
"""Bytes that one line may have."""

_KEPT = 1 << 16
"""Bytes of a line that is too long that go to the dead letters."""


@dataclass(frozen=True, slots=True)
class Block:
    """Whole lines, separated by newlines; ``start`` is the offset of the first byte."""

    start: int
    data: bytes
    end: int | None = None
    """Where the bytes end, for a last line that no newline ended."""


@dataclass(frozen=True, slots=True)
class LongLine:
    """The first bytes of a line that is longer than allowed."""

    start: int
    data: bytes


class LineCutter:
    """Takes bytes as they were read, gives blocks of whole lines. A line's end that did not come yet is waited for."""

    def __init__(self, start: int = 0) -> None:
        """``start``: offset of the first byte that is to come."""
        self._start = start  # offset of the first byte of the rest
        self._rest = b""
        self._skipping = False  # inside a line that is too long

    @property
    def position(self) -> int:
        """Offset behind the bytes taken so far."""
        return self._start + len(self._rest)

    @property
    def next(self) -> int:
        """Offset behind the bytes given so far."""
        return self._start

    def feed(self, chunk: bytes) -> Iterator[Block | LongLine]:
        """Take bytes, and yield what they complete."""
        if self._skipping:
            chunk = self._skip(chunk)
        data = self._rest + chunk if self._rest else chunk
        start, end = self._start, data.rfind(b"\n") + 1
        self._start, self._rest = start + end, data[end:]
        yield from _blocks(data, start, end)
        if len(self._rest) > LONGEST_LINE:
            yield self._give_up()

    def finish(self) -> Iterator[Block]:
        """Yield what is there of a last line that no newline ended."""
        if self._rest:
            yield Block(self._start, self._rest, self.position)
            self._start, self._rest = self.position, b""

    def _give_up(self) -> LongLine:
        line = LongLine(self._start, self._rest[:_KEPT])
        self._start, self._rest, self._skipping = self.position, b"", True
        return line

    def _skip(self, chunk: bytes) -> bytes:
        """Drop the bytes of a line that is too long, up to its newline."""
        end = chunk.find(b"\n") + 1
        self._skipping = end == 0
        dropped = end or len(chunk)
        self._start += dropped
        return chunk[dropped:]


def _blocks(data: bytes, offset: int, end: int) -> Iterator[Block]:
    """Cut ``data[:end]``, which ends with a newline, into blocks at newlines."""
    at = 0
    while at < end:
        cut = data.rfind(b"\n", at, min(at + BLOCK_SIZE, end))
        if cut < 0:
            cut = data.index(b"\n", at)
        yield Block(offset + at, data[at:cut])
        at = cut + 1


async def deliver(pieces: Iterator[Block | LongLine], partition: str, context: SourceContext) -> None:
    """Deliver blocks, and reject lines that are too long."""
    for piece in pieces:
        if isinstance(piece, Block):
            await context.deliver(Records(piece.data, piece.start, partition=partition, end=piece.end))
        else:
            await reject(piece, partition, context)


async def reject(line: LongLine, partition: str, context: SourceContext) -> None:
    """Reject a line that is too long."""
    reason = f"expected a line of at most {LONGEST_LINE} bytes, got a longer one; its first {_KEPT} are kept"
    await context.reject(line.data, line.start, reason, partition)


def require_lines(codec: Codec, context: SourceContext, kind: str) -> None:
    """Refuse a codec whose records cannot be told apart by newlines."""
    if not codec.lines:
        raise SourceError(
            f"sources.{context.name}.codec: a source of type {kind} expected a codec with one record a line, "
            f'got {codec.name!r}; choose "json" or "text"',
            retryable=False,
        )
