"""What kinds of databases have of their own, and what holds for all others that SQLAlchemy knows."""

from __future__ import annotations

import select
from collections.abc import Mapping
from typing import Any

from sqlalchemy import URL, Connection, Dialect, Engine, NullPool, create_engine

from trimtab.plugins.sql.deadline import Deadline
from trimtab.plugins.sql.placeholders import MYSQL, SQLITE, SQLSERVER, STANDARD
from trimtab.plugins.sql.statements import Binder
from trimtab.plugins.sql.trouble import Trouble, connection_lost, of_state

IDLE_SECONDS = 1.0
"""A connection that was idle for longer is asked for a sign of life where that takes a round trip."""

_SYNTAXES = {"mssql": SQLSERVER, "sqlite": SQLITE, "mysql": MYSQL, "mariadb": MYSQL}


class Flavor:
    """A kind of database behind SQLAlchemy. Subclasses know one better."""

    knows_last_key = False
    """Whether the driver tells the key that the database made for a new row."""

    def __init__(self, url: URL, deadline: Deadline) -> None:
        self.url = url
        self.deadline = deadline

    def make_engine(self) -> Engine:
        """Make the engine, without pool: connections are kept by :class:`Connections`.

        Raises ``ImportError`` for a driver that is not installed.
        """
        return create_engine(self.url, poolclass=NullPool, connect_args=dict(self.connect_arguments()))

    def connect_arguments(self) -> Mapping[str, Any]:
        """What the driver's ``connect`` gets beside what the URL says."""
        return {}

    def binder(self, dialect: Dialect) -> Binder:
        """Return what binds statements."""
        syntax = _SYNTAXES.get(self.url.get_backend_name(), STANDARD)
        return Binder(syntax, dialect.paramstyle, self.adapt)

    def adapt(self, value: Any) -> Any:
        """Return a plain value as the driver takes it."""
        return value

    def begin(self, connection: Connection) -> None:
        """Begin a transaction where the driver does not do so with the first statement."""

    def is_alive(self, connection: Connection, idle: float) -> bool:
        """Whether a connection that was idle for some seconds can be used. May ask it."""
        return idle < IDLE_SECONDS or connection.dialect.do_ping(driver_connection(connection))

    def trouble(self, error: BaseException) -> Trouble:
        """Return what an error of the driver means."""
        state = getattr(error, "sqlstate", None) or next(iter(error.args), None)
        is_state = isinstance(state, str) and len(state) == len("HY000") and state.isalnum()
        if isinstance(error, OSError):
            return connection_lost(str(error))
        return of_state(state if is_state else None, str(error))

    @property
    def probe(self) -> str:
        """A statement that asks for a sign of life."""
        return "select 1 from dual" if self.url.get_backend_name() == "oracle" else "select 1"


def driver_connection(connection: Connection) -> Any:
    """Return the driver's own connection."""
    return connection.connection.dbapi_connection


def is_quiet(descriptor: int) -> bool:
    """Whether nothing has come on the socket of an idle connection; what comes unasked is its end.

    Costs a microsecond, where asking the server costs a round trip.
    """
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return not poll.poll(0)
