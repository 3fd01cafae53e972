"""One look at the folders: which files there are, and their signatures. Reads no content."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Container
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from trimtab.api import DiscovererContext, Fault, OutsideError, is_ignored, name_problem

MAX_FILES = 20_000
"""Also of folders."""


class Signature(NamedTuple):
    """What changes whenever the content of a file does."""

    modified: int
    changed: int
    """Unlike ``modified`` nobody can set it back."""
    size: int
    inode: int
    device: int

    @classmethod
    def of(cls, status: os.stat_result) -> Signature:
        """Take the signature out of what ``stat`` says. Times are ns since the epoch."""
        return cls(status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino, status.st_dev)


class Sighting(NamedTuple):
    """A file that was seen under some name."""

    path: str
    """Of the file itself, where the name is a symbolic link."""
    state: Signature | Fault
    """A fault: why it must not even be opened."""


@dataclass(frozen=True, slots=True)
class Root:
    """One of the scripts folders, as it was seen."""

    device: int
    files: int


@dataclass(frozen=True, slots=True)
class View:
    """What one look saw; equal views mean that nothing changed in between."""

    files: dict[str, Sighting]
    """By artifact name."""
    folders: frozenset[str]
    """All folders that were looked into: those to watch."""
    roots: dict[Path, Root]
    trouble: str | None = None
    """Why nothing could be seen."""


def look(context: DiscovererContext, known: Container[str] = ()) -> View:
    """Look into all scripts folders. Raises :class:`OutsideError` if that cannot be done completely.

    ``known``: names that were found to be good before.
    """
    return _Look(context, known).run()


@dataclass(frozen=True, slots=True)
class _Folder:
    path: str
    prefix: str
    above: frozenset[str]
    """The folder and those that led to it, so that a circle of links comes to an end."""


class _Look:
    def __init__(self, context: DiscovererContext, known: Container[str]) -> None:
        self._known = known
        self._scripts = context.scripts
        self._suffixes = tuple(context.suffixes)
        # Resolved anew each time: a folder may itself be a link that is moved to the next release.
        self._real = [os.path.realpath(folder) for folder in context.scripts]
        self._state = os.path.realpath(context.state)
        self._files: dict[str, Sighting] = {}
        self._folders: set[str] = set()

    def run(self) -> View:
        roots: dict[Path, Root] = {}
        for folder, real in zip(self._scripts, self._real, strict=True):
            before, self._files = self._files, {}
            self._walk(real)
            try:
                device = folder.stat().st_dev
            except OSError as error:
                raise _unreadable(real, error) from error
            roots[folder] = Root(device, len(self._files))
            self._merge(before)
        return View(self._files, frozenset(self._folders), roots)

    def _walk(self, root: str) -> None:
        waiting = [_Folder(root, "", frozenset((root,)))]
        while waiting:
            folder = waiting.pop()
            self._folders.add(folder.path)
            for entry in self._entries(folder):
                name = folder.prefix + entry.name
                if name in self._known and self._met_again(entry, name):
                    continue
                if not is_ignored(name):
                    below = self._meet(entry, name, folder)
                    if below is not None:
                        waiting.append(below)
            if max(len(self._files), len(self._folders)) > MAX_FILES:
                raise OutsideError(
                    f"{root}: expected at most {MAX_FILES} files and folders, got more; "
                    "is this the right folder? Move what is no script elsewhere",
                    retryable=False,
                )

    def _entries(self, folder: _Folder) -> list[os.DirEntry[str]]:
        try:
            with os.scandir(folder.path) as entries:
                return list(entries)
        except FileNotFoundError as error:
            if folder.prefix:  # deleted since its parent was read
                return []
            raise _unreadable(folder.path, error) from error
        except OSError as error:
            # Files that cannot be seen must not pass for deleted ones.
            raise _unreadable(folder.path, error) from error

    def _met_again(self, entry: os.DirEntry[str], name: str) -> bool:
        """Take note of a plain file whose name is known, as most are among thousands. False: it is something else."""
        try:
            if entry.is_file(follow_symlinks=False):
                self._files[name] = Sighting(entry.path, Signature.of(entry.stat(follow_symlinks=False)))
                return True
        except OSError:
            return False
        return False

    def _meet(self, entry: os.DirEntry[str], name: str, folder: _Folder) -> _Folder | None:
        """Take note of a file; return a folder that is to be walked."""
        try:
            path = os.path.realpath(entry.path, strict=True) if entry.is_symlink() else entry.path
            if entry.is_dir():
                return self._enter(path, name, folder, linked=path != entry.path)
            if entry.name.endswith(self._suffixes):
                self._note(path, name, entry.stat(), linked=path != entry.path)
        except FileNotFoundError:  # a link to nowhere, or deleted since
            return None
        except OSError as error:
            if error.errno != errno.ELOOP and entry.name.endswith(self._suffixes):
                self._refuse(name, entry.path, "Unreadable", f"expected a readable file, got: {error.strerror}")
        return None

    def _enter(self, path: str, name: str, folder: _Folder, *, linked: bool) -> _Folder | None:
        if path == self._state or path in folder.above:
            return None
        if linked and not self._inside(path):
            self._refuse(name, path, "OutsideFolder", _OUTSIDE.format(path))
            return None
        return _Folder(path, name + "/", folder.above | {path})

    def _note(self, path: str, name: str, status: os.stat_result, *, linked: bool) -> None:
        problem = name_problem(name)
        if problem is not None:
            self._refuse(name, path, "InvalidName", problem)
        elif not stat.S_ISREG(status.st_mode):
            self._refuse(name, path, "NotAFile", "expected a regular file, got a pipe, socket or device; remove it")
        elif linked and not self._inside(path):
            self._refuse(name, path, "OutsideFolder", _OUTSIDE.format(path))
        else:
            self._files[name] = Sighting(path, Signature.of(status))

    def _inside(self, path: str) -> bool:
        within = any(Path(path).is_relative_to(root) for root in self._real)
        return within and not Path(path).is_relative_to(self._state)

    def _refuse(self, name: str, path: str, kind: str, message: str) -> None:
        shown = name.encode("utf-8", "backslashreplace").decode()  # a name that is not UTF-8 could not be stored
        self._files[shown] = Sighting(path, Fault(kind, message, file=shown))

    def _merge(self, before: dict[str, Sighting]) -> None:
        for name in before.keys() & self._files.keys():
            places = f"{before[name].path} and {self._files[name].path}"
            message = f"expected a name in one scripts folder only, got {places}; rename or remove one"
            self._refuse(name, places, "Conflict", message)
        self._files = before | self._files


_OUTSIDE = "expected a link to something in the scripts folders, got one to {}; copy it, or list that folder as well"


def _unreadable(path: str, error: OSError) -> OutsideError:
    return OutsideError(
        f"{path}: expected a folder that can be read, got: {error.strerror}; nothing changes until it can",
        retryable=True,
    )
