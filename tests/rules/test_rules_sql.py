"""Rules in a SQL table: columns, versions and deletions, what is read when, bad rows, and outages."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.discovery.held_places import context
from tests.discovery.held_rules import sql_rules
from tests.rules.rules_kit import Looks, counted, documents, looking, outage_of, reads, rules_of, snapshot_of
from tests.servers.programs import until
from trimtab.api import Discoverer, OutsideError
from trimtab.plugins.rules import create_sql
from trimtab.plugins.rules.options import SqlRulesOptions
from trimtab.plugins.sql.options import SqlOptions

TABLE = "create table rules (id text, version integer, pattern text, function text)"


class Table:
    """A file with a table of rules."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file = folder / "rules.db"

    def run(self, *statements: str) -> None:
        with closing(sqlite3.connect(self.file, isolation_level=None)) as connection:
            for statement in statements:
                connection.execute(statement)

    def insert(self, *rows: tuple[Any, ...]) -> None:
        with closing(sqlite3.connect(self.file)) as connection, connection:
            connection.executemany(f"insert into rules values ({', '.join('?' * len(rows[0]))})", rows)

    def discoverer(self, **options: Any) -> Discoverer:
        given: dict[str, Any] = {"poll": "1h", "timeout": "10s", **options}
        return sql_rules(self.folder, "sqlite:///rules.db", **given)

    def rules(self, **options: Any) -> dict[str, Any]:
        return rules_of(self.discoverer(**options))


@pytest.fixture
def table(tmp_path: Path) -> Table:
    made = Table(tmp_path)
    made.run(TABLE)
    return made


# --- columns ---


def test_a_row_is_a_rule_and_empty_columns_are_not_there(table: Table) -> None:
    table.run("drop table rules", "create table rules (id, version, pattern, function, parameters, libs, binding_keys)")
    table.insert(
        ("a", 3, '{"nodes": [], "edges": []}', "emit:out", '{"limit": 5}', '["_lib.py"]', '["r*"]'),
        ("b", 1, "{}", "", "", None, None),
    )
    assert table.rules() == {
        "a.rule.json": {
            "id": "a",
            "version": 3,
            "pattern": {"nodes": [], "edges": []},
            "function": "emit:out",
            "parameters": {"limit": 5},
            "libs": ["_lib.py"],
            "binding_keys": ["r*"],
        },
        "b.rule.json": {"id": "b", "version": 1, "pattern": {}},
    }


def test_columns_may_have_other_names_and_columns_of_the_user_are_ignored(table: Table) -> None:
    table.run(
        "drop table rules",
        "create table detection (Rule_Id, REVISION, rule_json, target, owner, args, pattern)",
        "insert into detection values (7, 2, '{}', 'emit:out', 'somebody', '{\"a\": 1}', 'not this one')",
    )
    names = {"id": "rule_id", "version": "revision", "pattern": "rule_json", "function": "target", "parameters": "args"}
    assert table.rules(table="detection", columns=names) == {
        "7.rule.json": {"id": "7", "version": 2, "pattern": {}, "function": "emit:out", "parameters": {"a": 1}}
    }


def test_every_field_of_a_rule_has_a_column(table: Table) -> None:
    more = {
        "rule_type": "cep",
        "effective_at": 1000,
        "key": "rack",
        "source": "gps",
        "time": "event",
        "on_change": "drain",
        "timeouts": "emit:late",
        "late": "emit:late",
        "partial_matches": 10,
    }
    table.run(*(f"alter table rules add column {name}" for name in more))
    table.insert(("a", 1, "{}", "emit:out", *more.values()))
    assert table.rules()["a.rule.json"] == {"id": "a", "version": 1, "pattern": {}, "function": "emit:out", **more}


def test_rows_may_come_from_a_query(table: Table) -> None:
    table.insert(("a", 1, "{}", ""), ("b", 1, "{}", ""))
    query = "select id, version, pattern, '' as function from rules where id <> 'a'"
    assert set(table.rules(query=query)) == {"b.rule.json"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"query": "select id, version, pattern from rules"}, "expected a column function, got id, version, pattern"),
        ({"columns": {"pattern": "rule_json"}}, "expected a column rule_json, got id, version, pattern, function"),
        ({"columns": {"libs": "libraries"}}, "expected a column libraries, got id, version, pattern, function"),
        ({"table": "nothing"}, "no such table: nothing"),
        ({"probe": "select nonsense"}, "no such column: nonsense"),
    ],
)
def test_what_lacks_a_column_is_no_table_of_rules_even_without_rows(
    table: Table, options: dict[str, Any], message: str
) -> None:
    said = outage_of(table.discoverer(**options))
    assert said.startswith("discoverers.place: ")
    assert message in said


