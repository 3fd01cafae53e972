"""The connections of one resource in one process."""

from __future__ import annotations

from contextlib import suppress

from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from trimtab.api import CallError
from trimtab.plugins.pool import Pool
from trimtab.plugins.sql.flavors import Flavor


class Connections:
    """Gives connections, at most ``most``, and takes them back; those that commit every statement apart from others.

    One that is not given back, for whatever reason, is not used again.
    """

    def __init__(self, flavor: Flavor, resource: str, most: int) -> None:
        self.flavor = flavor
        self.resource = resource
        self._most = most
        self._engine = flavor.make_engine()
        self._autocommitting = self._engine.execution_options(isolation_level="AUTOCOMMIT")
        self._pool: Pool[bool, Connection] = Pool(resource, most, self._connect, _close)
        self.binder = flavor.binder(self._engine.dialect)

    def take(self, *, autocommit: bool) -> Connection:
        """Return a connection that works, as far as can be told; connects where there is none. Waits where all are in
        use. Raises :class:`CallError`, and the driver's errors.
        """
        self._require_room()
        while True:
            connection, idle = self._pool.take(autocommit, self.flavor.deadline.seconds)
            if not idle or self._is_alive(connection, idle):
                return connection
            self._pool.drop(connection)

    def give_back(self, connection: Connection, *, autocommit: bool) -> None:
        """Keep a connection for the next one; nothing is under way on it."""
        self._pool.give_back(autocommit, connection)

    def drop(self, connection: Connection) -> None:
        """Close a connection, whatever state it is in. Does not fail."""
        self._pool.drop(connection)

    def close(self) -> None:
        """Close all connections, also those of transactions and iterators that are open. No call is under way."""
        for connection in self._pool.close():
            self._pool.drop(connection)

    def _connect(self, autocommit: bool) -> Connection:
        return (self._autocommitting if autocommit else self._engine).connect()

    def _is_alive(self, connection: Connection, idle: float) -> bool:
        try:
            return self.flavor.is_alive(connection, idle)
        except (SQLAlchemyError, self._engine.dialect.loaded_dbapi.Error, OSError, ValueError):
            return False

    def _require_room(self) -> None:
        """Raise :class:`CallError` where a script waits for what it holds itself."""
        if self._pool.taken_here() >= self._most:
            raise CallError(
                "SqlError",
                f"{self.resource}: expected at most {self._most} transactions and iterators open at once, "
                "got one more; read iterators to their end, or close() them",
            )


def _close(connection: Connection) -> None:
    for leave in (connection.invalidate, connection.close):  # the first one spares it a rollback, which may block
        with suppress(Exception):  # it may be broken in any way
            leave()
