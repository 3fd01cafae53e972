"""A file that is being read, and how a later run knows it again."""

from __future__ import annotations

import os
import stat
import zlib
from pathlib import Path

from trimtab.api import SourceContext, SourceError
from trimtab.plugins.files.lines import READ_SIZE, LineCutter, deliver

HEAD_SIZE = 1024
"""First bytes of a file that tell it from another one that got its inode."""

_LEAST_READ = 1 << 16
"""Bytes to ask for where less is there: more may have come by then."""

Head = tuple[int, int]
"""How many first bytes of a file were looked at, and their checksum."""


class OpenFile:
    """A file that is being read. To make it and to read block, so do that in a thread.

    Raises ``OSError``, and :class:`SourceError` for what is not a regular file.
    """

    def __init__(self, path: Path, name: str) -> None:
        self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # a pipe must not block here
        status = os.fstat(self._descriptor)
        if not stat.S_ISREG(status.st_mode):
            self.close()
            raise SourceError(
                f"sources.{name}.path: expected a regular file, got something else at {path}; for a pipe use a source "
                'of type "stdin"',
                retryable=False,
            )
        self.inode = f"{status.st_ino:x}"
        self.partition = self.inode
        self._lines = LineCutter()
        self._head = b""

    def __enter__(self) -> OpenFile:
        return self

    def __exit__(self, *_details: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._descriptor)

    @property
    def head(self) -> Head:
        """What :meth:`go_on` knows the file by."""
        return len(self._head), zlib.crc32(self._head)

    @property
    def next(self) -> int:
        """Where the first line begins that was not given to :meth:`deliver` whole."""
        return self._lines.next

    def go_on(self, position: int, head: Head) -> bool:
        """Read from a position of an earlier run. False if it was in another file, or this one was cut off since."""
        size, checksum = head
        first = os.pread(self._descriptor, max(size, HEAD_SIZE), 0)
        if os.fstat(self._descriptor).st_size < position or len(first) < size or zlib.crc32(first[:size]) != checksum:
            return False
        self._head = first[:HEAD_SIZE]
        self._lines = LineCutter(self._behind_newline(position))
        return True

    def _behind_newline(self, position: int) -> int:
        """The position; behind the newline there, if that has come since its line was delivered without it."""
        around = os.pread(self._descriptor, 2, position - 1) if position else b""
        return position + int(around[1:] == b"\n" != around[:1])

    def read(self) -> bytes:
        """The next bytes, empty at the end."""
        position = self._lines.position
        # Python makes room for all that is asked for. A follower asks some hundred times a second for what is seldom
        # much: with 1 MiB each time, the allocator's heaps grow to that and are never given back.
        there = os.fstat(self._descriptor).st_size - position
        chunk = os.pread(self._descriptor, max(_LEAST_READ, min(there, READ_SIZE)), position)
        if position == len(self._head) < HEAD_SIZE:
            self._head += chunk[: HEAD_SIZE - position]
        return chunk

    def read_on(self, path: Path) -> bytes | None:
        """The next bytes, empty at the end; None at the end of a file that will not grow any more."""
        chunk = self.read()
        if chunk or not self._is_over(path):
            return chunk
        return self.read() or None  # what came after the first read and before the rotation

    def _is_over(self, path: Path) -> bool:
        """Whether the file was cut off, or another one lies at its path."""
        status = os.fstat(self._descriptor)
        if status.st_size < self._lines.position:
            return True
        try:
            return path.stat().st_ino != status.st_ino
        except FileNotFoundError:
            return False

    async def deliver(self, chunk: bytes, context: SourceContext) -> None:
        """Deliver the lines that the bytes just read complete."""
        await deliver(self._lines.feed(chunk), self.partition, context)

    async def finish(self, context: SourceContext) -> None:
        """Deliver a last line without newline."""
        await deliver(self._lines.finish(), self.partition, context)
