"""Which files a source has read how far, so that a later run goes on there."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from trimtab.api import Position
from trimtab.plugins.files.opened import Head, OpenFile

MOST_REMEMBERED = 1000
"""How many inodes: one that is free is soon taken again."""


class _Left(NamedTuple):
    """Where reading stopped."""

    partition: str
    next: int
    head: Head


class _Noted(msgspec.Struct, frozen=True):
    """What a checkpoint keeps beside the position."""

    past: dict[str, int]
    head: Head


class Trail:
    """Opens the files of one path one after the other, each in a partition of its own.

    A partition is the inode in hex; when the file was cut off, or its inode used again, with the number of its new
    content behind it. ``anywhere``: what was left is read to its end also where it has another name by now.
    """

    def __init__(self, path: Path, name: str, *, anywhere: bool) -> None:
        self._path = path
        self._name = name
        self._anywhere = anywhere
        self._past: dict[str, int] = {}
        """How many contents each inode has had that are over."""
        self._file: OpenFile | None = None
        self._left: _Left | None = None

    def resume(self, position: Position) -> None:
        """See :meth:`Source.resume`."""
        try:
            noted = msgspec.convert(position.noted, _Noted)
        except msgspec.ValidationError:
            return  # a source of another type had this name
        self._past, self._left = noted.past, _Left(position.partition, position.next, noted.head)

    def note(self) -> dict[str, Any]:
        """See :meth:`Source.note`."""
        place = self._left or self._file
        return {"past": dict(self._past), "head": place.head if place else (0, 0)}

    def open(self) -> OpenFile:
        """Open what comes next: what is left of a file, else the file at the path. Blocks; raises like its class."""
        left = self._left
        file = self._rest(left) if left else None
        if file is None:
            file = OpenFile(self._path, self._name)
            if left is None or not self._goes_on(file, left):  # it may have come back since it was looked for
                self._begin(file, left)
        self._left, self._file = None, file
        return file

    def leave(self, file: OpenFile) -> None:
        """Have :meth:`open` go on where reading the file was broken off."""
        self._left = _Left(file.partition, file.next, file.head)

    def finish(self, file: OpenFile) -> None:
        """The file was read to its end, and will not grow any more."""
        self._is_over(file.partition)

    def _begin(self, file: OpenFile, left: _Left | None) -> None:
        if left:
            self._is_over(left.partition)
        if number := self._past.get(file.inode, 0):
            file.partition = f"{file.inode}.{number}"

    def _is_over(self, partition: str) -> None:
        inode, number = _parts(partition)
        self._past[inode] = max(self._past.pop(inode, 0), number + 1)  # as the latest
        if len(self._past) > MOST_REMEMBERED:
            del self._past[next(iter(self._past))]

    def _rest(self, left: _Left) -> OpenFile | None:
        """What is left of a file, unless it is gone, or was cut off or over."""
        for path in self._places(_parts(left.partition)[0]):
            file = OpenFile(path, self._name)
            if self._goes_on(file, left):
                return file
            file.close()
        return None

    def _goes_on(self, file: OpenFile, left: _Left) -> bool:
        """Whether this is the file that was left, which is then at the place where reading stopped."""
        inode, number = _parts(left.partition)
        if file.inode != inode or self._past.get(inode, 0) > number or not file.go_on(left.next, left.head):
            return False
        file.partition = left.partition
        return True

    def _places(self, inode: str) -> Iterator[Path]:
        """Where the inode lies."""
        if self._path.exists() and f"{self._path.stat().st_ino:x}" == inode:
            yield self._path
        elif self._anywhere and self._path.parent.is_dir():
            with os.scandir(self._path.parent) as entries:
                yield from (Path(e) for e in entries if f"{e.inode():x}" == inode and e.is_file(follow_symlinks=False))


def _parts(partition: str) -> tuple[str, int]:
    """The inode, and the number of its content."""
    inode, _, number = partition.partition(".")
    return inode, int(number or 0)
