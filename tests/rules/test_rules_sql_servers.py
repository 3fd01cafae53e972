"""Rules in databases of servers: their types, what the probe asks them, what they tell, and what they are spared."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.discovery.held_places import context, server_running
from tests.discovery.held_rules import sql_rules
from tests.rules.rules_kit import Looks, counted, documents, looking, outage_of, reads, rules_of
from tests.servers.install import JDBC_DRIVER
from tests.servers.sql_servers import PASSWORD, USER, MariaDbServer, PostgresServer
from trimtab.api import Discoverer
from trimtab.plugins.rules import create_sql
from trimtab.plugins.rules.options import SqlRulesOptions
from trimtab.plugins.sql.options import SqlOptions

TABLE = "create table rules (id varchar(99), version int, pattern text, function varchar(99))"
PATTERN = '{"nodes": [], "edges": []}'


@pytest.fixture(scope="module")
def postgres() -> Iterator[PostgresServer]:
    with server_running(PostgresServer()) as server:
        yield server


@pytest.fixture(scope="module")
def mariadb() -> Iterator[MariaDbServer]:
    with server_running(MariaDbServer()) as server:
        yield server


@pytest.fixture(params=["postgres", "mariadb"])
def server(request: pytest.FixtureRequest) -> Any:
    """A server with an empty table of rules."""
    found = request.getfixturevalue(request.param)
    found.run("drop table if exists rules", TABLE)
    return found


def discoverer(server: Any, **options: Any) -> Discoverer:
    given: dict[str, Any] = {"poll": "1h", "timeout": "10s", **options}
    return sql_rules(Path("/"), server.url, **given)


# --- types ---


def test_columns_of_postgresql_may_have_its_own_types(postgres: PostgresServer) -> None:
    postgres.run(
        "drop table if exists rules",
        """create table rules (id uuid, version numeric, pattern jsonb, function text, parameters json, libs jsonb,
           binding_keys jsonb, effective_at timestamptz, is_deleted boolean, partial_matches bigint)""",
        """insert into rules values
           ('00000000-0000-0000-0000-000000000001', 2, '{"nodes": [1.50]}', 'emit:out', '{"limit": 5}', '[]', '["r*"]',
            '2024-05-06 07:08:09.5+00', false, 1000),
           ('00000000-0000-0000-0000-000000000002', 1, '{}', null, null, null, null, null, true, null)""",
    )
    assert rules_of(discoverer(postgres)) == {
        "00000000-0000-0000-0000-000000000001.rule.json": {
            "id": "00000000-0000-0000-0000-000000000001",
            "version": 2,
            "pattern": {"nodes": [1.5]},
            "function": "emit:out",
            "parameters": {"limit": 5},
            "libs": [],
            "binding_keys": ["r*"],
            "effective_at": 1714979289500,
            "partial_matches": 1000,
        }
    }


def test_columns_of_mariadb_may_have_its_own_types(mariadb: MariaDbServer) -> None:
    mariadb.run(
        "drop table if exists rules",
        """create table rules (id bigint, version decimal(9), pattern json, function varbinary(99), parameters blob,
           effective_at datetime(3), is_deleted bit(1))""",
        """insert into rules values (7, 2, '{"nodes": [1.50]}', 'emit:out', '{"limit": 5}', '2024-05-06 07:08:09.500', b'0'),
           (8, 1, '{}', '', null, null, b'1')""",
    )
    assert rules_of(discoverer(mariadb)) == {
        "7.rule.json": {
            "id": "7",
            "version": 2,
            "pattern": {"nodes": [1.5]},
            "function": "emit:out",
            "parameters": {"limit": 5},
            "effective_at": 1714979289500,
        }
    }


def test_a_table_may_be_in_a_schema(postgres: PostgresServer) -> None:
    postgres.run(
        "drop schema if exists detection cascade",
        "create schema detection",
        'create table detection."Rules" (id text, version int, pattern text, function text)',
        "insert into detection.\"Rules\" values ('a', 1, '{}', '')",
    )
    assert set(rules_of(discoverer(postgres, table="detection.Rules"))) == {"a.rule.json"}


def test_a_database_may_be_reached_through_java(postgres: PostgresServer) -> None:
    if not JDBC_DRIVER.exists() or shutil.which("java") is None:
        reason = f"needs Java and {JDBC_DRIVER}"
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
    postgres.run("drop table if exists rules", TABLE, f"insert into rules values ('a', 1, '{PATTERN}', 'emit:out')")
    database = SqlOptions(
        url=postgres.jdbc_url,
        user=USER,
        password=PASSWORD,
        driver="org.postgresql.Driver",
        jar=str(JDBC_DRIVER),
        timeout="10s",
    )
    there = replace(context(Path("/")), resource=lambda _name: database)
    found = create_sql(SqlRulesOptions(resource="java", poll="1h"), "place", there)

    async def work(looks: Looks) -> None:
        with counted() as statements:
            for _ in range(3):
                assert (await looks.rules())["a.rule.json"]["version"] == 1
            assert reads(statements) == 1

    looking(found, work)


# --- what is read, and when ---


def test_rows_that_come_go_or_have_another_version_are_seen_and_else_nothing_is_read(server: Any) -> None:
    server.run(f"insert into rules values ('a', 1, '{PATTERN}', ''), ('b', 7, '{PATTERN}', '')")

    async def work(looks: Looks) -> None:
        with counted() as statements:
            assert set(await looks.rules()) == {"a.rule.json", "b.rule.json"}
            assert reads(statements) == 1
            for _ in range(5):
                await looks.rules()
            assert len(statements) == 5
            assert reads(statements) == 0
            for change, expected in (
                ("update rules set version = 2 where id = 'a'", {"a": 2, "b": 7}),
                (f"insert into rules values ('c', 1, '{PATTERN}', '')", {"a": 2, "b": 7, "c": 1}),
                ("delete from rules where id = 'c'", {"a": 2, "b": 7}),
                ("delete from rules", {}),
                (f"insert into rules values ('d', 1, '{PATTERN}', '')", {"d": 1}),
            ):
                server.run(change)
                found = {rule["id"]: rule["version"] for rule in (await looks.rules()).values()}
                assert found == expected
                assert reads(statements) == 1

    looking(discoverer(server), work)


def test_a_change_of_a_row_that_keeps_its_version_is_found_when_all_is_read(server: Any) -> None:
    server.run(f"insert into rules values ('a', 1, '{PATTERN}', 'emit:one')")

    async def work(looks: Looks) -> None:
        await looks.rules()
        server.run("update rules set function = 'emit:two'")
        seen = [(await looks.rules())["a.rule.json"]["function"] for _ in range(3)]
        assert seen == ["emit:one", "emit:one", "emit:two"]

    looking(discoverer(server, full_every=3), work)


def test_a_probe_of_ones_own_may_see_more(server: Any) -> None:
    server.run(
        "alter table rules add column changed int", f"insert into rules values ('a', 1, '{PATTERN}', 'emit:one', 1)"
    )

    async def work(looks: Looks) -> None:
        with counted() as statements:
            for _ in range(3):
                await looks.rules()
            assert reads(statements) == 1
            server.run("update rules set function = 'emit:two', changed = 2")
            assert (await looks.rules())["a.rule.json"]["function"] == "emit:two"

    looking(discoverer(server, probe="select max(changed) from rules"), work)


def test_a_column_that_every_change_raises_belongs_to_the_probe(server: Any) -> None:
    server.run(
        "alter table rules add column changed int", f"insert into rules values ('a', 1, '{PATTERN}', 'emit:one', 1)"
    )

    async def work(looks: Looks) -> None:
        with counted() as statements:
            for _ in range(3):
                await looks.rules()
            assert reads(statements) == 1
            server.run("update rules set function = 'emit:two', changed = 2")
            assert (await looks.rules())["a.rule.json"]["function"] == "emit:two"

    looking(discoverer(server, updated_at="changed"), work)


def test_such_a_column_that_is_not_there_is_told(server: Any) -> None:
    server.run(f"insert into rules values ('a', 1, '{PATTERN}', '')")
    assert "changed" in outage_of(discoverer(server, updated_at="changed"))


def test_versions_that_are_text_have_no_sum_so_all_is_read_at_every_look(postgres: PostgresServer) -> None:
    postgres.run(
        "drop table if exists rules",
        "create table rules (id text, version text, pattern text, function text)",
        "insert into rules values ('a', '9', '{}', ''), ('a', '10', '{}', '')",
    )

    async def work(looks: Looks) -> None:
        with counted() as statements:
            for _ in range(3):
                assert (await looks.rules())["a.rule.json"]["version"] == 10
            assert reads(statements) == 3

    looking(discoverer(postgres), work)


def test_a_query_without_a_probe_is_run_at_every_look(server: Any) -> None:
    server.run(f"insert into rules values ('a', 1, '{PATTERN}', '')")

    async def work(looks: Looks) -> None:
        with counted() as statements:
            for _ in range(3):
                await looks.rules()
            assert reads(statements) == 3
            assert not statements

    looking(discoverer(server, query="select * from rules where version > 0"), work)


def test_one_connection_serves_all_looks_and_is_closed_in_the_end(postgres: PostgresServer) -> None:
    postgres.run("drop table if exists rules", TABLE)
    count = "select count(*) from pg_stat_activity where application_name = 'trimtab'"
    started = "select count(distinct backend_start) from pg_stat_activity where application_name = 'trimtab'"

    async def work(looks: Looks) -> None:
        backends = set[str]()
        for _ in range(3):
            await looks.rules()
            assert postgres.run(started) == "1"
            backends.add(postgres.run("select pid from pg_stat_activity where application_name = 'trimtab'"))
        assert len(backends) == 1

    looking(discoverer(postgres), work)
    assert _soon(postgres, count, "0")


def _soon(server: PostgresServer, query: str, expected: str) -> bool:
    return any(server.run(query) == expected for _ in range(100))


# --- outages ---


def test_a_server_that_was_started_anew_between_two_looks_was_not_away(server: Any) -> None:
    server.run(f"insert into rules values ('a', 1, '{PATTERN}', '')")
    # MariaDB forgets the row where it is killed; asked to end, PostgreSQL waits for those who are connected.
    end = server.stop if isinstance(server, MariaDbServer) else server.kill

    async def work(looks: Looks) -> None:
        before = await looks.snapshot()
        end()
        assert await looks.outage()
        server.start()
        assert (await looks.snapshot()).artifacts is before.artifacts
        end()
        server.start()
        assert (await looks.snapshot()).artifacts is before.artifacts

    looking(discoverer(server), work)


@pytest.mark.parametrize(
    ("change", "mend", "message"),
    [
        ("drop table rules", TABLE, "rules"),
        (
            "alter table rules drop column pattern",
            "alter table rules add column pattern text",
            "expected a column pattern",
        ),
    ],
)
def test_a_table_that_is_gone_or_lacks_a_column_is_an_outage_that_passes(
    server: Any, change: str, mend: str, message: str
) -> None:
    async def work(looks: Looks) -> None:
        await looks.rules()
        server.run(change)
        assert message in await looks.outage()
        server.run(mend)
        assert await looks.rules() == {}

    looking(discoverer(server, full_every=1), work)


def test_who_is_not_let_in_is_told_so_without_the_password(server: Any) -> None:
    url = server.url.replace(server.url.split(":")[2].split("@")[0], "wrong-secret")
    said = outage_of(sql_rules(Path("/"), url, timeout="10s"))
    assert "expected to be let in" in said
    assert "wrong-secret" not in said


# --- what PostgreSQL tells ---


def test_a_notification_has_the_rows_read_at_once(postgres: PostgresServer) -> None:
    postgres.run("drop table if exists rules", TABLE, "insert into rules values ('a', 1, '{}', 'emit:0')")

    async def work(looks: Looks) -> None:
        await looks.rules()
        for number in (1, 2):
            change = f"update rules set function = 'emit:{number}'; notify changes"
            told = await looks.told(partial(postgres.run, change))
            assert told["a.rule.json"]["function"] == f"emit:{number}"

    looking(discoverer(postgres, channel="changes"), work)


def test_null_is_what_is_missing_and_text_that_is_no_json_stays(server: Any) -> None:
    server.run("insert into rules values ('a', 1, null, null), ('b', null, '{nodes', 'emit:out')")

    async def work(looks: Looks) -> None:
        assert documents(await looks.snapshot()) == {
            "a.rule.json": {"id": "a", "version": 1, "pattern": None},
            "b.rule.json": {"id": "b", "version": "", "pattern": "{nodes", "function": "emit:out"},
        }

    looking(discoverer(server), work)
