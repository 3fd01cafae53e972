"""What a connection of ``[resources.sql.NAME]`` needs. Loaded by the host, so without SQLAlchemy.

An address in a form that is not known here is taken for one that may be anywhere.
"""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import parse_qsl

from trimtab.api import ANYWHERE, Reach
from trimtab.plugins.sql.options import SqlOptions

_URL = re.compile(
    r"(?:jdbc:)?(?P<kind>[a-z0-9]+)(?:\+\w+)?:"
    r"(?://(?:[^:/@]*(?::[^@]*)?@)?(?P<hosts>[^/?;@]*))?(?:/?[^?;]*)?(?:[?;](?P<query>.*))?"
)
_HOST = re.compile(r"(?P<host>\[[^\]]+\]|[^:\\\[]*)(?::(?P<port>\d*))?")
_PORTS = {"mariadb": 3306, "mssql": 1433, "mysql": 3306, "postgres": 5432, "postgresql": 5432, "sqlserver": 1433}
_SQLITE = ("sqlite:", "sqlite+", "jdbc:sqlite:")
_FILES = ("sslrootcert", "sslcert", "sslkey", "sslcrl", "ssl_ca", "ssl_cert", "ssl_key", "serverSslCert")
_OF_LIBPQ = ("~/.postgresql", "~/.pgpass")


def reach_of(options: SqlOptions, folder: Path) -> Reach:
    """Return the server's port and the files that the address names, or the folder of a database that is a file."""
    jars = [options.jar] if isinstance(options.jar, str) else options.jar or []
    return Reach(reads=frozenset(str(folder / jar) for jar in jars)) | _of_url(options.url, folder)


def _of_url(text: str, folder: Path) -> Reach:
    if text.startswith(_SQLITE):
        return _of_file(text.removeprefix("jdbc:"), folder)
    url = _URL.fullmatch(text)
    if url is None:
        return ANYWHERE
    query = parse_qsl((url["query"] or "").replace(";", "&"))
    files = {str(Path(value).expanduser().absolute()) for name, value in query if name in _FILES}
    if url["kind"].startswith("postgres"):
        files.update(str(Path(place).expanduser()) for place in _OF_LIBPQ)
    return Reach(reads=frozenset(files)) | _of_servers(url["kind"], url["hosts"], query)


def _of_file(url: str, folder: Path) -> Reach:
    """The folder: SQLite makes other files beside its own."""
    path = re.sub(r"\Asqlite(\+\w+)?:(///|)|\?.*", "", url)
    return Reach(writes=frozenset({str((folder / path.removeprefix("file:")).parent)}))


def _of_servers(kind: str, authority: str | None, query: list[tuple[str, str]]) -> Reach:
    """``authority``: what lies between ``//`` and the path; None: the address has another form."""
    if authority is None or kind not in _PORTS:
        return ANYWHERE
    if any(name in {"unix_socket", "localSocket", "instanceName", "service"} for name, _value in query):
        return ANYWHERE
    hosts = [host for name, value in query if name == "host" for host in value.split(",")] or authority.split(",")
    reach = Reach()
    for text in hosts:
        host = _HOST.fullmatch(text)
        if text.startswith("/") or (not text and kind.startswith("postgres")):  # libpq's default is a socket
            reach |= Reach(sockets=True)
        elif host is None:
            return ANYWHERE
        else:
            reach |= Reach.server(host["host"] or "localhost", int(host["port"] or _PORTS[kind]))
    return reach
