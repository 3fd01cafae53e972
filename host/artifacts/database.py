"""The SQLite file under the artifact store: opening it, its schema, its transactions."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from trimtab.errors import StateError

SCHEMA_VERSION = 1
BUSY_TIMEOUT = 10.0
"""Seconds to wait for another process that is writing."""

SCHEMA = (
    "CREATE TABLE blobs (hash TEXT PRIMARY KEY, content BLOB NOT NULL)",
    """CREATE TABLE versions (
        name TEXT NOT NULL, seq INTEGER NOT NULL, hash TEXT NOT NULL REFERENCES blobs,
        staged_at INTEGER NOT NULL, origin TEXT NOT NULL, PRIMARY KEY (name, seq)) WITHOUT ROWID""",
    """CREATE TABLE generations (
        number INTEGER PRIMARY KEY, at INTEGER NOT NULL, reason TEXT NOT NULL,
        outcome TEXT NOT NULL CHECK (outcome IN ('committed', 'refused')),
        seconds BLOB NOT NULL, base INTEGER REFERENCES generations)""",
    # A generation stores only what differs from its base, so a change costs what changed.
    """CREATE TABLE changes (
        generation INTEGER NOT NULL REFERENCES generations, name TEXT NOT NULL, seq INTEGER,
        kind TEXT NOT NULL CHECK (kind IN ('added', 'changed', 'deleted', 'reloaded')),
        fault BLOB, CHECK (kind != 'deleted' OR seq IS NULL),
        PRIMARY KEY (generation, name), FOREIGN KEY (name, seq) REFERENCES versions) WITHOUT ROWID""",
    "CREATE INDEX changes_by_name ON changes (name, generation)",
    # The running generation, whole: kept in step by the transaction that commits.
    """CREATE TABLE active (
        name TEXT PRIMARY KEY, seq INTEGER NOT NULL, FOREIGN KEY (name, seq) REFERENCES versions) WITHOUT ROWID""",
    "CREATE TABLE holds (name TEXT PRIMARY KEY, hash TEXT) WITHOUT ROWID",
    f"PRAGMA user_version = {SCHEMA_VERSION}",
)


class Database:
    """One connection, used from the thread that made it. Every error of SQLite leaves as :class:`StateError`."""

    def __init__(self, path: Path) -> None:
        """Open the file, and create it if it is missing. Its folder must exist."""
        self._path = path
        with self._mapped():
            self._connection = sqlite3.connect(path, timeout=BUSY_TIMEOUT, isolation_level=None)
        try:
            self._prepare()
        except BaseException:
            self._connection.close()
            raise

    def rows(self, query: str, *parameters: Any) -> list[Any]:
        """Run a query and return all its rows."""
        with self._mapped():
            return self._connection.execute(query, parameters).fetchall()

    def row(self, query: str, *parameters: Any) -> Any:
        """Run a query and return its first row, or None."""
        with self._mapped():
            return self._connection.execute(query, parameters).fetchone()

    def write(self, statement: str, *rows: tuple[Any, ...]) -> None:
        """Run a statement once for each row."""
        with self._mapped():
            self._connection.executemany(statement, rows)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All writes of the block, or none. They are on the disk when the block has ended."""
        with self._mapped():
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
        with self._mapped():
            self._connection.execute("BEGIN")
            try:
                yield
            finally:
                self._connection.execute("ROLLBACK")

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def _prepare(self) -> None:
        with self._mapped():
            if not self._schema_version():
                self._create()
            if self._schema_version() != SCHEMA_VERSION:
                raise StateError(
                    f"{self._path}: expected a store of schema {SCHEMA_VERSION}, got schema {self._schema_version()} "
                    "of a newer trimtab; install that version again, or start with another state folder"
                )
            for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON"):
                self._connection.execute(f"PRAGMA {pragma}")

    def _create(self) -> None:
        with self.transaction():
            if self._schema_version():  # another process was faster
                return
            if self.row("SELECT 1 FROM sqlite_master"):
                raise StateError(
                    f"{self._path}: expected an artifact store, got another program's database; "
                    "move it away, or name another state folder"
                )
            for statement in SCHEMA:
                self._connection.execute(statement)

    def _schema_version(self) -> int:
        return int(self._connection.execute("PRAGMA user_version").fetchone()[0])

    @contextmanager
    def _mapped(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.IntegrityError, sqlite3.ProgrammingError):
            raise  # our mistake, not the operator's
        except sqlite3.OperationalError as error:
            raise StateError(
                f"{self._path}: expected a store that can be read and written, got: {error}; "
                "check that the state folder exists, its permissions, and the room on its disk"
            ) from error
        except sqlite3.DatabaseError as error:
            raise StateError(
                f"{self._path}: expected an artifact store, got: {error}; the file is damaged: "
                "restore it from a backup, or move it away to start with an empty history"
            ) from error
