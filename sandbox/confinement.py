"""Confinement: a process that runs scripts gives up, for good, what scripts have no business with."""

from __future__ import annotations

import os
import resource
import sys
from importlib.util import find_spec

from trimtab.engine.reach import Reach
from trimtab.errors import TrimtabError
from trimtab.sandbox import confinement_kernel as kernel

OLDEST = 6
"""The version of Landlock that it takes: Linux 6.12. Earlier ones let a process signal others."""


class ConfinementError(TrimtabError):
    """The operating system did not do what it says it can."""


def missing() -> str | None:
    """Return what this machine lacks for confinement and how to get it, or None when there is nothing."""
    version = kernel.landlock_version()
    if version < OLDEST:
        got = f"version {version}" if version else "none"
        return f"expected a kernel with Landlock version {OLDEST} (Linux 6.12 or later), got {got}"
    if not kernel.is_known_machine():
        return "expected x86_64 or aarch64, got another processor"
    if find_spec("sandlock") is None:
        return "expected the package sandlock, got none; pip install 'trimtab[confinement]'"
    return None


def preload() -> None:
    """Import what :func:`confine` needs, so that processes forked from this one need not."""
    if missing() is None:
        import sandlock  # noqa: F401


def harden() -> None:
    """Do what costs nothing and every process that runs scripts does: no new privileges, no core dumps.

    A dump would hold the settings with their secrets. There is no limit on processes: the system counts those of a
    user, threads among them, so other programs would use it up, and root has none.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        kernel.forbid_new_privileges()


def confine(reach: Reach) -> None:
    """Hold this process and those that it starts to what it may reach, for good. Call it after :func:`harden`.

    Whatever files it has open stay open. Raises :class:`ConfinementError`.
    """
    import sandlock

    readable, writable = (sorted(filter(os.path.exists, paths)) for paths in (reach.reads, reach.writes))
    try:
        sandlock.confine(sandlock.Sandbox(fs_readable=readable, fs_writable=writable))
        if not reach.anywhere:
            kernel.restrict_tcp(reach.ports)
            kernel.restrict_sockets(udp=reach.names, unix=reach.sockets)
        kernel.drop_capabilities()
    except (OSError, sandlock.SandlockError) as error:
        raise ConfinementError(f"expected to be confined, got: {error}; see trimtab doctor") from error
