"""The source ``file``: reads a file of lines once, or follows it as it grows and is rotated."""

from __future__ import annotations

import asyncio
import os
import stat
from collections import Counter
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from trimtab.api import Source, SourceContext, SourceError
from trimtab.plugins.files.lines import READ_SIZE, LineCutter, deliver, require_lines

SHORTEST_POLL = 0.002
LONGEST_POLL = 0.05
"""Seconds between two looks at a file that is followed: soon after it has grown, seldom when it rests."""


class FileSourceOptions(msgspec.Struct, frozen=True):
    """Keys of a source of type ``file``."""

    path: Annotated[
        str, Meta(min_length=1, description="The file, one event a line. Relative to the configuration file.")
    ]
    follow: Annotated[
        bool,
        Meta(
            description="Wait for more at the end, through rotation and truncation. Without it the source ends with "
            "the file."
        ),
    ] = False


def create_source(options: FileSourceOptions, context: SourceContext) -> Source:
    """Make the source. Raises :class:`SourceError` for a codec without lines, or a file that is not there."""
    require_lines(context.codec, context, "file")
    path = context.folder / options.path
    if options.follow:
        return FollowedFile(path, context)
    if not path.exists():
        raise SourceError(
            f"sources.{context.name}.path: expected a file, got nothing at {path}; create it, or set follow = true "
            "to wait for it",
            retryable=False,
        )
    return FiniteFile(path, context)


class FiniteFile(Source):
    """Reads a file to its end, once."""

    def __init__(self, path: Path, context: SourceContext) -> None:
        self._path = path
        self._context = context

    async def run(self) -> None:
        """Deliver the whole file. A last line without newline is an event too."""
        try:
            with await asyncio.to_thread(OpenFile, self._path, self._context.name) as file:
                while chunk := await asyncio.to_thread(file.read):
                    await file.deliver(chunk, self._context)
                await file.finish(self._context)
        except OSError as error:
            raise _unreadable(self._path, self._context.name, error, retryable=False) from error


class FollowedFile(Source):
    """Reads a file as it grows, and then whatever file takes its place."""

    def __init__(self, path: Path, context: SourceContext) -> None:
        self._path = path
        self._context = context
        self._finished: Counter[int] = Counter()
        """How often each inode was read to its end: it may come again, cut off or used for another file."""

    async def run(self) -> None:
        """Deliver until cancelled. A line is held back until its newline comes, or its file is replaced."""
        try:
            while True:
                try:
                    file = await asyncio.to_thread(OpenFile, self._path, self._context.name)
                except FileNotFoundError:
                    await asyncio.sleep(LONGEST_POLL)
                else:
                    await self._follow(file)
        except OSError as error:
            raise _unreadable(self._path, self._context.name, error, retryable=True) from error

    async def _follow(self, file: OpenFile) -> None:
        """Deliver what one file gets, until another is in its place or it is cut off."""
        with file:
            if again := self._finished[file.inode]:
                file.partition += f".{again}"
            pause = SHORTEST_POLL
            while (chunk := await asyncio.to_thread(file.read_on, self._path)) is not None:
                if chunk:
                    await file.deliver(chunk, self._context)
                    pause = SHORTEST_POLL
                else:
                    await asyncio.sleep(pause)
                    pause = min(pause * 2, LONGEST_POLL)
            await file.finish(self._context)
        self._finished[file.inode] += 1


class OpenFile:
    """A file that is being read. To make it and to read block, so do that in a thread.

    Raises ``OSError``, and :class:`SourceError` for what is not a regular file.
    """

    def __init__(self, path: Path, name: str) -> None:
        self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # a pipe must not block here
        status = os.fstat(self._descriptor)
        if not stat.S_ISREG(status.st_mode):
            os.close(self._descriptor)
            raise SourceError(
                f"sources.{name}.path: expected a regular file, got something else at {path}; for a pipe use a source "
                'of type "stdin"',
                retryable=False,
            )
        self.inode = status.st_ino
        self.partition = f"{status.st_ino:x}"
        self._lines = LineCutter()

    def __enter__(self) -> OpenFile:
        return self

    def __exit__(self, *_details: object) -> None:
        os.close(self._descriptor)

    def read(self) -> bytes:
        """The next bytes, empty at the end."""
        return os.pread(self._descriptor, READ_SIZE, self._lines.position)

    def read_on(self, path: Path) -> bytes | None:
        """The next bytes, empty at the end; None at the end of a file that will not grow any more."""
        chunk = self.read()
        if chunk or not self._is_over(path):
            return chunk
        return self.read() or None  # what came after the first read and before the rotation

    def _is_over(self, path: Path) -> bool:
        """Whether the file was cut off, or another one lies at its path."""
        if os.fstat(self._descriptor).st_size < self._lines.position:
            return True
        try:
            return path.stat().st_ino != self.inode
        except FileNotFoundError:
            return False

    async def deliver(self, chunk: bytes, context: SourceContext) -> None:
        """Deliver the lines that the bytes just read complete."""
        await deliver(self._lines.feed(chunk), self.partition, context)

    async def finish(self, context: SourceContext) -> None:
        """Deliver a last line without newline."""
        await deliver(self._lines.finish(), self.partition, context)


def _unreadable(path: Path, name: str, error: OSError, *, retryable: bool) -> SourceError:
    message = f"sources.{name}.path: expected a file that can be read, got {error.strerror} at {path}"
    return SourceError(message, retryable=retryable)
