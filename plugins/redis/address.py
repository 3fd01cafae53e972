"""Where a Redis is: what the option ``url`` says."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from urllib.parse import unquote, urlsplit

EXPECTED = (
    "an address such as redis://host:6379/0, rediss://host:6380, unix:///path/of/socket, "
    "redis+cluster://host:7001,host:7002 or redis+sentinel://host:26379,host:26379/master_name/0"
)


class Form(Enum):
    """How a Redis is set up."""

    SINGLE = "redis"
    SOCKET = "unix"
    CLUSTER = "redis+cluster"
    SENTINEL = "redis+sentinel"


_SCHEMES = {
    "redis": (Form.SINGLE, False),
    "rediss": (Form.SINGLE, True),
    "unix": (Form.SOCKET, False),
    "redis+cluster": (Form.CLUSTER, False),
    "rediss+cluster": (Form.CLUSTER, True),
    "redis+sentinel": (Form.SENTINEL, False),
    "rediss+sentinel": (Form.SENTINEL, True),
}
_PORTS = {Form.SENTINEL: 26379}


@dataclass(frozen=True, slots=True)
class Address:
    """A Redis. ``str()`` shows where it is, without secrets."""

    form: Form
    hosts: tuple[tuple[str, int], ...] = ()
    tls: bool = False
    path: str = ""
    """Of the socket."""
    master: str = ""
    """What the Sentinels call the master."""
    database: int = 0
    username: str | None = None
    password: str | None = field(default=None, repr=False)

    def __str__(self) -> str:
        where = ",".join(f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in self.hosts)
        return self.path or (f"{where}/{self.master}" if self.master else where)


def check_address(url: str) -> None:
    """Raise ``ValueError`` unless :func:`parse_address` can read it."""
    parse_address(url)


def parse_address(url: str, username: str | None = None, password: str | None = None) -> Address:
    """Read an address; ``username`` and ``password`` go before those in it. Raises ``ValueError``, without secrets."""
    scheme, separator, rest = url.partition("://")
    if not separator or scheme not in _SCHEMES or "?" in rest or "#" in rest:
        raise ValueError(f"expected {EXPECTED}")
    form, tls = _SCHEMES[scheme]
    login, _, place = rest.rpartition("@")
    own_name, _, own_password = login.partition(":")
    username = username or unquote(own_name) or None
    password = password or unquote(own_password) or None
    if form is Form.SOCKET:
        return Address(form, path=_absolute(place), username=username, password=password)
    hosts, _, path = place.partition("/")
    master, database = _path(form, path.split("/") if path else [])
    return Address(form, _hosts(hosts, form), tls, "", master, database, username, password)


def _absolute(path: str) -> str:
    if not path.startswith("/"):
        raise ValueError("expected the absolute path of a socket: unix:///path/of/socket")
    return unquote(path)


def _hosts(text: str, form: Form) -> tuple[tuple[str, int], ...]:
    hosts = tuple(_host(host, _PORTS.get(form, 6379)) for host in text.split(","))
    if form is Form.SINGLE and len(hosts) > 1:
        raise ValueError("expected one host; for several use redis+cluster:// or redis+sentinel://")
    return hosts


def _host(text: str, port: int) -> tuple[str, int]:
    try:
        parts = urlsplit(f"//{text}")
        host, given = parts.hostname, parts.port
    except ValueError:
        host, given = None, None
    if not host:
        raise ValueError(f"expected hosts as host:port, with commas between, got {text!r}")
    return host, port if given is None else given


def _path(form: Form, parts: list[str]) -> tuple[str, int]:
    """Return the master's name and the number of the database."""
    if form is Form.CLUSTER and any(part not in {"", "0"} for part in parts):
        raise ValueError("expected no database: a cluster has only number 0")
    master = parts.pop(0) if form is Form.SENTINEL and parts else ""
    if form is Form.SENTINEL and not master:
        raise ValueError("expected the name of the master behind the hosts: redis+sentinel://host:26379/master_name")
    number = "/".join(parts) or "0"
    if not number.isdecimal():
        raise ValueError(f"expected the number of a database, got {number!r}")
    return unquote(master), int(number)
