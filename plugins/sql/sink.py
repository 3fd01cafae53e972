"""The sink ``sql``: emitted values become rows."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import msgspec

from trimtab.api import CallError, Sink, SinkContext, SinkError
from trimtab.plugins.sql.options import SqlSinkOptions
from trimtab.plugins.sql.resource import SqlResource, open_database
from trimtab.plugins.sql.session import Session

Value = dict[str, Any]

_decode = msgspec.json.Decoder(Value).decode


def create_sink(options: SqlSinkOptions, context: SinkContext) -> Sink:
    """Make the sink; connects to nothing. Raises :class:`SinkError` for options that cannot be meant."""
    if (options.table is None) == (options.statement is None):
        raise SinkError(f"sinks.{context.name}: expected table or statement, got both or none", retryable=False)
    return SqlSink(options, context.name, _open(options, context.name, context.folder))


class SqlSink(Sink):
    """Writes each batch in one transaction, in a thread: all values or none."""

    def __init__(self, options: SqlSinkOptions, name: str, database: SqlResource) -> None:
        self._options = options
        self._name = name
        self._database = database
        self._lock = threading.Lock()  # a write that was cancelled still ends in its thread: close waits for it

    async def write(self, lines: bytes, count: int) -> None:  # noqa: ARG002 - the lines tell
        """Write the values. Raises :class:`SinkError`: then none of them is in the database."""
        try:
            values = [_decode(line) for line in lines.splitlines()]
            await asyncio.to_thread(self._write, values)
        except CallError as error:
            raise SinkError(str(error), retryable=error.retryable) from None
        except (msgspec.ValidationError, TypeError, ValueError) as error:
            raise SinkError(f"sinks.{self._name}: {error}", retryable=False) from None

    async def close(self) -> None:
        """Close the connection."""
        await asyncio.to_thread(self._close)

    def _write(self, values: Sequence[Value]) -> None:
        with self._lock:
            self._database.atomically(lambda session: self._run(session, values))

    def _run(self, session: Session, values: Sequence[Value]) -> None:
        if self._options.statement is not None:
            names = session.names(self._options.statement)
            session.execute_many(
                self._options.statement, [{name: _flat(value.get(name)) for name in names} for value in values]
            )
            return
        for columns, rows in _tables(values):
            statement = session.insert_statement(self._options.table or "", columns)
            session.execute_many(statement, rows)

    def _close(self) -> None:
        with self._lock:
            self._database.close()


def _open(options: SqlSinkOptions, name: str, folder: Path) -> SqlResource:
    try:
        return open_database(options, f"sinks.{name}", folder)
    except CallError as error:
        raise SinkError(str(error), retryable=False) from None


def _tables(values: Sequence[Value]) -> Iterator[tuple[tuple[str, ...], list[list[Any]]]]:
    """Yield runs of values with the same keys, as rows."""
    for columns, group in groupby(values, key=tuple):
        yield columns, [[_flat(inner) for inner in value.values()] for value in group]


def _flat(value: Any) -> Any:
    """Return a list as JSON text, as objects are."""
    return msgspec.json.encode(value).decode() if isinstance(value, list | Mapping) else value
