"""The entries of ``allow``: which hosts and ports a configuration lists. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import ip_address

WEB_PORTS = frozenset({80, 443})
"""The ports of an entry that names none."""

EXPECTED = '"host", "host:port", "*.domain", "*.domain:port", "*" or "*:port" (an IPv6 address as "[::1]:port")'

_LABELS = r"[a-z0-9_-]+(?:\.[a-z0-9_-]+)*"
_ENTRY = re.compile(rf"(\*|(?:\*\.)?{_LABELS}|\[[0-9a-f:.]+\])(?::([0-9]{{1,5}}))?", re.ASCII)


def normal(host: str) -> str:
    """Return the one spelling of a host: lower case, without the last dot, an address in its short form."""
    plain = host.lower().removesuffix(".").removeprefix("[").removesuffix("]")
    try:
        return str(ip_address(plain))
    except ValueError:
        return plain


@dataclass(frozen=True, slots=True)
class Entry:
    """Some hosts, on some ports."""

    host: str
    """A name or an address as :func:`normal` spells it, ``*.domain``, or ``*``."""
    ports: frozenset[int]

    @classmethod
    def parse(cls, text: str) -> Entry:
        """Read an entry as people write it. Raises ``ValueError``."""
        match = _ENTRY.fullmatch(text.lower())
        port = None if match is None or match[2] is None else int(match[2])
        if match is None or (port is not None and not 0 < port < 1 << 16):
            raise ValueError(f"expected {EXPECTED}, got {text!r}")
        host = normal(match[1])
        if match[1].startswith("[") and ":" not in host:
            raise ValueError(f"expected an IPv6 address in brackets, got {text!r}")
        return cls(host, WEB_PORTS if port is None else frozenset({port}))

    def covers(self, host: str, port: int) -> bool:
        """Whether the host, as :func:`normal` spells it, is listed on this port."""
        if port not in self.ports:
            return False
        return self.host in {"*", host} or (self.host.startswith("*.") and host.endswith(self.host[1:]))

    def names(self, host: str, port: int) -> bool:
        """Whether the host is listed by its own name, not by a wildcard."""
        return self.host == host and port in self.ports


def entry_for(host: str, port: int) -> str:
    """Return the entry that lists a host on a port, and nothing else."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
