"""The sink ``file``: appends whole lines."""

from __future__ import annotations

import asyncio
import os
import stat
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from trimtab.api import Sink, SinkContext, SinkError

LOOK_SECONDS = 1.0
"""How often to look whether the file was rotated away."""

_FLAGS = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK


class FileSinkOptions(msgspec.Struct, frozen=True):
    """Keys of a sink of type ``file``."""

    path: Annotated[
        str,
        Meta(
            min_length=1,
            description="The file to append to, one value a line. Its folder must exist. Relative to the "
            "configuration file.",
        ),
    ]


def create_sink(options: FileSinkOptions, context: SinkContext) -> Sink:
    """Make the sink."""
    return FileSink(context.folder / options.path, context.name)


class FileSink(Sink):
    """Appends to a file. A line stands there whole or not at all; a file that was rotated away is made anew."""

    def __init__(self, path: Path, name: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._name = name
        self._clock = clock
        self._lock = threading.Lock()  # a write that was cancelled still ends in its thread: close waits for it
        self._descriptor: int | None = None
        self._looked = 0.0

    async def open(self) -> None:
        """Open the file. Raises :class:`SinkError` if that cannot be done."""
        try:
            await asyncio.to_thread(self._reopen)
        except OSError as error:
            raise self._error(error, retryable=False) from error

    async def write(self, lines: bytes, count: int) -> None:  # noqa: ARG002 - the lines go out in one piece
        """Append the lines."""
        try:
            await asyncio.to_thread(self._append, lines)
        except OSError as error:
            raise self._error(error, retryable=True) from error

    async def flush(self) -> None:
        """Have what was written on the disk. Raises :class:`SinkError`."""
        try:
            await asyncio.to_thread(self._flush)
        except OSError as error:
            raise self._error(error, retryable=True) from error

    async def close(self) -> None:
        """Close the file."""
        await asyncio.to_thread(self._close)

    def _append(self, lines: bytes) -> None:
        with self._lock:
            descriptor = self._descriptor
            if descriptor is None or self._was_rotated(descriptor):
                descriptor = self._reopen()
            _write_whole(descriptor, lines)

    def _was_rotated(self, descriptor: int) -> bool:
        if self._clock() - self._looked < LOOK_SECONDS:
            return False
        try:
            if not os.path.samestat(os.fstat(descriptor), self._path.stat()):
                return True
        except FileNotFoundError:
            return True
        self._looked = self._clock()
        return False

    def _reopen(self) -> int:
        descriptor = os.open(self._path, _FLAGS, 0o666)
        try:
            self._prepare(descriptor)
            if self._descriptor is not None:
                _sync(self._descriptor)  # nobody comes back to it
        except BaseException:
            os.close(descriptor)
            raise
        if self._descriptor is not None:
            os.close(self._descriptor)
        self._descriptor, self._looked = descriptor, self._clock()
        return descriptor

    def _prepare(self, descriptor: int) -> None:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) and not stat.S_ISCHR(status.st_mode):
            raise SinkError(f"sinks.{self._name}.path: expected a file, got a pipe at {self._path}", retryable=False)
        if status.st_size and os.pread(descriptor, 1, status.st_size - 1) != b"\n":
            os.write(descriptor, b"\n")  # somebody died within a line: what comes next must not be part of it

    def _flush(self) -> None:
        with self._lock:
            if self._descriptor is not None:
                _sync(self._descriptor)

    def _close(self) -> None:
        with self._lock:
            if self._descriptor is not None:
                os.close(self._descriptor)
                self._descriptor = None

    def _error(self, error: OSError, *, retryable: bool) -> SinkError:
        message = f"sinks.{self._name}.path: expected a file to append to, got {error.strerror} at {self._path}"
        if isinstance(error, FileNotFoundError):
            message += "; create its folder"
        return SinkError(message, retryable=retryable)


def _sync(descriptor: int) -> None:
    if stat.S_ISREG(os.fstat(descriptor).st_mode):  # a device has nothing to sync
        os.fsync(descriptor)


def _write_whole(descriptor: int, lines: bytes) -> None:
    """Write everything, or raise ``OSError`` and leave nothing of it."""
    view, done = memoryview(lines), 0
    try:
        while done < len(view):
            done += os.write(descriptor, view[done:])
    except OSError:
        end = os.lseek(descriptor, 0, os.SEEK_CUR)
        if done and end == os.fstat(descriptor).st_size:  # else somebody has appended since
            os.ftruncate(descriptor, end - done)
        raise
