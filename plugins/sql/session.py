"""One connection at work: runs statements, and says what came of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from threading import Lock
from typing import Any

from sqlalchemy import CursorResult, NestedTransaction
from sqlalchemy.exc import DBAPIError

from trimtab.api import CallError
from trimtab.plugins.sql.connections import Connections
from trimtab.plugins.sql.statements import Bound, Params
from trimtab.plugins.sql.trouble import Trouble
from trimtab.plugins.sql.values import Row, from_driver, rows_of, unique

Result = CursorResult[Any]


class Session:
    """Has a connection from when it is made until :meth:`close`. Everything raises :class:`CallError`.

    A connection on which something was broken off, by an error or by the time limit, is dropped: what it would
    answer next belongs to nobody.
    """

    def __init__(self, connections: Connections, *, autocommit: bool) -> None:
        self._connections = connections
        self._autocommit = autocommit
        self._broken = True
        with self._guarded(None):
            self._connection = connections.take(autocommit=autocommit)

    def close(self) -> None:
        """Let go of the connection. Only once, as the last call."""
        if self._broken:
            self._connections.drop(self._connection)
        else:
            self._connections.give_back(self._connection, autocommit=self._autocommit)

    def abandon(self) -> None:
        """Let go of the connection, whatever is under way on it."""
        self._connections.drop(self._connection)

    # --- statements ---

    def query(self, sql: str, params: Params = None) -> list[Row]:
        """Return all rows; none for a statement that has none."""
        return self.table(sql, params)[1]

    def table(self, sql: str, params: Params = None) -> tuple[list[str], list[Row]]:
        """Return the names of the columns, and all rows; none for a statement that has none."""
        with self.running(sql, params) as result:
            if not result.returns_rows:
                return [], []
            names = unique(result.keys())
            return names, rows_of(names, result.fetchall())

    def query_one(self, sql: str, params: Params = None) -> Row | None:
        """Return the first row, if there is one."""
        with self.running(sql, params) as result:
            rows = rows_of(unique(result.keys()), result.fetchmany(1)) if result.returns_rows else []
            return rows[0] if rows else None

    def execute(self, sql: str, params: Params = None) -> int:
        """Return the number of affected rows, or of those that the statement returned."""
        with self.running(sql, params) as result:
            return len(result.fetchall()) if result.returns_rows else _count(result)

    def insert(self, sql: str, params: Params = None) -> dict[str, Any]:
        """Return the number of new rows, and the key that the database made."""
        with self.running(sql, params) as result:
            if result.returns_rows:
                rows = result.fetchall()
                return {"rows": len(rows), "key": from_driver(rows[0][0]) if rows else None}
            key = result.lastrowid if self._connections.flavor.knows_last_key else None
            return {"rows": _count(result), "key": key or None}

    def execute_many(self, sql: str, sets: Iterable[Params]) -> int:
        """Run a statement with each set of values. Returns the number of affected rows."""
        statement, values = self._connections.binder.bind_many(sql, sets)
        if not values:
            return 0
        with self._guarded(sql):
            return _count(self._connection.exec_driver_sql(statement, values))

    def insert_statement(self, table: str, columns: Sequence[str]) -> str:
        """Return the statement that inserts one row; names are quoted, whatever they hold."""
        if not columns:
            raise ValueError(f"expected an object with keys, the columns of {table}, got an empty one")
        names = ", ".join(map(self.quoted, columns))
        return f"insert into {self.quoted_table(table)} ({names}) values ({', '.join('?' * len(columns))})"  # noqa: S608

    def quoted(self, name: str) -> str:
        """Return a name as statements take it, whatever it holds."""
        quoted: str = self._connection.dialect.identifier_preparer.quote_identifier(name)
        return quoted

    def quoted_table(self, table: str) -> str:
        """Return the name of a table, with that of its schema where it has one, as statements take it."""
        return ".".join(map(self.quoted, table.split(".")))

    def names(self, sql: str) -> frozenset[str]:
        """Return the names of the values that a statement takes."""
        return self._connections.binder.names(sql)

    def stream(self, sql: str, params: Params, page: int) -> Stream:
        """Return the rows, to be read page by page."""
        bound = self._connections.binder.bind(sql, params)
        options = {"stream_results": True, "max_row_buffer": page}
        with self._guarded(sql):
            result = self._connection.exec_driver_sql(bound.sql, bound.values, execution_options=options)
            return Stream(self, sql, result, page)

    def fetch(self, result: Result, page: int, sql: str) -> Sequence[Sequence[Any]]:
        """Return the next rows of a stream."""
        with self._guarded(sql):
            return result.fetchmany(page)

    # --- transactions ---

    def begin(self) -> None:
        """Begin a transaction."""
        with self._guarded(None):
            self._connections.flavor.begin(self._connection)

    def commit(self) -> None:
        """Commit the transaction."""
        with self._guarded(None):
            self._connection.commit()

    def rollback(self) -> None:
        """Roll the transaction back; on a broken connection the server does so itself."""
        if not self._broken:
            with self._guarded(None):
                self._connection.rollback()

    def commit_and_close(self) -> None:
        """Commit, and let go of the connection. Raises :class:`CallError`; then nothing was committed."""
        try:
            self.commit()
        except BaseException:
            self.abandon()
            raise
        self.close()

    def rollback_and_close(self) -> None:
        """Roll back, and let go of the connection. Does not fail: what cannot be rolled back, a lost connection is."""
        try:
            self.rollback()
        except CallError:
            self._broken = True
        finally:
            self.close()

    def savepoint(self) -> NestedTransaction:
        """Begin a transaction inside the transaction."""
        with self._guarded(None):
            return self._connection.begin_nested()

    def end_savepoint(self, savepoint: NestedTransaction | None, *, keep: bool) -> None:
        """Commit or roll back a transaction inside the transaction."""
        if savepoint is not None and not self._broken:
            with self._guarded(None):
                savepoint.commit() if keep else savepoint.rollback()

    # --- errors ---

    @contextmanager
    def running(self, sql: str, params: Params) -> Iterator[Result]:
        bound = self._connections.binder.bind(sql, params)
        with self._guarded(sql):
            yield self._execute(bound)

    def _execute(self, bound: Bound) -> Result:
        result: Result = self._connection.exec_driver_sql(bound.sql, bound.values)
        return result

    @contextmanager
    def _guarded(self, sql: str | None) -> Iterator[None]:
        """Inside the block, something is asked of the driver, within the time of one call."""
        flavor = self._connections.flavor
        flavor.deadline.start()
        self._broken = True  # until the end is reached: the time limit may strike anywhere
        try:
            yield
        except CallError:
            self._broken = False
            raise
        except Exception as error:  # noqa: BLE001 - drivers raise all kinds, and none gets past
            trouble = self._trouble(error)
            self._broken = trouble.lost
            raise trouble.call_error(self._connections.resource, sql, flavor.url.password) from None
        self._broken = False

    def _trouble(self, error: Exception) -> Trouble:
        trouble = self._connections.flavor.trouble(_origin(error))
        if isinstance(error, DBAPIError) and error.connection_invalidated:
            return replace(trouble, lost=True)
        return trouble


class Stream:
    """Rows of a statement, page by page, on a connection of their own.

    May be closed while another thread reads a page, which nobody waits for any more: the connection is let go of when
    that is there.
    """

    def __init__(self, session: Session, sql: str, result: Result, page: int) -> None:
        self._session: Session | None = session
        self._closed = False
        self._reading = Lock()
        self._sql, self._result, self._page = sql, result, page
        self._names = unique(result.keys()) if result.returns_rows else []

    def next_page(self) -> list[Row]:
        """Return the next rows; empty at the end, and from then on. Raises :class:`CallError`."""
        rows: Sequence[Sequence[Any]] = []
        try:
            with self._reading:
                if self._session is not None and self._names:
                    rows = self._session.fetch(self._result, self._page, self._sql)
        finally:
            if self._closed or not rows:
                self.close()
        return rows_of(self._names, rows)

    def close(self) -> None:
        """Let go of the connection. More than once is fine."""
        self._closed = True
        if not self._reading.acquire(blocking=False):
            return
        try:
            session, self._session = self._session, None
            if session is not None:
                session.abandon()
        finally:
            self._reading.release()


def _count(result: Result) -> int:
    """Return the affected rows as a plain number; drivers say -1 where none can be, and Java has numbers of its own."""
    return max(0, int(result.rowcount))


def _origin(error: Exception) -> BaseException:
    return error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
