"""The source ``stdin``: lines until the end of standard input."""

from __future__ import annotations

import asyncio
import os

import msgspec

from trimtab.api import Source, SourceContext, SourceError
from trimtab.plugins.files.lines import READ_SIZE, LineCutter, deliver, require_lines
from trimtab.plugins.stdio.waiting import readable

STDIN = 0


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
        """Deliver until the end. A last line without newline is an event too."""
        lines, partition = LineCutter(), self._context.partition
        try:
            while chunk := await self._read():
                await deliver(lines.feed(chunk), partition, self._context)
        except OSError as error:
            message = f"sources.{self._context.name}: expected standard input to be open, got {error.strerror}"
            raise SourceError(message, retryable=False) from error
        await deliver(lines.finish(), partition, self._context)

    async def _read(self) -> bytes:
        """The next bytes, empty at the end."""
        try:
            await readable(self._descriptor)
        except PermissionError:  # a regular file: it cannot be waited for, and never needs to
            return await asyncio.to_thread(os.read, self._descriptor, READ_SIZE)
        return os.read(self._descriptor, READ_SIZE)
