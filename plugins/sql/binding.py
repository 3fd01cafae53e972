"""The binding ``sql``: what scripts call."""

from __future__ import annotations

import inspect
from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from trimtab.api import Caller, Pages, ResourceBinding, Scope, ScriptHost, ScriptObject

if TYPE_CHECKING:  # they import SQLAlchemy, which only processes that call a database need
    from sqlalchemy import NestedTransaction

    from trimtab.plugins.sql.resource import SqlResource
    from trimtab.plugins.sql.session import Session, Stream
    from trimtab.plugins.sql.statements import Params

Result = TypeVar("Result")

PAGE = 500
"""Rows that an iterator reads at once."""
_STATEMENTS = frozenset({"query", "query_one", "execute", "execute_many", "insert"})


class Statements(ScriptObject):
    """What runs statements: a database, or a transaction."""

    @abstractmethod
    def _run(
        self, method: str, arguments: tuple[Any, ...], work: Callable[[Session], Result], rehearsed: Result
    ) -> Result:
        """Call ``work`` with a connection."""

    def query(self, sql: str, params: Params = None) -> list[dict[str, Any]]:
        """Return all rows, as objects."""
        return self._run("query", _given(sql, params), lambda session: session.query(sql, params), [])

    def query_one(self, sql: str, params: Params = None) -> dict[str, Any] | None:
        """Return the first row, or nothing."""
        return self._run("queryOne", _given(sql, params), lambda session: session.query_one(sql, params), None)

    def execute(self, sql: str, params: Params = None) -> int:
        """Return the number of affected rows."""
        return self._run("execute", _given(sql, params), lambda session: session.execute(sql, params), 0)

    def execute_many(self, sql: str, sets: Sequence[Params]) -> int:
        """Run a statement with each set of values, all or none. Returns the number of affected rows."""
        if not isinstance(sets, list | tuple):
            raise TypeError(f"expected a list of values for executeMany, one for each run, got {type(sets).__name__}")
        return self._run("executeMany", (sql, sets), lambda session: session.execute_many(sql, sets), 0)

    def insert(self, sql: str, params: Params = None) -> dict[str, Any]:
        """Return the number of new rows and the key that the database made: ``{rows, key}``."""
        nothing: dict[str, Any] = {"rows": 0, "key": None}
        return self._run("insert", _given(sql, params), lambda session: session.insert(sql, params), nothing)


class Database(Statements):
    """``sql("orders")``: every statement is committed at once."""

    methods = _STATEMENTS | {"iterate"}
    outside = methods
    scopes = {"transaction": "_begin"}  # noqa: RUF012 - as declared

    # Its own, because they can be awaited; those of a transaction cannot.
    query, query_one, insert = Statements.query, Statements.query_one, Statements.insert
    execute, execute_many = Statements.execute, Statements.execute_many

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    def _run(
        self, method: str, arguments: tuple[Any, ...], work: Callable[[Session], Result], rehearsed: Result
    ) -> Result:
        def run(resource: SqlResource) -> Result:
            return resource.atomically(work) if method == "executeMany" else resource.run(work)

        return self._caller.call(method, arguments, run, rehearsed)

    def iterate(self, sql: str, params: Params = None, *, page: int = PAGE) -> Rows:
        """Return the rows to be read one by one; only ``page`` of them are in memory."""
        if not isinstance(page, int) or page < 1:
            raise ValueError(f"expected page as a number of rows, at least 1, got {page!r}")

        def start(resource: SqlResource) -> Stream | None:
            return resource.stream(sql, params, page)

        return Rows(self._caller, self._caller.call("iterate", _given(sql, params), start, None))

    def _begin(self) -> Transaction:
        """Begin a transaction. Not for scripts: what they begin, they could leave open."""

        def begin(resource: SqlResource) -> Session | None:
            return resource.begin()

        return Transaction(self._caller, self._caller.call("begin", (), begin, None))

    def transaction(self, function: Callable[[Transaction], Any]) -> Any:
        """Call ``function`` with a transaction, and return what it returns. Rolled back when it raises."""
        return _inside(self._begin(), function)


class Transaction(Statements, Scope):
    """What the function of a transaction gets: all or nothing of what it runs comes to be."""

    methods = _STATEMENTS
    scopes = {"transaction": "_begin"}  # noqa: RUF012 - as declared

    def __init__(self, caller: Caller, session: Session | None) -> None:
        self._caller = caller
        self._session = session

    def _run(
        self, method: str, arguments: tuple[Any, ...], work: Callable[[Session], Result], rehearsed: Result
    ) -> Result:
        return self._caller.call(method, arguments, lambda _: work(self._there()), rehearsed)

    def commit(self) -> None:
        """See :class:`Scope`."""
        session, self._session = self._session, None

        def commit(_resource: object) -> None:
            _needed(session).commit_and_close()

        self._caller.call("commit", (), commit, None)

    def rollback(self) -> None:
        """See :class:`Scope`."""
        session, self._session = self._session, None
        if session is not None:
            session.rollback_and_close()

    def _begin(self) -> Savepoint:
        """Begin a transaction inside this one. Not for scripts, as above."""

        def begin(_resource: object) -> NestedTransaction | None:
            return self._there().savepoint()

        return Savepoint(self._caller, self._session, self._caller.call("savepoint", (), begin, None))

    def transaction(self, function: Callable[[Transaction], Any]) -> Any:
        """Call ``function`` with a transaction inside this one: when it raises, only that one is rolled back."""
        return _inside(self._begin(), function)

    def _there(self) -> Session:
        return _needed(self._session)


class Savepoint(Transaction):
    """A transaction inside a transaction."""

    def __init__(self, caller: Caller, session: Session | None, savepoint: NestedTransaction | None) -> None:
        super().__init__(caller, session)
        self._savepoint = savepoint

    def commit(self) -> None:
        """See :class:`Scope`."""
        session, self._session = self._session, None
        self._caller.call("commit", (), lambda _: _needed(session).end_savepoint(self._savepoint, keep=True), None)

    def rollback(self) -> None:
        """See :class:`Scope`."""
        session, self._session = self._session, None
        if session is not None:
            session.end_savepoint(self._savepoint, keep=False)


class Rows(Pages):
    """The rows of a statement, read page by page."""

    def __init__(self, caller: Caller, stream: Stream | None) -> None:
        self._caller = caller
        self._stream = stream

    def next_page(self) -> Sequence[dict[str, Any]]:
        """See :class:`Pages`."""
        stream = self._stream
        if stream is None:
            return []
        return self._caller.call("next", (), lambda _: stream.next_page(), [])

    def close(self) -> None:
        """See :class:`Pages`."""
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.close()


class SqlBinding(ResourceBinding):
    """Gives scripts ``sql(name)``."""

    name = "sql"

    def connect(self, caller: Caller, host: ScriptHost) -> Database:  # noqa: ARG002 - databases need nothing of it
        """See :class:`ResourceBinding`."""
        return Database(caller)


def _inside(scope: Transaction, function: Callable[[Transaction], Any]) -> Any:
    try:
        result = function(scope)
        if inspect.iscoroutine(result):
            result.close()
            raise TypeError("expected a plain function for transaction(), got an async one; take its async away")
    except BaseException:
        scope.rollback()
        raise
    scope.commit()
    return result


def _needed(session: Session | None) -> Session:
    if session is None:
        raise ValueError("expected a transaction that is open, got one that has ended; use it inside its function only")
    return session


def _given(sql: str, params: Params) -> tuple[Any, ...]:
    return (sql,) if params is None else (sql, params)
