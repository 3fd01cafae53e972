"""``host:port``, where the host listens."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass

EXPECTED = 'host:port such as "127.0.0.1:8471" or "[::1]:8471", with a port from 0 to 65535'

_TEXT = re.compile(r"(?:\[(?P<v6>[^\[\]]+)\]|(?P<host>[^\s:\[\]/]+)):(?P<port>\d{1,5})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Address:
    """A host name or IP address (IPv6 without brackets), and a port; port 0 takes a free one."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can connect to it."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host.lower() == "localhost"


def parse_address(text: str) -> Address:
    """Return the address that ``host:port`` names. Raises ``ValueError``, saying what was expected and what came."""
    match = _TEXT.fullmatch(text)
    if match is None or int(match["port"]) > 65535 or not _is_ipv6(match["v6"]):
        raise ValueError(f"expected {EXPECTED}, got {text!r}")
    return Address(match["v6"] or match["host"], int(match["port"]))


def _is_ipv6(text: str | None) -> bool:
    try:
        return text is None or ipaddress.IPv6Address(text).version == 6
    except ValueError:
        return False
