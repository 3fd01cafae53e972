"""Disks that are full."""

from __future__ import annotations

import errno
import resource
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

SIZE = "24m"
_BLOCK = bytes(1 << 16)
_ROOM = 64 << 10
"""Bytes that every file may have all the same, so that the host can write its log."""


class SmallDisk:
    """A file system in memory at a folder."""

    def __init__(self, folder: Path) -> None:
        self._ballast = folder / "ballast"

    @contextmanager
    def full(self) -> Iterator[None]:
        """Leave no byte free for a while."""
        try:
            with self._ballast.open("ab", buffering=0) as file:
                while file.write(_BLOCK):
                    pass
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
        try:
            yield
        finally:
            self._ballast.unlink()


@contextmanager
def small_disk(folder: Path) -> Iterator[SmallDisk | None]:
    """Mount a small disk at a folder, for a while; None where that is not allowed."""
    folder.mkdir(exist_ok=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        yield None
        return
    try:
        yield SmallDisk(folder)
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@contextmanager
def no_growth(process: int, state: Path) -> Iterator[None]:
    """Let a process grow no file beyond the shorter log of its databases, for a while: for that no rights are needed."""
    logs = [path.stat().st_size for path in state.glob("*.db-wal")]
    before = resource.prlimit(process, resource.RLIMIT_FSIZE)
    resource.prlimit(process, resource.RLIMIT_FSIZE, (max(_ROOM, min(logs, default=0)), before[1]))
    try:
        yield
    finally:
        with suppress(ProcessLookupError):  # the host has ended over it
            resource.prlimit(process, resource.RLIMIT_FSIZE, before)
