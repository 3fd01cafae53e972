"""Iterators read any number of rows in bounded memory, and let go of their connection."""

from __future__ import annotations

import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from tests.servers.sql_servers import PostgresServer
from tests.sql.conftest import Ask
from tests.sql.test_sql_types import opened
from trimtab.sandbox import memory

ROWS = 200_000
MANY = {
    "sqlite": "with recursive n(i) as (select 1 union all select i + 1 from n where i < {}) select i, hex(zeroblob(100)) as t from n",
    "postgresql": "select i, repeat('x', 200) as t from generate_series(1, {}) as i",
    "mariadb": "select seq as i, repeat('x', 200) as t from seq_1_to_{}",
    "java": "select i, repeat('x', 200) as t from generate_series(1, {}) as i",
}
MOST = 24 << 20
"""Bytes; the rows are 40 MB in the database and several times as much in Python."""


def test_many_rows_are_read_in_little_memory(options: dict[str, Any], kind: str, tmp_path: Path) -> None:
    with opened({**options, "timeout": "60s"}, tmp_path) as resource:
        count = 0
        stream = resource.stream(MANY[kind].format(ROWS if kind != "java" else ROWS // 10), None, 500)
        before = memory.used()
        while page := stream.next_page():
            count += len(page)
            assert len(page) <= 500
        assert count == (ROWS if kind != "java" else ROWS // 10)
        assert memory.used() - before < MOST


def test_only_a_page_is_held_in_python(postgres: PostgresServer, tmp_path: Path) -> None:
    with opened({"url": postgres.url, "timeout": "60s"}, tmp_path) as resource:
        stream = resource.stream(MANY["postgresql"].format(20_000), None, 100)
        tracemalloc.start()
        try:
            while stream.next_page():
                pass
            assert tracemalloc.get_traced_memory()[1] < 1 << 20
        finally:
            tracemalloc.stop()


def test_other_statements_go_on_while_rows_are_read(ask: Ask, options: dict[str, Any], kind: str) -> None:
    asker = ask(options)
    code = 'rows = [db.queryOne("select ? as n", [row["i"]])["n"] for row in db.iterate(event, page=2)]\n    emit("out", rows)'
    (rows,) = asker.run(code, MANY[kind].format(5)).emitted
    assert [int(number) for number in rows] == [1, 2, 3, 4, 5]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # the driver's, of open iterators
def test_an_iterator_that_is_left_lets_go(ask: Ask, options: dict[str, Any], kind: str) -> None:
    asker = ask(options)
    code = 'for _ in range(12):\n        for row in db.iterate(event, page=2):\n            break\n    emit("out", row["i"])'
    handled = asker.run(code, MANY[kind].format(5000))
    assert (handled.emitted, handled.faults) == ([1], [])


def test_a_page_has_at_least_one_row(ask: Ask) -> None:
    fault = ask({"url": "sqlite:///app.db"}).fault('db.iterate("select 1", page=0)')
    assert (fault.name, "expected page as a number of rows" in fault.message) == ("ValueError", True)
