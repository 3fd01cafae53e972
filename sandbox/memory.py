"""The memory limit: an allocation beyond it fails with ``MemoryError``, and the process lives on. Linux only."""

from __future__ import annotations

import resource
import sys
from contextlib import AbstractContextManager
from pathlib import Path

NEARLY = 0.9
"""Share of the limit from which on the process counts as nearly full."""

_PAGES = Path("/proc/self/statm")
"""Sizes in pages; the sixth one is that of data and stack. Each batch looks here: other files take longer to read."""


def limit_memory(size: int) -> bool:
    """Let this process allocate ``size`` bytes beyond what it has allocated now.

    Counts private writable memory: what Python and JavaScript allocate, not code nor mapped files. Returns False,
    and limits nothing, where the system cannot do that.
    """
    if sys.platform != "linux":
        return False
    _soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    soft = used() + size
    resource.setrlimit(resource.RLIMIT_DATA, (soft if hard == resource.RLIM_INFINITY else min(soft, hard), hard))
    return True


class Lifted(AbstractContextManager[None]):
    """No limit inside the block: for cleaning up after a ``MemoryError``, which needs memory itself.

    Where not even the block can be entered for want of memory, make the object beforehand and call :meth:`lift`,
    which needs none, and :meth:`restore`.
    """

    def __init__(self) -> None:
        self._limits = resource.getrlimit(resource.RLIMIT_DATA)
        self._unlimited = (self._limits[1], self._limits[1])

    def __enter__(self) -> None:
        self.lift()

    def __exit__(self, *_error: object) -> None:
        self.restore()

    def lift(self) -> None:
        """Raise the limit as far as the system lets us."""
        resource.setrlimit(resource.RLIMIT_DATA, self._unlimited)

    def restore(self) -> None:
        """Put the limit back to what it was when this object was made."""
        resource.setrlimit(resource.RLIMIT_DATA, self._limits)


def lifted() -> Lifted:
    """Return a block without the limit."""
    return Lifted()


def used() -> int:
    """Return the bytes that count towards the limit; 0 where the system does not tell."""
    try:
        return int(_PAGES.read_bytes().split()[5]) * resource.getpagesize()
    except FileNotFoundError:
        return 0


def nearly_full() -> bool:
    """Tell whether little is left below the limit: a process whose scripts leak should be replaced."""
    soft, _hard = resource.getrlimit(resource.RLIMIT_DATA)
    return soft != resource.RLIM_INFINITY and used() > NEARLY * soft
