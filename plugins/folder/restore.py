"""Puts the bytes of an artifact back into its folder."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from trimtab.api import name_problem

TEMPORARY = "..trimtab-"
"""Discovery ignores names that begin with two dots."""


def restore(folders: Sequence[Path], name: str, content: bytes | None) -> bool:
    """Make the file hold ``content`` (None: not be there), in one step. Blocks.

    Returns False where that cannot be: the folder is read-only, the place is a symbolic link (a ConfigMap, which
    would come apart), or the name leads out of the folders.
    """
    if name_problem(name) is not None:
        return False
    try:
        if content is None:
            return all(_delete(folder, name) for folder in folders)
        return _write(_home(folders, name), name, content)
    except OSError:
        return False


def _home(folders: Sequence[Path], name: str) -> Path:
    """The folder that has the file; else one that has a place for it."""
    with_file = (folder for folder in folders if os.path.lexists(folder / name))
    with_parent = (folder for folder in folders if (folder / name).parent.is_dir())
    return next(with_file, None) or next(with_parent, None) or folders[0]


def _delete(folder: Path, name: str) -> bool:
    path = folder / name
    if not os.path.lexists(path):
        return True
    if not _is_plain(folder, path):
        return False
    path.unlink()
    return True


def _write(folder: Path, name: str, content: bytes) -> bool:
    path = folder / name
    if not folder.is_dir() or not _is_plain(folder, path):  # a folder that was unmounted is not made up anew
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(prefix=TEMPORARY, dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            _take_over(descriptor, path)
            os.fsync(descriptor)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    return True


def _is_plain(folder: Path, path: Path) -> bool:
    """Whether the path is a regular file or nothing yet, without a link on the way from the folder."""
    if path.parent.resolve() / path.name != folder.resolve() / path.relative_to(folder):
        return False
    return not os.path.lexists(path) or stat.S_ISREG(path.lstat().st_mode)


def _take_over(descriptor: int, path: Path) -> None:
    """Give the new file the owner and mode of the one that it replaces."""
    try:
        status = path.stat()
    except FileNotFoundError:
        os.fchmod(descriptor, 0o644)  # scripts are no secrets, and temporary files are made private
        return
    with suppress(PermissionError):
        os.fchown(descriptor, status.st_uid, status.st_gid)
    os.fchmod(descriptor, stat.S_IMODE(status.st_mode))
