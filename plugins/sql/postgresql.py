"""PostgreSQL through psycopg."""

from __future__ import annotations

import math
from collections.abc import Generator, Mapping
from typing import Any, TypeVar

import psycopg
from psycopg.types.string import TextLoader
from sqlalchemy import Connection, Dialect, Engine, event

from trimtab.plugins.sql.deadline import Deadline
from trimtab.plugins.sql.flavors import Flavor, driver_connection, is_quiet
from trimtab.plugins.sql.placeholders import POSTGRESQL
from trimtab.plugins.sql.statements import Binder
from trimtab.plugins.sql.trouble import Trouble, connection_lost, of_state, timed_out

Result = TypeVar("Result")

LONGEST_WAIT = 0.005
"""Seconds between looks at the clock while the server is silent. A signal makes the driver wait anew, so it must be
shorter than the ticks of the time limit."""


class PostgresFlavor(Flavor):
    """Statements end in the server at the deadline; here too, where the server does not even say so."""

    def make_engine(self) -> Engine:
        """See :class:`Flavor`."""
        engine = super().make_engine()
        limited = limited_connection(self.deadline)
        connect = lambda _dialect, _record, arguments, options: limited.connect(*arguments, **options)  # noqa: E731
        event.listen(engine, "do_connect", connect)
        event.listen(engine, "connect", self._prepare)
        return engine

    def connect_arguments(self) -> Mapping[str, Any]:
        """See :class:`Flavor`."""
        return {
            "connect_timeout": math.ceil(self.deadline.seconds),
            "fallback_application_name": "trimtab",
            # A statement that the server has prepared fails for good once somebody adds a column to its table.
            "prepare_threshold": None,
        }

    def binder(self, dialect: Dialect) -> Binder:
        """See :class:`Flavor`."""
        return Binder(POSTGRESQL, dialect.paramstyle, self.adapt)

    def is_alive(self, connection: Connection, idle: float) -> bool:  # noqa: ARG002 - costs nothing, so always
        """See :class:`Flavor`."""
        return is_quiet(driver_connection(connection).fileno())

    def trouble(self, error: BaseException) -> Trouble:
        """See :class:`Flavor`."""
        if isinstance(error, DeadlinePassed | psycopg.errors.ConnectionTimeout):
            return timed_out(self.deadline.seconds)
        if not isinstance(error, psycopg.Error):
            return super().trouble(error)
        message = error.diag.message_primary or str(error)
        if error.sqlstate is None and isinstance(error, psycopg.OperationalError):
            return _not_connected(message)
        return of_state(error.sqlstate, message)

    def _prepare(self, connection: psycopg.Connection[Any], _record: object) -> None:
        # Not as a start parameter: poolers refuse those. Not noticed by a server that hangs: see limited_connection.
        milliseconds = max(1, round(self.deadline.seconds * 1000))
        connection.execute(f"set statement_timeout = {milliseconds}")
        connection.commit()
        connection.adapters.register_loader("interval", TextLoader)  # a timedelta knows no months


class DeadlinePassed(psycopg.OperationalError):
    """The server has not answered in time."""


def limited_connection(deadline: Deadline) -> type[psycopg.Connection[Any]]:
    """Make a class of connections that wait for the server until the deadline and no longer."""

    class LimitedConnection(psycopg.Connection[Any]):
        def wait(
            self, gen: Generator[Any, Any, Result], interval: float = LONGEST_WAIT, timeout: float | None = None
        ) -> Result:
            return super().wait(_until(deadline, gen), min(interval, LONGEST_WAIT), timeout)

    return LimitedConnection


def _until(deadline: Deadline, steps: Generator[Any, Any, Result]) -> Generator[Any, Any, Result]:
    """Pass on what the driver waits for, step by step; it is resumed at least every interval."""
    try:
        wanted = next(steps)
        while True:
            ready = yield wanted
            wanted = steps.send(ready)
            if not ready and deadline.has_passed():
                raise DeadlinePassed
    except StopIteration as end:
        result: Result = end.value
        return result


def _not_connected(message: str) -> Trouble:
    # Before there is a connection, libpq has no code for errors, only the server's words.
    if "authentication failed" in message or "no password supplied" in message or "pg_hba.conf" in message:
        return Trouble("AuthenticationError", message)
    if "FATAL:" in message and "does not exist" in message:
        return Trouble("SqlError", message)
    return connection_lost(message)