def test_names_of_tables_and_columns_may_be_words_of_sql(table: Table) -> None:
    table.run(
        'create table "order" ("id", "group", "pattern", "function")', "insert into \"order\" values (1, 2, '', '')"
    )
    found = table.rules(table="order", columns={"version": "group"}, probe='select count("group") from "order"')
    assert found["1.rule.json"]["version"] == 2


# --- versions and deletions ---


def test_the_highest_version_of_an_id_counts_and_a_flag_or_a_missing_row_deletes(table: Table) -> None:
    table.run("alter table rules add column is_deleted")
    table.insert(
        ("a", 9, "{}", "", 0),
        ("a", 10, "{}", "", None),
        ("b", 1, "{}", "", 0),
        ("b", 2, "{}", "", 1),
        ("c", 1, "{}", "", 0),
    )

    async def work(looks: Looks) -> None:
        assert {name: rule["version"] for name, rule in (await looks.rules()).items()} == {
            "a.rule.json": 10,
            "c.rule.json": 1,
        }
        table.run(
            "delete from rules where id = 'c'",
            "delete from rules where version = 10",
            "update rules set is_deleted = 0",
        )
        assert {name: rule["version"] for name, rule in (await looks.rules()).items()} == {
            "a.rule.json": 9,
            "b.rule.json": 2,
        }
        table.run("delete from rules")
        assert await looks.rules() == {}

    looking(table.discoverer(), work)


# --- bad rows ---


def test_a_bad_row_is_handed_on_for_its_reason_to_be_told_and_keeps_no_other_one_back(table: Table) -> None:
    table.run("alter table rules add column is_deleted")
    table.insert(
        ("good", 1, "{}", "", 0),
        ("text", 1, "{nodes", "", 0),
        ("word", "first", "{}", "", 0),
        ("none", None, None, None, None),
        (None, 1, "{}", "", 0),
        ("flag", 1, "{}", "", "perhaps"),
        ("a/b\n", 1, "{}", "", 0),
    )
    found = snapshot_of(table.discoverer())
    assert documents(found) == {
        "good.rule.json": {"id": "good", "version": 1, "pattern": {}},
        "text.rule.json": {"id": "text", "version": 1, "pattern": "{nodes"},
        "word.rule.json": {"id": "word", "version": "first", "pattern": {}},
        "none.rule.json": {"id": "none", "version": "", "pattern": None},
        "a%2Fb%0A.rule.json": {"id": "a/b\n", "version": 1, "pattern": {}},
    }
    assert {name: fault.message for name, fault in found.refused.items()} == {
        "%without id (discoverers.place).rule.json": (
            "expected an id in every row, got 1 without one; the first of them has nothing"
        ),
        "flag.rule.json": "is_deleted: expected true or false, got 'perhaps'",
    }


# --- what is read, and when ---


def test_a_table_that_has_not_changed_is_not_read(table: Table) -> None:
    table.insert(("a", 1, "{}", ""))

    async def work(looks: Looks) -> None:
        with counted() as statements:
            first = await looks.snapshot()
            assert reads(statements) == 1
            for _ in range(10):
                assert (await looks.snapshot()).artifacts is first.artifacts
            assert statements == ["pragma data_version"] * 10
            statements.clear()
            table.run("update rules set pattern = '[]'")
            second = await looks.snapshot()
            assert reads(statements) == 1
            assert documents(second)["a.rule.json"]["pattern"] == []

    looking(table.discoverer(), work)


def test_what_has_not_changed_is_the_same_object_when_it_was_read_again(table: Table) -> None:
    table.insert(("a", 1, "{}", ""), ("b", 1, "{}", ""))

    async def work(looks: Looks) -> None:
        before = (await looks.snapshot()).artifacts
        table.run("update rules set version = 2 where id = 'b'")
        after = (await looks.snapshot()).artifacts
        assert after["a.rule.json"] is before["a.rule.json"]
        assert after["b.rule.json"] != before["b.rule.json"]

    looking(table.discoverer(), work)


def test_a_change_that_the_probe_cannot_see_is_found_when_all_is_read(table: Table) -> None:
    table.insert(("a", 1, "{}", ""))

    async def work(looks: Looks) -> None:
        with counted() as statements:
            await looks.snapshot()
            table.run("update rules set version = 2")
            seen = [(await looks.rules())["a.rule.json"]["version"] for _ in range(4)]
            assert seen == [1, 1, 1, 2]
            assert reads(statements) == 2

    looking(table.discoverer(probe="select count(*) from rules", full_every=4), work)


def test_all_is_read_at_every_look_where_that_is_asked_for(table: Table) -> None:
    async def work(looks: Looks) -> int:
        with counted() as statements:
            for _ in range(5):
                await looks.snapshot()
            return reads(statements)

    assert looking(table.discoverer(full_every=1), work) == 5


# --- outages ---


