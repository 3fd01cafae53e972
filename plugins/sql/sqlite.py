"""SQLite through the standard library."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import date, datetime, time
from decimal import Decimal
from threading import local
from typing import Any

from sqlalchemy import URL, Connection, Engine, event

from trimtab.plugins.sql.deadline import Deadline
from trimtab.plugins.sql.flavors import Flavor
from trimtab.plugins.sql.trouble import Trouble, connection_lost

BUSY_SECONDS = 0.02
"""What SQLite itself waits for a lock: signals wait too meanwhile. Longer waits are made of these."""
STEPS = 20_000
"""Instructions of SQLite's between two looks at the clock, and for signals: about a millisecond."""

_BUSY = frozenset({"SQLITE_BUSY", "SQLITE_LOCKED"})
_VACUUM = re.compile(r"\s*vacuum(\s+main)?\s*;?\s*", re.IGNORECASE)
"""Without ``into``: SQLite attaches a file of its own then, which it deletes."""
_TOO_MANY_ATTACHED = "too many attached databases"


class _Struck(local):
    """What a signal has raised inside of SQLite. No other thread is to take it for its own."""

    error: BaseException | None = None


class SqliteFlavor(Flavor):
    """A file in WAL mode. A transaction takes the write lock when it begins, so that it does not fail halfway.

    Statements reach no other file: the number of files that may be attached is 0. An authorizer could refuse them too,
    but its Python code is where the time limit may strike, and SQLite's caller drops what it raises.
    """

    knows_last_key = True

    def __init__(self, url: URL, deadline: Deadline) -> None:
        super().__init__(url, deadline)
        self._struck = _Struck()

    def make_engine(self) -> Engine:
        """See :class:`Flavor`."""
        engine = super().make_engine()
        event.listen(engine, "connect", self._prepare)
        event.listen(engine, "do_execute", self._execute)
        return engine

    def connect_arguments(self) -> Mapping[str, Any]:
        """See :class:`Flavor`."""
        return {"timeout": BUSY_SECONDS, "check_same_thread": False}

    def adapt(self, value: Any) -> Any:
        """See :class:`Flavor`. Dates become text as SQLite's own functions write it."""
        if isinstance(value, datetime):
            return value.isoformat(" ")
        if isinstance(value, date | time):
            return value.isoformat()
        return str(value) if isinstance(value, Decimal) else value

    def begin(self, connection: Connection) -> None:
        """See :class:`Flavor`."""
        connection.exec_driver_sql("begin immediate")

    def is_alive(self, connection: Connection, idle: float) -> bool:  # noqa: ARG002 - a file is always there
        """See :class:`Flavor`."""
        return True

    def trouble(self, error: BaseException) -> Trouble:
        """See :class:`Flavor`."""
        if not isinstance(error, sqlite3.Error):
            return super().trouble(error)
        code: str | None = getattr(error, "sqlite_errorname", None)
        message = str(error)
        if code == "SQLITE_INTERRUPT":
            struck, self._struck.error = self._struck.error, None
            if struck is not None:
                raise struck
            return Trouble("TimeoutError", f"none within {self.deadline.seconds:g} s", code, retryable=True)
        if _TOO_MANY_ATTACHED in message:
            return Trouble("PolicyError", "ATTACH or VACUUM INTO; declare the other file as a resource of its own")
        if code == "SQLITE_CANTOPEN":
            return connection_lost(message, code)
        return Trouble("SqlError", message, code, retryable=_is_busy(error))

    def _prepare(self, connection: sqlite3.Connection, _record: object) -> None:
        connection.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
        connection.set_progress_handler(self._looks().__next__, STEPS)
        with suppress(sqlite3.OperationalError):  # of somebody else's in use, or read-only: it works without, too
            connection.execute("pragma journal_mode = wal")

    def _looks(self) -> Iterator[bool]:
        """Tell SQLite, each time it asks, whether to stop; what a signal raises meanwhile is kept.

        SQLite's caller drops exceptions. A function could not catch them all: signals are looked for when it is
        entered. A generator is entered where it has stopped, and that is inside the ``try``.
        """
        while True:
            try:
                yield self.deadline.has_passed()
            except GeneratorExit:
                return
            except BaseException as error:  # noqa: BLE001 - raised again by trouble()
                self._struck.error = error
                yield True

    def _execute(self, cursor: sqlite3.Cursor, statement: str, values: Any, _context: object) -> bool:
        if not _VACUUM.fullmatch(statement):
            self._execute_waiting(cursor, statement, values)
            return True
        cursor.connection.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 1)
        try:
            self._execute_waiting(cursor, statement, values)
        finally:
            cursor.connection.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
        return True

    def _execute_waiting(self, cursor: sqlite3.Cursor, statement: str, values: Any) -> None:
        while True:
            try:
                cursor.execute(statement, values)
            except sqlite3.OperationalError as error:
                if not _is_busy(error) or self.deadline.has_passed():
                    raise
            else:
                return


def _is_busy(error: sqlite3.Error) -> bool:
    name = getattr(error, "sqlite_errorname", None) or ""
    return name.startswith(tuple(_BUSY))
