"""The source ``file``: reads a file of lines once, or follows it as it grows and is rotated."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from trimtab.api import Position, Source, SourceContext, SourceError
from trimtab.plugins.files.lines import require_lines
from trimtab.plugins.files.opened import OpenFile
from trimtab.plugins.files.trail import Trail

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
    """Reads a file to its end, once: a later run reads what it has got since."""

    def __init__(self, path: Path, context: SourceContext) -> None:
        self._path = path
        self._context = context
        self._trail = Trail(path, context.name, anywhere=False)

    async def run(self) -> None:
        """Deliver the whole file. A last line without newline is an event too."""
        try:
            with await asyncio.to_thread(self._trail.open) as file:
                while chunk := await asyncio.to_thread(file.read):
                    await file.deliver(chunk, self._context)
                await file.finish(self._context)
        except OSError as error:
            raise _unreadable(self._path, self._context.name, error, retryable=False) from error

    def resume(self, position: Position) -> None:
        """Go on at the position, if it is in this file; else at its beginning."""
        self._trail.resume(position)

    def note(self) -> Any:
        """See :class:`Source`."""
        return self._trail.note()


class FollowedFile(Source):
    """Reads a file as it grows, and then whatever file takes its place."""

    def __init__(self, path: Path, context: SourceContext) -> None:
        self._path = path
        self._context = context
        self._trail = Trail(path, context.name, anywhere=True)

    async def run(self) -> None:
        """Deliver until cancelled. A line is held back until its newline comes, or its file is replaced."""
        try:
            while True:
                try:
                    file = await asyncio.to_thread(self._trail.open)
                except FileNotFoundError:
                    await asyncio.sleep(LONGEST_POLL)
                else:
                    await self._follow(file)
        except OSError as error:
            raise _unreadable(self._path, self._context.name, error, retryable=True) from error

    def resume(self, position: Position) -> None:
        """Go on at the position, also if its file has another name by now; then with the file at the path."""
        self._trail.resume(position)

    def note(self) -> Any:
        """See :class:`Source`."""
        return self._trail.note()

    async def _follow(self, file: OpenFile) -> None:
        """Deliver what one file gets, until another is in its place or it is cut off."""
        with file:
            pause = SHORTEST_POLL
            try:
                while (chunk := await asyncio.to_thread(file.read_on, self._path)) is not None:
                    if chunk:
                        await file.deliver(chunk, self._context)
                        pause = SHORTEST_POLL
                    else:
                        await asyncio.sleep(pause)
                        pause = min(pause * 2, LONGEST_POLL)
            except OSError:
                self._trail.leave(file)
                raise
            await file.finish(self._context)
        self._trail.finish(file)


def _unreadable(path: Path, name: str, error: OSError, *, retryable: bool) -> SourceError:
    message = f"sources.{name}.path: expected a file that can be read, got {error.strerror} at {path}"
    return SourceError(message, retryable=retryable)
