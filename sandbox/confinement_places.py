"""The files that any lane needs, whatever its scripts do: Python, shared libraries, what looks up names and zones."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from trimtab.engine.reach import Reach

_PROGRAMS = ("/usr", "/lib", "/lib32", "/lib64", "/libx32", "/bin", "/sbin", "/nix/store", "/gnu/store")
_ETC = (
    *("hosts", "host.conf", "resolv.conf", "nsswitch.conf", "gai.conf", "services", "protocols"),  # names
    *("ssl", "pki", "ca-certificates", "crypto-policies", "krb5.conf"),  # whom to trust
    *("localtime", "timezone", "passwd", "group", "mime.types", "os-release"),
    *("ld.so.cache", "ld.so.conf", "ld.so.conf.d", "odbc.ini", "odbcinst.ini"),
)
_MACHINE = (
    *("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom"),
    *("/proc/self", "/proc/cpuinfo", "/proc/meminfo", "/proc/stat", "/proc/loadavg", "/proc/uptime", "/proc/version"),
    *("/proc/filesystems", "/proc/sys"),
    *("/sys/devices/system", "/sys/fs/cgroup", "/sys/kernel/mm"),  # how many processors and how much memory there is
    "/var/lib/ca-certificates",
)
_VARIABLES = ("SSL_CERT_FILE", "SSL_CERT_DIR", "JAVA_HOME", "TZDIR")


def own_places() -> Reach:
    """Return what this process and those that it forks read, now that it has imported what it needs.

    No folder of anybody's work is among it: nothing of ``/home``, ``/tmp`` or the state folder, and of ``/etc`` what
    has no secrets.
    """
    places = {*_PROGRAMS, *_MACHINE, *(f"/etc/{name}" for name in _ETC), *map(str, Path("/etc").glob("java*"))}
    places.update(os.environ[name] for name in _VARIABLES if name in os.environ)
    places.add(_resolver())
    places |= _python()
    there = {place for place in places if Path(place).exists()}
    reads = frozenset(place for place in there if not any(place.startswith(f"{other}/") for other in there))
    return Reach(reads=reads, writes=frozenset({"/dev/null", "/dev/zero", "/dev/full"}))


def _resolver() -> str:
    """Where the addresses of DNS servers are; elsewhere than in ``/etc`` their folder, for they are replaced there."""
    real = Path(os.path.realpath("/etc/resolv.conf"))
    return str(real if real.parent == Path("/etc") else real.parent)


def _python() -> set[str]:
    """The installation, and the folders of modules that were imported from elsewhere: editable ones, say."""
    places = {sys.prefix, sys.base_prefix, sys.exec_prefix, *filter(os.path.isabs, sys.path)}
    covered = tuple(f"{os.path.realpath(place)}/" for place in (*places, *_PROGRAMS))
    files = {
        file for module in list(sys.modules.values()) if isinstance(file := getattr(module, "__file__", None), str)
    }
    return places | {os.path.dirname(file) for file in map(os.path.realpath, files) if not file.startswith(covered)}  # noqa: PTH120 - hundreds, at each start
