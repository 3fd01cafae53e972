"""A SQLite file of the state folder: opening it, its schema, its transactions."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from trimtab.errors import StateError

Row = TypeVar("Row")

BUSY_TIMEOUT = 10.0
"""Seconds to wait for another process that is writing."""


class Schema(NamedTuple):
    """What a file holds."""

    holds: str
    """In words for the operator: ``an artifact store``."""
    version: int
    """Above 0."""
    start_over: str
    """In words: with what trimtab starts where the file is missing."""
    statements: tuple[str, ...]
    """Make the tables."""


class Database:
    """One connection, for any thread: one call, transaction or snapshot at a time, which blocks on the disk.

    Every error of SQLite leaves as :class:`StateError`. Other processes may use the file at the same time.
    """

    def __init__(self, path: Path, schema: Schema) -> None:
        """Open the file, and create it if it is missing. Its folder must exist."""
        self._path, self._schema = path, schema
        self._lock = threading.RLock()
        with self._exclusive():
            self._connection = sqlite3.connect(
                path, timeout=BUSY_TIMEOUT, isolation_level=None, check_same_thread=False
            )
        try:
            self._prepare()
        except BaseException:
            self._connection.close()
            raise

    def rows(self, query: str, *parameters: Any) -> list[Any]:
        """Run a query and return all its rows."""
        with self._exclusive():
            return self._connection.execute(query, parameters).fetchall()

    def row(self, query: str, *parameters: Any) -> Any:
        """Run a query and return its first row, or None."""
        with self._exclusive():
            return self._connection.execute(query, parameters).fetchone()

    def write(self, statement: str, *rows: tuple[Any, ...]) -> None:
        """Run a statement once for each row."""
        with self._exclusive():
            self._connection.executemany(statement, rows)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All writes of the block, or none. They are on the disk when the block has ended."""
        with self._exclusive():
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:  # SQLite has already rolled back after a full disk
                    self._connection.execute("ROLLBACK")
                raise

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """All reads of the block see the same state, whatever other processes write meanwhile."""
        with self._exclusive():
            self._connection.execute("BEGIN")
            try:
                yield
            finally:
                self._connection.execute("ROLLBACK")

    def close(self) -> None:
        """Close the connection."""
        with self._exclusive():
            self._connection.close()

    def _prepare(self) -> None:
        with self._exclusive():
            if not self._schema_version():
                self._create()
            if self._schema_version() != self._schema.version:
                raise StateError(
                    f"{self._path}: expected {self._schema.holds} of schema {self._schema.version}, "
                    f"got schema {self._schema_version()} of a newer trimtab; install that version again, "
                    "or start with another state folder"
                )
            for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON"):
                self._connection.execute(f"PRAGMA {pragma}")

    def _create(self) -> None:
        with self.transaction():
            if self._schema_version():  # another process was faster
                return
            if self.row("SELECT 1 FROM sqlite_master"):
                raise StateError(
                    f"{self._path}: expected {self._schema.holds}, got another program's database; "
                    "move it away, or name another state folder"
                )
            for statement in (*self._schema.statements, f"PRAGMA user_version = {self._schema.version}"):
                self._connection.execute(statement)

    def _schema_version(self) -> int:
        return int(self._connection.execute("PRAGMA user_version").fetchone()[0])

    @contextmanager
    def _exclusive(self) -> Iterator[None]:
        try:
            with self._lock:
                yield
        except (sqlite3.IntegrityError, sqlite3.ProgrammingError):
            raise  # our mistake, not the operator's
        except sqlite3.OperationalError as error:
            raise StateError(
                f"{self._path}: expected {self._schema.holds} that can be read and written, got: {error}; "
                "check that the state folder exists, its permissions, and the room on its disk"
            ) from error
        except sqlite3.DatabaseError as error:
            raise StateError(
                f"{self._path}: expected {self._schema.holds}, got: {error}; the file is damaged: "
                f"restore it from a backup, or move it away to start with {self._schema.start_over}"
            ) from error


def in_powers_of_two(rows: Sequence[Row], most: int) -> Iterator[Sequence[Row]]:
    """Part rows, in their order, into as many as one statement is to write: a power of two, and at most ``most``.

    Python keeps the last 128 different statements of a connection prepared, with a copy of the values that each wrote
    last. One that writes 500 rows takes 350 KiB: were there one for each number of rows, 128 of them would take some
    20 MiB. The same few are used again and again.
    """
    start = 0
    while left := len(rows) - start:
        end = start + (1 << min(left, most).bit_length() - 1)
        yield rows[start:end]
        start = end
