"""The sink ``stdout``: lines to standard output."""

from __future__ import annotations

import asyncio
import os
import select
import stat

import msgspec

from trimtab.api import Sink, SinkContext, SinkError
from trimtab.plugins.stdio.waiting import writable

STDOUT = 1


class StdoutOptions(msgspec.Struct, frozen=True):
    """A sink of type ``stdout`` has no keys of its own."""


def create_sink(_options: StdoutOptions, context: SinkContext) -> Sink:
    """Make the sink."""
    return LineOutput(STDOUT, context.name)


class LineOutput(Sink):
    """Writes lines to a file descriptor: a pipe, a terminal, a file. The descriptor stays open and as it is.

    A pipe that can be written takes :data:`select.PIPE_BUF` bytes without blocking, so pieces of that size go out,
    and the event loop runs while a reader is slow. Pieces end with a line where they can, so that what others
    print does not land within one.
    """

    def __init__(self, descriptor: int, name: str) -> None:
        self._descriptor = descriptor
        self._name = name

    async def write(self, lines: bytes, count: int) -> None:  # noqa: ARG002 - bytes are all that counts here
        """Write the lines. Raises :class:`SinkError` when nobody reads them any more."""
        start = 0
        try:
            while start < len(lines):
                if not _takes_a_piece(self._descriptor):
                    await writable(self._descriptor)
                start += os.write(self._descriptor, lines[start : _piece_end(lines, start)])
        except OSError as error:
            message = (
                f"sinks.{self._name}: expected a reader of standard output, got {error.strerror}; keep the reader "
                "running, or write to a file: values become dead letters"
            )
            raise SinkError(message, retryable=False) from error

    async def flush(self) -> None:
        """Have it on the disk, where standard output is a file. Raises :class:`SinkError`."""
        try:
            if stat.S_ISREG(os.fstat(self._descriptor).st_mode):
                await asyncio.to_thread(os.fsync, self._descriptor)
        except OSError as error:
            message = (
                f"sinks.{self._name}: expected the file of standard output to be written to the disk, got "
                f"{error.strerror}; check the room on its disk"
            )
            raise SinkError(message, retryable=True) from error


def _takes_a_piece(descriptor: int) -> bool:
    return bool(select.select((), (descriptor,), (), 0)[1])


def _piece_end(lines: bytes, start: int) -> int:
    most = start + select.PIPE_BUF
    return lines.rfind(b"\n", start, most) + 1 or most
