"""``SQLConnection``: a database by its JDBC address, with every value as text."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from trimtab.api import CallError
from trimtab.plugins.lofka.own import Connection, Connections
from trimtab.plugins.lofka.reach import SQL
from trimtab.plugins.lofka.texts import rows_as_text
from trimtab.plugins.sql.options import SqlOptions

if TYPE_CHECKING:
    from trimtab.plugins.sql.resource import SqlResource
    from trimtab.plugins.sql.session import Session

Result = TypeVar("Result")
Answer = dict[str, Any]


class SqlConnection(Connection):
    """What a script's ``SQLConnection`` holds. Connects when it is first used; every statement is committed at once."""

    methods = frozenset({"query", "exec", "close"})
    outside = frozenset({"query", "exec"})

    def __init__(self, connections: Connections, setting: Mapping[str, Any], timeout: float) -> None:
        from trimtab.plugins.sql.resource import create_resource

        uri = setting.get("uri")
        if not isinstance(uri, str):
            raise TypeError("SQLConnection: expected uri as text, such as jdbc:mysql://host:3306/database")
        options = SqlOptions(url=uri, user=setting.get("user"), password=setting.get("password"), timeout=timeout)
        if connections.reach.confined:
            _require_one_meaning(uri)
        connections.reach.require(SQL, options)
        name = f"sql.{next(iter(SQL.addresses(options)))}"
        super().__init__(connections, create_resource(options, name, Path()), "sql", name)

    def query(self, sql: str) -> Answer:
        """Return ``{result, sql, columns, cols, rows}``: the rows as objects of texts, and what there is of them."""
        return self._run("query", sql, lambda session: _answer(session, sql), _described(sql, [], []))

    def exec(self, sql: str) -> None:
        """Run a statement; rows that it returns are dropped."""
        self._run("exec", sql, lambda session: session.execute(sql), 0)

    def _run(self, method: str, sql: str, work: Callable[[Session], Result], rehearsed: Result) -> Result:
        def run(resource: SqlResource) -> Result:
            return resource.run(work)

        return self._opened().call(method, (sql,), run, rehearsed)


def _require_one_meaning(uri: str) -> None:
    """Raise :class:`CallError` unless the place of the database stands where JDBC has it.

    In SQLAlchemy's form a parameter of any driver may name another one. A relative path would be one below wherever
    the host was started.
    """
    if uri.startswith("jdbc:") and uri.startswith("jdbc:sqlite:/") == uri.startswith("jdbc:sqlite:"):
        return
    raise CallError(
        "PolicyError",
        "SQLConnection: expected a JDBC address, of a file with its whole path, got another form; "
        "write jdbc:postgresql://host:5432/database or jdbc:sqlite:/path/of/file",
    )


def _answer(session: Session, sql: str) -> Answer:
    with session.running(sql, None) as result:  # texts are read before values are made of them
        if not result.returns_rows:
            raise CallError("SqlError", "query: expected a statement that returns rows, got none; use exec")
        columns = [column[0] for column in result.cursor.description]
        rows = [dict(zip(columns, row, strict=True)) for row in rows_as_text(result.cursor)]
    return _described(sql, columns, rows)


def _described(sql: str, columns: list[str], rows: list[dict[str, str | None]]) -> Answer:
    return {"result": rows, "sql": sql, "columns": columns, "cols": len(columns), "rows": len(rows)}
