"""MySQL and MariaDB through PyMySQL."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pymysql
from sqlalchemy import Connection, Engine, event

from trimtab.plugins.sql.flavors import Flavor, driver_connection, is_quiet
from trimtab.plugins.sql.trouble import Trouble, connection_lost, timed_out

GRACE = 0.25
"""Seconds that the server has to say that a statement took too long before the connection is given up."""

_NOT_LET_IN = frozenset({1044, 1045, 1698})
_TOOK_TOO_LONG = frozenset({1969, 3024})
_RETRYABLE = frozenset({1040, 1203, 1205, 1213, 1226})
"""Too many connections (three), lock wait timeout, deadlock."""
_LOST = frozenset({0, 1053, 1077, 1079, 1927, 2002, 2003, 2006, 2013, 2014, 2055})


class MySqlFlavor(Flavor):
    """Statements end in the server at the deadline; the socket's own comes a little later."""

    knows_last_key = True

    def make_engine(self) -> Engine:
        """See :class:`Flavor`."""
        engine = super().make_engine()
        event.listen(engine, "connect", self._prepare)
        return engine

    def connect_arguments(self) -> Mapping[str, Any]:
        """See :class:`Flavor`."""
        seconds = self.deadline.seconds
        return {
            "connect_timeout": seconds,
            "read_timeout": seconds + GRACE,
            "write_timeout": seconds + GRACE,
            "program_name": "trimtab",
        }

    def adapt(self, value: Any) -> Any:
        """See :class:`Flavor`. The database knows no time zones; the driver would leave them out."""
        if isinstance(value, datetime) and value.tzinfo is not None:
            return value.astimezone(UTC).replace(tzinfo=None)
        return value

    def is_alive(self, connection: Connection, idle: float) -> bool:  # noqa: ARG002 - costs nothing, so always
        """See :class:`Flavor`."""
        sock = driver_connection(connection)._sock  # noqa: SLF001 - it has no other name
        return sock is not None and is_quiet(sock.fileno())

    def trouble(self, error: BaseException) -> Trouble:
        """See :class:`Flavor`."""
        if not isinstance(error, pymysql.MySQLError) or not error.args or not isinstance(error.args[0], int):
            return super().trouble(error)
        code, message = error.args[0], str(error.args[1] if len(error.args) > 1 else "")
        if code in {2003, 2013} and "timed out" in message:
            return timed_out(self.deadline.seconds)
        if code in _LOST:
            return connection_lost(message, code)
        if code in _NOT_LET_IN:
            return Trouble("AuthenticationError", message, code)
        if code in _TOOK_TOO_LONG:
            return Trouble("TimeoutError", message, code, retryable=True)
        return Trouble("SqlError", message, code, retryable=code in _RETRYABLE)

    def _prepare(self, connection: Any, _record: object) -> None:
        seconds = self.deadline.seconds
        is_mariadb = "MariaDB" in connection.get_server_info()
        limit = f"max_statement_time = {seconds}" if is_mariadb else f"max_execution_time = {round(seconds * 1000)}"
        with connection.cursor() as cursor:
            cursor.execute(f"set session {limit}, innodb_lock_wait_timeout = {max(1, int(seconds))}")
