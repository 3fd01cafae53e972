"""An open database with a table of rules: reads them when it seems that something has changed. Blocks."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

from trimtab.api import CallError, OutsideError
from trimtab.plugins.rules.columns import Columns
from trimtab.plugins.rules.options import SqlRulesOptions
from trimtab.plugins.sql.options import SqlOptions
from trimtab.plugins.sql.resource import create_resource
from trimtab.plugins.sql.session import Session
from trimtab.plugins.sql.urls import read_url

_UNKNOWN: Any = object()
"""Stands for an answer that no probe gives."""


class OpenTable:
    """Keeps one connection: SQLite counts changes for each of them, and servers need not let us in at every look.

    Used by one thread at a time. Close it after an error.
    """

    def __init__(self, options: SqlRulesOptions, database: SqlOptions, place: str, folder: Path) -> None:
        """Connect. Raises :class:`OutsideError`."""
        self.database = database
        self._options = options
        self._place = place
        self._file = _sqlite_file(database, folder)
        self._signature = self._sign_of_file()
        self._resource = create_resource(database, place, folder)
        self._session: Session | None = None
        self._answer: Any = _UNKNOWN
        self._looks = 0

    def close(self) -> None:
        """Let go of the connection. Does not fail."""
        session, self._session = self._session, None
        if session is not None:
            session.abandon()
        self._resource.close()

    def is_another(self, database: SqlOptions) -> bool:
        """Whether this is not the database that is to be looked at: it has another address now, or its file was
        replaced. Raises :class:`OutsideError` where there is no file.
        """
        return database != self.database or self._sign_of_file() != self._signature

    def has_changed(self) -> bool:
        """Whether the rows are to be read. Raises :class:`CallError`."""
        answer = self._probed(self._connected())
        self._looks += 1
        if answer is not _UNKNOWN and answer == self._answer and self._looks < self._options.full_every:
            return False
        self._answer, self._looks = answer, 0
        return True

    def rows(self) -> list[dict[str, Any]]:
        """Return the fields of all rules. Raises :class:`CallError`; :class:`OutsideError` for missing columns."""
        session = self._connected()
        query = self._options.query or f"select * from {session.quoted_table(self._options.table)}"  # noqa: S608
        names, rows = session.table(query)
        try:
            columns = Columns(self._options.columns, names)
        except ValueError as error:
            raise OutsideError(f"{self._place}: {error}", retryable=True) from None
        return [columns.fields(row) for row in rows]

    def _connected(self) -> Session:
        if self._session is None:
            self._session = self._resource.connect()
        return self._session

    def _probed(self, session: Session) -> Any:
        """The answer of the probe; one that is unknown where there is none."""
        options = self._options
        if options.channel is not None:
            return _UNKNOWN
        if options.probe is not None:
            return session.query(options.probe)
        if self.database.driver is None and self.database.url.removeprefix("jdbc:").startswith("sqlite"):
            return session.query("pragma data_version")
        if options.query is not None:
            return _UNKNOWN
        try:
            return session.query(self._probe_of_table(session))
        except CallError as error:
            if error.name != "SqlError" or error.retryable or options.updated_at is not None:
                raise
            return _UNKNOWN  # versions that are no numbers have no sum; what else is wrong shows when they are read

    def _probe_of_table(self, session: Session) -> str:
        options = self._options
        version = session.quoted(options.columns.get("version", "version"))
        asked = ["count(*)", f"max({version})"]
        # A sum sees that any version rises. A time of change sees more, and wants no versions that are numbers.
        asked.append(f"sum({version})" if options.updated_at is None else f"max({session.quoted(options.updated_at)})")
        return f"select {', '.join(asked)} from {session.quoted_table(options.table)}"  # noqa: S608

    def _sign_of_file(self) -> tuple[int, int] | None:
        """What tells the file of an SQLite database from another one in its place. Other databases have none.

        SQLite would make a file that is not there.
        """
        if self._file is None:
            return None
        try:
            status = self._file.stat()
        except OSError as error:
            raise OutsideError(
                f"{self._place}: expected a database file at {self._file}, got {error.strerror}", retryable=True
            ) from None
        return status.st_dev, status.st_ino


def _sqlite_file(database: SqlOptions, folder: Path) -> Path | None:
    """Return where the file of an SQLite database is; None for other databases, and where the address is a URI."""
    if database.driver is not None:
        return None
    with suppress(ValueError):  # whoever opens it says why
        url = read_url(database.url, folder)
        if url.get_backend_name() == "sqlite" and url.database and not url.database.startswith("file:"):
            return Path(url.database)
    return None
