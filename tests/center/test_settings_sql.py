"""Settings in a SQL table: what is taken, what is refused, and what is heard."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.center.center_kit import CONTEXT, heard, recovered, refusal, settings_of
from tests.servers.sql_servers import PASSWORD, PostgresServer
from trimtab.api import Discoverer, DiscovererContext
from trimtab.plugins.center import create_sql
from trimtab.plugins.center.options import SqlTableOptions


@pytest.fixture(scope="module")
def running() -> Iterator[PostgresServer]:
    server = PostgresServer()
    try:
        server.start()
        yield server
    finally:
        server.remove()


@pytest.fixture
def server(running: PostgresServer) -> PostgresServer:
    running.run("drop table if exists settings", "create table settings (name text, value text)")
    return running


def discoverer(url: str, context: DiscovererContext = CONTEXT, **options: Any) -> Discoverer:
    given: dict[str, Any] = {"url": url, "interval": "1h", "timeout": "5s", **options}
    return create_sql(SqlTableOptions(**given), "central", context)


def test_rows_are_dotted_paths_and_hold_json_or_text(server: PostgresServer) -> None:
    server.run(
        "insert into settings values ('limits.speed', '80'), ('limits.towns', '[\"Bremen\"]'), ('hi', '${USER}')"
    )
    assert settings_of(discoverer(server.url)) == {"limits": {"speed": 80, "towns": ["Bremen"]}, "hi": "${USER}"}


def test_a_table_without_rows_is_no_settings(server: PostgresServer) -> None:
    assert settings_of(discoverer(server.url)) == {}


def test_columns_of_every_type_that_json_can_hold_are_taken(server: PostgresServer) -> None:
    query = """
        select 'number', to_jsonb(80) union all select 'table', '{"a": [1]}'::jsonb
        union all select 'text', to_jsonb('007'::text)
    """
    assert settings_of(discoverer(server.url, query=query)) == {"number": 80, "table": {"a": [1]}, "text": "007"}
    for value, expected in (
        ("12.50::numeric", 12.5),
        ("date '2024-05-06'", "2024-05-06"),
        ("true", True),
        ("null::text", None),
    ):
        assert settings_of(discoverer(server.url, query=f"select 'x', {value}")) == {"x": expected}


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("select 'a', 1 union all select 'a.b', 2", "expected a to be a value or a table, got both a and a.b"),
        ("select 'a', 1 union all select 'a', 2", "expected each name once, got a twice"),
        ("select 'a' as x, 1 as y, 2 as z", "a query with two columns, a setting's path and its value, got x, y, z"),
        ("select 1, 2", "expected text in the first column, a setting's path, got int"),
        ("select null::text, 2", "expected text in the first column, a setting's path, got NoneType"),
        ("select 'a', 'x'::bytea", "a: expected a JSON value, text, a number or a date, got bytes"),
        ("select 'a', 'NaN'::float", "a: expected a finite number, got nan"),
        ("select * from nothing", 'relation "nothing" does not exist'),
        ("select 'a', pg_sleep(60)", "statement timeout"),
    ],
)
def test_what_cannot_be_settings_is_refused(server: PostgresServer, query: str, message: str) -> None:
    said = refusal(discoverer(server.url, query=query, timeout="0.5s" if "sleep" in query else "5s"))
    assert said.startswith("discoverers.central: ")
    assert message in said


def test_user_and_password_are_taken_apart_from_the_address_and_never_shown(server: PostgresServer) -> None:
    place = f"postgresql://127.0.0.1:{server.port}/app"
    assert settings_of(discoverer(place, user="trimtab", password=PASSWORD)) == {}
    for channel in (None, "changes"):
        said = refusal(discoverer(place, user="trimtab", password="wrong-secret", channel=channel))
        assert "password authentication failed" in said
        assert "wrong-secret" not in said


def test_a_notification_is_heard_at_once(server: PostgresServer) -> None:
    server.run("insert into settings values ('speed', '1')")

    def change(value: int) -> None:
        server.run(f"update settings set value = '{value}'; notify changes; notify changes, 'two'")

    seen = heard(discoverer(server.url, channel="changes"), lambda: change(2), lambda: change(3))
    assert seen == [{"speed": 2}, {"speed": 3}]


def test_a_server_that_was_away_is_heard_again(server: PostgresServer) -> None:
    def mend() -> None:
        server.start()
        server.run("insert into settings values ('speed', '2')")

    assert recovered(discoverer(server.url, channel="changes"), server.kill, mend) == {"speed": 2}


def test_a_database_file_lies_relative_to_the_configuration(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "s.db", isolation_level=None)) as connection:
        connection.execute("create table settings (name text, value any)")
        connection.execute("insert into settings values ('a.b', 1), ('a.c', '2'), ('d', 1.5)")
    context = DiscovererContext(tmp_path, (), tmp_path / "state", frozenset())
    assert settings_of(discoverer("sqlite:///s.db", context)) == {"a": {"b": 1, "c": 2}, "d": 1.5}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"url": "sqlite:///s.db", "channel": "changes"}, "expected channel with PostgreSQL only, got it with sqlite"),
        ({"url": "nonsense"}, "expected an address such as"),
        ({"url": "sqlite://"}, "expected the path of a file"),
    ],
)
def test_options_that_cannot_be_meant_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SqlTableOptions(**options)
