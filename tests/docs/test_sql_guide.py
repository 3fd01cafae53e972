"""The guide to the binding ``sql``: its examples are run, in both languages, against real databases."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.documents import GUIDES, Example, blocks, examples, sections
from tests.servers.sql_servers import MariaDbServer, PostgresServer
from trimtab.bindings.sql import Database, Transaction
from trimtab.engine.objects import camel_case
from trimtab.plugins.sql.binding import Database as BoundDatabase
from trimtab.plugins.sql.binding import Transaction as BoundTransaction
from trimtab.testing.scripts import ScriptRunner

PAGE = GUIDES / "bindings" / "sql.md"
EVENT = {"vehicle": "v1", "speed": 120}


@pytest.fixture(scope="module")
def urls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[str]]:
    """Addresses of one database of each kind."""
    postgres, mariadb = PostgresServer(), MariaDbServer()
    try:
        postgres.start()
        mariadb.start()
        yield [f"sqlite:///{tmp_path_factory.mktemp('sql') / 'orders.db'}", postgres.url, mariadb.url]
    finally:
        postgres.remove()
        mariadb.remove()


@pytest.mark.parametrize("example", list(examples(PAGE)), ids=lambda example: example.title)
def test_an_example_emits_what_the_guide_shows(urls: list[str], example: Example) -> None:
    (start,) = (block.text for block in blocks(PAGE) if block.language == "sql")
    setup = "\n".join(f"    db.execute({line!r})" for line in ["drop table if exists alarms", *start.splitlines()])
    wanted = [json.loads(line) for line in example.emitted.splitlines()]
    for url in urls:
        with ScriptRunner({"sql.orders": {"url": url}}) as runner:
            runner.load(setup__py=f'from trimtab import sql\n\ndef handle(event):\n    db = sql("orders")\n{setup}\n')
            assert runner.handle(EVENT).faults == []
        with ScriptRunner({"sql.orders": {"url": url}}) as runner:
            runner.load(**{example.title.replace(".", "__"): example.script})
            handled = runner.handle(EVENT)
        assert (url, handled.faults, handled.emitted) == (url, [], wanted)


def test_every_example_is_there_in_both_languages() -> None:
    titles = {example.title for example in examples(PAGE)}
    assert {Path(title).stem for title in titles if title.endswith(".py")} == {
        Path(title).stem for title in titles if title.endswith(".js")
    }


def named(section: str) -> set[str]:
    """The names in the first column of the tables of a section."""
    rows = re.findall(r"^\| (`.+?) \|", sections(PAGE)[section], re.MULTILINE)
    return {name for row in rows for name in re.findall(r"`(\w+)", row)}


def test_every_method_is_in_the_guide_and_known_to_editors() -> None:
    methods = BoundDatabase.methods | set(BoundDatabase.scopes)
    assert named("SQL") >= {camel_case(name) for name in methods}
    assert {name for name in dir(Database) if not name.startswith("_")} == methods
    inside = BoundTransaction.methods | set(BoundTransaction.scopes)
    assert {name for name in dir(Transaction) if not name.startswith("_")} == inside