def test_a_file_that_was_moved_away_is_an_outage_and_none_is_made_in_its_place(table: Table) -> None:
    table.insert(("a", 1, "{}", ""))

    async def work(looks: Looks) -> None:
        before = await looks.snapshot()
        shutil.move(table.file, table.folder / "away.db")
        for _ in range(2):
            assert f"expected a database file at {table.file}, got No such file" in await looks.outage()
        assert not table.file.exists()
        shutil.move(table.folder / "away.db", table.file)
        after = await looks.snapshot()
        assert after.artifacts is before.artifacts

    looking(table.discoverer(), work)


def test_a_file_that_was_replaced_is_read(table: Table) -> None:
    """The connection to the old one would say for ever that nothing has changed."""
    table.insert(("a", 1, "{}", ""))
    other = Table(table.folder)
    other.file = table.folder / "other.db"
    other.run(TABLE)
    other.insert(("b", 1, "{}", ""))

    async def work(looks: Looks) -> None:
        await looks.snapshot()
        other.file.replace(table.file)
        assert set(await looks.rules()) == {"b.rule.json"}

    looking(table.discoverer(), work)


def test_a_database_and_a_table_that_come_to_be_are_found(tmp_path: Path) -> None:
    table = Table(tmp_path)

    async def work(looks: Looks) -> None:
        assert "got No such file" in await looks.outage()
        table.run("create table other (id)")
        assert "no such table: rules" in await looks.outage()
        table.run(TABLE)
        assert await looks.rules() == {}
        table.insert(("a", 1, "{}", ""))
        assert set(await looks.rules()) == {"a.rule.json"}
        table.run("drop table rules")
        assert "no such table: rules" in await looks.outage()

    looking(table.discoverer(), work)


def test_what_is_no_database_is_an_outage(table: Table) -> None:
    table.file.write_text("nonsense" * 1000)
    assert "file is not a database" in outage_of(table.discoverer())


def test_a_look_that_was_given_up_leaves_no_connection_behind(table: Table) -> None:
    table.insert(("a", 1, "{}", ""))

    async def work(looks: Looks) -> None:
        await looks.snapshot()
        assert opened(table.file) == 1
        await looks.end()
        assert set(await looks.rules()) == {"a.rule.json"}
        assert opened(table.file) == 1

    looking(table.discoverer(), work)
    until(lambda: not opened(table.file), "the connection to be closed")


def opened(file: Path) -> int:
    """How often this process has a file open."""
    found = 0
    for descriptor in Path("/proc/self/fd").iterdir():
        with suppress(OSError):  # that of the folder itself
            found += descriptor.readlink() == file
    return found


# --- which database ---


def declared(folder: Path, running: Callable[[str], Any], **options: Any) -> Discoverer:
    given = SqlRulesOptions(resource="racks", **options)
    return create_sql(given, "racks", replace(context(folder), resource=running))


def test_the_database_is_that_of_the_resource_as_it_runs(tmp_path: Path) -> None:
    tables = {name: Table(tmp_path) for name in ("one", "two")}
    for name, table in tables.items():
        table.file = tmp_path / f"{name}.db"
        table.run(TABLE)
        table.insert((name, 1, "{}", ""))
    running = {"sql.racks": SqlOptions(url="sqlite:///one.db")}

    async def work(looks: Looks) -> None:
        assert set(await looks.rules()) == {"one.rule.json"}
        running["sql.racks"] = SqlOptions(url="sqlite:///two.db")
        assert set(await looks.rules()) == {"two.rule.json"}

    looking(declared(tmp_path, running.__getitem__), work)


def test_a_resource_that_is_not_declared_is_told_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(OutsideError, match=r"expected a declared resource, got sql\.racks") as refused:
        create_sql(SqlRulesOptions(resource="racks"), "racks", context(tmp_path))
    assert not refused.value.retryable


def test_only_postgresql_tells_of_changes(tmp_path: Path) -> None:
    with pytest.raises(OutsideError, match="expected channel with PostgreSQL only, got it with sqlite"):
        declared(tmp_path, lambda _name: SqlOptions(url="sqlite:///one.db"), channel="changes")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"table": "detection", "query": "select 1"}, "expected table or query, got both"),
        ({"columns": {"patern": "x"}}, "expected one of id, version, pattern"),
        ({"columns": {"pattern": ""}}, "expected the name of the column that is pattern, got none"),
    ],
)
def test_options_that_cannot_be_meant_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SqlRulesOptions(resource="racks", **options)


def test_the_bytes_are_the_same_as_long_as_the_row_means_the_same(table: Table) -> None:
    table.insert(("a", 1, '{"nodes": [], "edges": []}', ""))

    async def work(looks: Looks) -> None:
        before = await looks.snapshot()
        table.run("update rules set version = '1', function = null, pattern = '{ \"edges\":[],\"nodes\":[] }'")
        after = await looks.snapshot()
        assert after == before
        assert json.loads(after.artifacts["a.rule.json"])["version"] == 1

    looking(table.discoverer(), work)
