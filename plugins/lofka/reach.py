"""Which addresses a Lofka script may connect to where scripts are held to what the configuration declares."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trimtab.api import CallError, ScriptHost


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of resource: its name, and how to find the ``host:port`` of every server in its options."""

    name: str
    addresses: Callable[[Any], frozenset[str]]


@dataclass(frozen=True, slots=True)
class Reach:
    """The rule for one script."""

    host: ScriptHost

    @property
    def confined(self) -> bool:
        """Whether there is a rule at all."""
        return self.host.confined is True

    def require(self, kind: Kind, options: Any) -> None:
        """Raise :class:`CallError` unless the script may connect to the servers that the options name."""
        if not self.confined:
            return
        declared = frozenset[str]().union(*map(kind.addresses, self.host.resources.declared(kind.name)))
        missing = sorted(kind.addresses(options) - declared)
        if missing:
            expected = f"an address that the configuration declares ({', '.join(sorted(declared)) or 'there is none'})"
            line = f'[resources.{kind.name}.NAME] url = "{_url(options.url, ",".join(missing))}"'
            raise CallError("PolicyError", f"expected {expected}, got {', '.join(missing)}; to allow it: {line}")


def _url(url: str, addresses: str) -> str:
    """Return a URL of the same kind with these addresses alone; the rest may hold a password."""
    found = re.match(r"(jdbc:)?[a-z+]+", url)
    return addresses if "://" in addresses or not found else f"{found[0]}://{addresses}"


def _redis(options: Any) -> frozenset[str]:
    return frozenset(f"{host}:{port}".lower() for host, port in options.address().hosts)


def _mongo(options: Any) -> frozenset[str]:
    from pymongo.errors import PyMongoError
    from pymongo.uri_parser import parse_uri

    try:
        servers = parse_uri(options.url)["nodelist"]  # asks the DNS for mongodb+srv://
    except PyMongoError:
        servers = None
    if servers is None:
        message = "expected the servers of a declared mongodb+srv:// address, got none; can its name be resolved?"
        raise CallError("ConnectionError", message, retryable=True)
    return frozenset(f"{host}:{port}".lower() for host, port in servers)


def _sql(options: Any) -> frozenset[str]:
    from trimtab.plugins.sql.urls import read_url

    if options.driver is not None:
        return frozenset()  # Java alone knows what the address means, and Lofka scripts do not get there
    url = read_url(options.url, Path())
    if "host" in url.query:  # several
        return frozenset(host.lower() for host in url.normalized_query["host"])
    if url.host is None:  # a file, or a server that is not named
        return frozenset({f"{url.get_backend_name()}:///{url.database}"})
    return frozenset({f"{url.host}:{url.port or _PORTS.get(url.get_backend_name(), 0)}".lower()})


_PORTS = {"postgresql": 5432, "mysql": 3306, "mariadb": 3306, "mssql": 1433, "oracle": 1521}


REDIS = Kind("redis", _redis)
MONGO = Kind("mongo", _mongo)
SQL = Kind("sql", _sql)
