"""The sink ``sql``: values become rows, each batch whole or not at all."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.sql.test_sql_types import opened
from trimtab.api import SinkContext, SinkError
from trimtab.plugins.sql.options import SqlSinkOptions
from trimtab.plugins.sql.resource import SqlResource
from trimtab.plugins.sql.sink import create_sink

TABLE = "create table items (id integer primary key, name varchar(60), data varchar(60))"


@pytest.fixture(params=["sqlite", "postgresql", "mariadb"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def database(options: dict[str, Any], tmp_path: Path) -> Iterator[SqlResource]:
    """A database with the table ``items``."""
    with opened(options, tmp_path) as resource:
        resource.run(lambda session: session.execute(TABLE))
        yield resource


def write(folder: Path, options: dict[str, Any], *batches: bytes) -> None:
    """Write batches, and close."""

    async def run() -> None:
        sink = create_sink(SqlSinkOptions(**options), SinkContext("s", folder))
        await sink.open()
        try:
            for lines in batches:
                await sink.write(lines, lines.count(b"\n"))
        finally:
            await sink.close()

    asyncio.run(run())


def rows(database: SqlResource) -> list[list[Any]]:
    found = database.run(lambda session: session.query("select id, name, data from items order by id"))
    return [list(row.values()) for row in found]


def test_objects_become_rows(database: SqlResource, options: dict[str, Any], tmp_path: Path) -> None:
    lines = b'{"id":1,"name":"a%?:x"}\n{"id":2,"name":null}\n{"data":{"a":[1]},"id":3}\n{"id":4,"data":[1,2]}\n'
    write(tmp_path, {**options, "table": "items"}, lines, b'{"id":5}\n')
    assert rows(database) == [
        [1, "a%?:x", None],
        [2, None, None],
        [3, None, '{"a":[1]}'],
        [4, None, "[1,2]"],
        [5, None, None],
    ]


def test_a_statement_takes_what_it_names(database: SqlResource, options: dict[str, Any], tmp_path: Path) -> None:
    statement = "insert into items (id, name) values (:id, :name)"
    write(tmp_path, {**options, "statement": statement}, b'{"id":1,"name":"a","more":1}\n{"id":2}\n')
    assert rows(database) == [[1, "a", None], [2, None, None]]


@pytest.mark.parametrize(
    "lines",
    [
        b'{"id":1}\n{"id":1}\n',
        b'{"id":1}\n{"id":2,"missing":1}\n',
        b'{"id":1}\n{"id":2,"na\\"); drop table items; --":1}\n',
        b'{"id":1}\n7\n',
        b'{"id":1}\n{}\n',
    ],
)
def test_a_batch_with_a_bad_value_is_refused_whole(
    database: SqlResource, options: dict[str, Any], tmp_path: Path, lines: bytes
) -> None:
    with pytest.raises(SinkError) as refusal:
        write(tmp_path, {**options, "table": "items"}, lines)
    assert refusal.value.retryable is False
    assert rows(database) == []


def test_a_server_that_is_away_may_be_tried_again(tmp_path: Path) -> None:
    with pytest.raises(SinkError) as refusal:
        write(tmp_path, {"url": "postgresql://u:secret@127.0.0.1:1/x", "table": "items"}, b'{"id":1}\n')
    assert refusal.value.retryable is True
    assert "secret" not in str(refusal.value)


@pytest.mark.parametrize(
    "options",
    [
        {"url": "sqlite:///a.db"},
        {"url": "sqlite:///a.db", "table": "a", "statement": "b"},
        {"url": "nonsense", "table": "a"},
    ],
)
def test_options_that_cannot_be_meant_are_refused(options: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(SinkError, match=r"sinks\.s: expected") as refusal:
        create_sink(SqlSinkOptions(**options), SinkContext("s", tmp_path))
    assert refusal.value.retryable is False
