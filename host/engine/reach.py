"""What a lane must be able to reach outside itself: files, servers. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import ip_address
from pathlib import PurePath

import msgspec

_DNS = 53


class Reach(msgspec.Struct, frozen=True):
    """Files and servers that something needs. Two are joined with ``|``.

    Servers are told apart by their ports alone: names have addresses that change while a lane runs, and an operating
    system knows addresses.
    """

    reads: frozenset[str] = frozenset()
    """Files, and folders with all below them. Absolute paths."""
    writes: frozenset[str] = frozenset()
    """Likewise; what is written may be read, and made and deleted in folders."""
    ports: frozenset[int] = frozenset()
    """TCP ports of servers."""
    names: bool = False
    """Some server is known by its name, so the DNS must be asked."""
    sockets: bool = False
    """Some server listens on a Unix socket."""
    anywhere: bool = False
    """Any server, on any port and by any protocol."""

    @classmethod
    def server(cls, host: str, *ports: int) -> Reach:
        """Return what it takes to connect to a host, given by name or address, on some TCP ports."""
        if _is_fixed(host):
            return cls(ports=frozenset(ports))
        return cls(ports=frozenset({*ports, _DNS}), names=True)

    def __or__(self, other: Reach) -> Reach:
        """Return what covers both."""
        return Reach(
            reads=self.reads | other.reads,
            writes=self.writes | other.writes,
            ports=self.ports | other.ports,
            names=self.names or other.names,
            sockets=self.sockets or other.sockets,
            anywhere=self.anywhere or other.anywhere,
        )

    def covers(self, other: Reach) -> bool:
        """Whether everything that ``other`` reaches can be reached here."""
        return (
            _below(other.writes, self.writes)
            and _below(other.reads, self.reads | self.writes)
            and (self.anywhere or self._covers_servers(other))
        )

    def _covers_servers(self, other: Reach) -> bool:
        return (
            not other.anywhere
            and other.ports <= self.ports
            and self.names >= other.names
            and self.sockets >= other.sockets
        )


ANYWHERE = Reach(anywhere=True)
"""Every server, and no file."""


def _below(paths: Iterable[str], folders: frozenset[str]) -> bool:
    return all(path in folders or any(str(up) in folders for up in PurePath(path).parents) for path in paths)


def _is_fixed(host: str) -> bool:
    """Whether a host is found without the DNS."""
    if host.lower() == "localhost":
        return True
    try:
        ip_address(host.strip("[]"))
    except ValueError:
        return False
    return True
