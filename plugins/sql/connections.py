"""The connections of one resource in one process: at most one that waits for statements, and one for transactions."""

from __future__ import annotations

from contextlib import suppress
from time import monotonic
from weakref import WeakSet

from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from trimtab.api import CallError
from trimtab.plugins.sql.flavors import Flavor

MOST_CONNECTIONS = 8
"""Open at once: a script that leaves its iterators open must not take all that the server has."""


class Connections:
    """Gives connections and takes them back. One that is not given back, for whatever reason, is not used again."""

    def __init__(self, flavor: Flavor, resource: str) -> None:
        self.flavor = flavor
        self.resource = resource
        self._engine = flavor.make_engine()
        self._autocommitting = self._engine.execution_options(isolation_level="AUTOCOMMIT")
        self._idle: dict[bool, tuple[Connection, float]] = {}
        self._open: WeakSet[Connection] = WeakSet()
        self.binder = flavor.binder(self._engine.dialect)

    def take(self, *, autocommit: bool) -> Connection:
        """Return a connection that works, as far as can be told; connects where there is none."""
        connection, since = self._idle.pop(autocommit, (None, 0.0))
        if connection is not None and self._is_alive(connection, monotonic() - since):
            return connection
        if connection is not None:
            self.drop(connection)
        self._require_room()
        made = (self._autocommitting if autocommit else self._engine).connect()
        self._open.add(made)
        return made

    def give_back(self, connection: Connection, *, autocommit: bool) -> None:
        """Keep a connection for the next one; nothing is under way on it."""
        if autocommit in self._idle:
            self.drop(connection)
        else:
            self._idle[autocommit] = connection, monotonic()

    def drop(self, connection: Connection) -> None:
        """Close a connection, whatever state it is in. Does not fail."""
        self._open.discard(connection)
        for leave in (connection.invalidate, connection.close):  # the first one spares it a rollback, which may block
            with suppress(Exception):  # it may be broken in any way
                leave()

    def close(self) -> None:
        """Close all connections, also those that are in use."""
        self._idle.clear()
        for connection in list(self._open):
            self.drop(connection)

    def _is_alive(self, connection: Connection, idle: float) -> bool:
        try:
            return self.flavor.is_alive(connection, idle)
        except (SQLAlchemyError, self._engine.dialect.loaded_dbapi.Error, OSError, ValueError):
            return False

    def _require_room(self) -> None:
        if len(self._open) >= MOST_CONNECTIONS:
            raise CallError(
                "SqlError",
                f"{self.resource}: expected at most {MOST_CONNECTIONS} transactions and iterators open at once, "
                "got one more; read iterators to their end, or close() them",
            )
