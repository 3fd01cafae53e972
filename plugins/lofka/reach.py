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

    def require(self, kind: Kind, options: Any) -> None:
        """Raise :class:`CallError` unless the script may connect to the servers that the options name."""
        if self.host.confined is not True:
            return
        declared = frozenset[str]().union(*map(kind.addresses, self.host.resources.declared(kind.name)))
        missing = sorted(kind.addresses(options) - declared)
        if missing:
            expected = f"an address that the configuration declares ({', '.join(sorted(declared)) or 'there is none'})"
            line = f'[resources.{kind.name}.NAME] url = "{_scheme(options.url)}://{",".join(missing)}"'
            raise CallError("PolicyError", f"expected {expected}, got {', '.join(missing)}; to allow it: {line}")


def _scheme(url: str) -> str:
    """Return how a URL begins; the rest may hold a password."""
    found = re.match(r"(jdbc:)?[a-z+]+", url)
    return found[0] if found else ""


def _redis(options: Any) -> frozenset[str]:
    return frozenset(f"{host}:{port}".lower() for host, port in options.address().hosts)


def _mongo(options: Any) -> frozenset[str]:
    from pymongo.uri_parser import parse_uri

    return frozenset(f"{host}:{port}".lower() for host, port in parse_uri(options.url)["nodelist"])


def _sql(options: Any) -> frozenset[str]:
    from trimtab.plugins.sql.urls import read_url

    url = read_url(options.url, Path())
    hosts = url.normalized_query.get("host", ()) or (_with_port(url),)
    return frozenset(host.lower() for host in hosts)


_PORTS = {"postgresql": 5432, "mysql": 3306, "mariadb": 3306, "mssql": 1433, "oracle": 1521}


def _with_port(url: Any) -> str:
    """``host:port``; for a file its path."""
    if url.host is None:
        return str(url.database)
    return f"{url.host}:{url.port or _PORTS.get(url.get_backend_name(), 0)}"


REDIS = Kind("redis", _redis)
MONGO = Kind("mongo", _mongo)
SQL = Kind("sql", _sql)
