"""Reads JDBC URLs, with the parameters of their drivers, into SQLAlchemy's."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NoReturn
from urllib.parse import parse_qsl, unquote

from sqlalchemy import URL

_AUTHORITY = re.compile(r"//(?P<hosts>[^/?]*)(?:/(?P<database>[^?]*))?(?:\?(?P<query>.*))?")
_HOST = re.compile(r"(?P<host>\[[^\]]+\]|[^:\\]*)(?:\\(?P<instance>[^:]+))?(?::(?P<port>\d+))?")
_SQLSERVER_PROPERTY = re.compile(r"\s*(?P<name>[^=;]+?)\s*=\s*(?:\{(?P<braced>[^}]*)\}|(?P<plain>[^;]*?))\s*(?:;|\Z)")
_ORACLE = re.compile(
    r"thin:(?:(?P<user>[^/@]+)/(?P<password>[^@]*))?@(?://)?(?P<host>[^/:()]+)(?::(?P<port>\d+))?"
    r"(?P<kind>[:/])(?P<name>[\w.$#-]+)"
)

_POSTGRESQL_QUERY = {
    "sslmode": "sslmode",
    "sslrootcert": "sslrootcert",
    "sslcert": "sslcert",
    "sslkey": "sslkey",
    "ApplicationName": "application_name",
    "options": "options",
}
_POSTGRESQL_TARGETS = {
    "primary": "primary",
    "master": "primary",
    "secondary": "standby",
    "slave": "standby",
    "preferSecondary": "prefer-standby",
}
_MYSQL_SSL_MODES = frozenset({"REQUIRED", "TRUST", "VERIFY_CA", "VERIFY-CA", "VERIFY_IDENTITY", "VERIFY-FULL"})


@dataclass(frozen=True, slots=True)
class _Address:
    hosts: list[tuple[str, int | None]]
    database: str | None
    query: dict[str, str] = field(default_factory=dict)


def read_jdbc_url(text: str) -> URL:
    """Return what a JDBC URL means. Raises ``ValueError``, without the URL in the message, for what is not known.

    Parameters that only matter to the Java driver are left out.
    """
    kind, _, rest = text.removeprefix("jdbc:").partition(":")
    reader = _READERS.get(kind)
    if reader is None:
        _fail(
            f"a JDBC URL of {', '.join(sorted(_READERS))}", f"jdbc:{kind}; name its driver and jar to go through Java"
        )
    return reader(rest)


def _postgresql(rest: str) -> URL:
    address = _address(rest if rest.startswith("//") else f"///{rest}", "jdbc:postgresql://HOST:PORT/DATABASE")
    given = address.query
    query: dict[str, str | tuple[str, ...]] = {
        ours: given[theirs] for theirs, ours in _POSTGRESQL_QUERY.items() if theirs in given
    }
    if "sslmode" not in query and given.get("ssl", "false") != "false":
        query["sslmode"] = "verify-full"  # what it means to the Java driver
    if "currentSchema" in given:
        query["options"] = f"{query.get('options', '')} -csearch_path={given['currentSchema']}".strip()
    if given.get("targetServerType") in _POSTGRESQL_TARGETS:
        query["target_session_attrs"] = _POSTGRESQL_TARGETS[given["targetServerType"]]
    if len(address.hosts) > 1:
        query["host"] = tuple(f"{host}:{port or 5432}" for host, port in address.hosts)
        return _url("postgresql", _Address([("", None)], address.database, given), query)
    return _url("postgresql", address, query)


def _mysql(kind: str) -> Callable[[str], URL]:
    def read(rest: str) -> URL:
        expected = f"jdbc:{kind}://HOST:PORT/DATABASE"
        if not rest.startswith("//"):
            _fail(expected, f"jdbc:{kind}:{rest.partition('/')[0]}; name one host")
        address = _address(rest, expected)
        if len(address.hosts) > 1:
            _fail(f"{expected} with one host", f"{len(address.hosts)} hosts")
        given = address.query
        wanted = given.get("useSSL") == "true" or given.get("useSsl") == "true"
        secure = wanted or given.get("sslMode", "").upper() in _MYSQL_SSL_MODES
        return _url(kind, address, _mysql_ssl(given) if secure else {})

    return read


def _mysql_ssl(given: Mapping[str, str]) -> dict[str, str | tuple[str, ...]]:
    mode = given.get("sslMode", "").upper()
    return {"ssl_check_hostname": "true" if mode in {"VERIFY_IDENTITY", "VERIFY-FULL"} else "false"}


def _sqlite(rest: str) -> URL:
    return URL.create("sqlite", database=rest.partition("?")[0])


def _sqlserver(rest: str) -> URL:
    place, _, properties = rest.partition(";")
    found = _HOST.fullmatch(place.removeprefix("//"))
    if found is None or not place.startswith("//"):
        _fail("jdbc:sqlserver://HOST:PORT;databaseName=NAME", "another form")
    given = {
        match["name"].lower(): match["plain"] if match["braced"] is None else match["braced"]
        for match in _SQLSERVER_PROPERTY.finditer(properties)
    }
    host, instance = found["host"] or given.get("servername", ""), found["instance"] or given.get("instancename")
    port = found["port"] or given.get("portnumber") or given.get("port")
    return URL.create(
        "mssql",
        username=given.get("user") or given.get("username"),
        password=given.get("password"),
        host=f"{host}\\{instance}" if instance else host,
        port=int(port) if port else None,
        database=given.get("databasename") or given.get("database"),
    )


def _oracle(rest: str) -> URL:
    found = _ORACLE.fullmatch(rest)
    if found is None:
        _fail("jdbc:oracle:thin:@HOST:PORT:SID or jdbc:oracle:thin:@//HOST:PORT/SERVICE", "another form")
    by_sid = found["kind"] == ":"
    return URL.create(
        "oracle",
        username=found["user"],
        password=found["password"],
        host=found["host"],
        port=int(found["port"] or 1521),
        database=found["name"] if by_sid else None,
        query={} if by_sid else {"service_name": found["name"]},
    )


_READERS: Mapping[str, Callable[[str], URL]] = {
    "mariadb": _mysql("mariadb"),
    "mysql": _mysql("mysql"),
    "oracle": _oracle,
    "postgresql": _postgresql,
    "sqlite": _sqlite,
    "sqlserver": _sqlserver,
}


def _address(rest: str, expected: str) -> _Address:
    found = _AUTHORITY.fullmatch(rest)
    hosts = [_HOST.fullmatch(host) for host in found["hosts"].split(",")] if found else []
    if found is None or None in hosts:
        _fail(expected, "another form")
    places = [(host["host"].strip("[]"), int(host["port"]) if host["port"] else None) for host in hosts if host]
    query = dict(parse_qsl(found["query"] or "", keep_blank_values=True))
    return _Address(places, unquote(found["database"] or "") or None, query)


def _url(kind: str, address: _Address, query: Mapping[str, str | tuple[str, ...]]) -> URL:
    ((host, port),) = address.hosts
    return URL.create(
        kind,
        username=address.query.get("user"),
        password=address.query.get("password"),
        host=host or (None if "host" in query else "localhost"),
        port=port,
        database=address.database,
        query=query,
    )


def _fail(expected: str, got: str) -> NoReturn:
    raise ValueError(f"expected {expected}, got {got}")
