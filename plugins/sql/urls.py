"""Reads the ``url`` of a resource: JDBC's form or SQLAlchemy's."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from trimtab.plugins.sql.jdbc_urls import read_jdbc_url

DRIVERS = {
    "mariadb": "mariadb+pymysql",
    "mssql": "mssql+pymssql",
    "mysql": "mysql+pymysql",
    "oracle": "oracle+oracledb",
    "postgres": "postgresql+psycopg",
    "postgresql": "postgresql+psycopg",
}
"""The driver where the URL names none."""


def read_url(text: str, folder: Path, user: str | None = None, password: str | None = None) -> URL:
    """Return the URL with its driver; ``user`` and ``password`` come before those in it.

    The path of an SQLite file is relative to ``folder``. Raises ``ValueError``, without the URL in the message, which
    may hold a password.
    """
    url = read_jdbc_url(text) if text.startswith("jdbc:") else _sqlalchemy_url(text)
    url = url.set(drivername=DRIVERS.get(url.drivername, url.drivername))
    if user is not None:
        url = url.set(username=user)
    if password is not None:
        url = url.set(password=password)
    return _in_folder(url, folder) if url.get_backend_name() == "sqlite" else url


def _sqlalchemy_url(text: str) -> URL:
    try:
        return make_url(text)
    except (ArgumentError, ValueError):
        raise ValueError(
            'expected an address such as "postgresql://host:5432/database" or "jdbc:postgresql://host:5432/database", '
            "got another form"
        ) from None


def _in_folder(url: URL, folder: Path) -> URL:
    path = url.database or ":memory:"
    if ":memory:" in path or "mode=memory" in path or url.query.get("mode") == "memory":
        raise ValueError("expected the path of a file, got a database in memory, which no two lanes would share")
    return url if path.startswith("file:") else url.set(database=str(folder / path))
