"""Servers that are away, refuse, hang or were started anew, and statements that take too long."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.servers.programs import free_port, until
from tests.servers.sql_servers import MariaDbServer, PostgresServer
from tests.sql.asking import Asker, java_options
from tests.sql.conftest import Ask
from tests.sql.test_sql_types import opened
from trimtab.api import CallError
from trimtab.plugins.sql.resource import SqlResource
from trimtab.plugins.sql.trouble import Trouble
from trimtab.testing import ScriptRunner

SLEEP = {
    "sqlite": "with recursive n(i) as (select 1 union all select i + 1 from n where i < 1000000000) select max(i) from n",
    "postgresql": "select pg_sleep(30)",
    "mariadb": "select sleep(30)",
    "java": "select pg_sleep(30)",
}
SERVED = ["postgresql", "mariadb", "java"]
PATIENT = "timeout = 20\n"


@pytest.fixture(scope="module")
def own_postgres() -> Iterator[PostgresServer]:
    server = PostgresServer()
    yield server
    server.remove()


@pytest.fixture(scope="module")
def own_mariadb() -> Iterator[MariaDbServer]:
    server = MariaDbServer()
    yield server
    server.remove()


@pytest.fixture
def server(
    request: pytest.FixtureRequest, kind: str
) -> Iterator[tuple[PostgresServer | MariaDbServer, dict[str, Any]]]:
    """A running server that may be killed, and the options of its database."""
    own = request.getfixturevalue("own_mariadb" if kind == "mariadb" else "own_postgres")
    if kind == "java":
        request.getfixturevalue("java")  # skips without Java
    own.start()
    yield own, java_options(own) if kind == "java" else {"url": own.url}
    own.kill()


def outcome(asker: Asker, expression: str) -> Any:
    """The value of an expression, or the name of its error and whether it may be tried again."""
    (value,) = asker.run(
        f"try:\n        out = {expression}\n    except Exception as error:\n"
        '        out = [getattr(error, "name", type(error).__name__), getattr(error, "retryable", None)]\n'
        f'    emit("out", out)\n\n\n{PATIENT}'
    ).emitted
    return value


ASK = 'db.query("select 1 as a")'
RIGHT = [{"a": 1}]


@pytest.mark.parametrize("kind", SERVED)
def test_a_server_that_was_started_anew_is_not_noticed(server: Any, ask: Ask) -> None:
    process, options = server
    asker = ask(options)
    assert asker.ask(ASK) == RIGHT
    process.kill()
    process.start()
    if "driver" in options:  # asks again only where a connection was idle for a while
        until(lambda: outcome(asker, ASK) == RIGHT, "the driver to connect again")
    assert asker.ask(ASK) == RIGHT


@pytest.mark.parametrize("kind", SERVED)
def test_a_server_that_is_away_is_a_connection_error_until_it_is_back(server: Any, ask: Ask) -> None:
    process, options = server
    asker = ask(options)
    assert asker.ask(ASK) == RIGHT
    process.kill()
    assert outcome(asker, ASK) == ["ConnectionError", True]
    assert outcome(asker, ASK) == ["ConnectionError", True]
    process.start()
    assert asker.ask(ASK) == RIGHT


@pytest.mark.parametrize("kind", SERVED)
def test_a_server_that_hangs_is_a_timeout_error(server: Any, ask: Ask) -> None:
    process, options = server
    asker = ask({**options, "timeout": "300ms"})
    assert outcome(asker, ASK) == RIGHT
    process.pause()
    try:
        assert outcome(asker, ASK) == ["TimeoutError", True]
    finally:
        process.resume()
    assert outcome(asker, ASK) == RIGHT


@pytest.mark.parametrize("kind", SERVED)
def test_a_server_that_hangs_does_not_outlive_the_time_limit(server: Any, ask: Ask) -> None:
    process, options = server
    asker = ask({**options, "timeout": "30s"})
    assert asker.ask(ASK) == RIGHT
    process.pause()
    try:
        assert asker.fault(ASK).name == "TimeLimitExceeded"
    finally:
        process.resume()
    assert asker.ask(ASK) == RIGHT


def test_a_statement_that_takes_too_long_is_a_timeout_error(ask: Ask, options: dict[str, Any], kind: str) -> None:
    asker = ask({**options, "timeout": "300ms"})
    assert outcome(asker, f'db.query("{SLEEP[kind]}")') == ["TimeoutError", True]
    assert outcome(asker, ASK) == RIGHT


def test_the_time_limit_breaks_a_statement_off_and_the_next_gets_its_own_answer(
    ask: Ask, options: dict[str, Any], kind: str, language: str
) -> None:
    asker = ask(options, language)
    assert asker.fault(f'db.query("{SLEEP[kind]}")').name == "TimeLimitExceeded"
    assert asker.ask('db.query("select 2 as b")') == [{"b": 2}]


@pytest.mark.parametrize("kind", ["postgresql", "mariadb"])
def test_a_statement_that_was_broken_off_ends_in_the_server(server: Any, ask: Ask, kind: str) -> None:
    process, options = server
    assert ask(options).fault(f'db.query("{SLEEP[kind]}")').name == "TimeLimitExceeded"
    running = {
        "postgresql": "select count(*) from pg_stat_activity where query like '%pg_sleep%' and state = 'active' and pid <> pg_backend_pid()",
        "mariadb": "select count(*) from information_schema.processlist where info like '%sleep(30)%' and id <> connection_id()",
    }
    until(lambda: process.run(running[kind]) == "0", "the statement to end", 10)


@pytest.mark.parametrize("kind", ["postgresql", "mariadb"])
def test_no_answer_is_given_to_another_statement(
    ask: Ask, options: dict[str, Any], kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The time limit strikes again and again, anywhere in the driver."""
    # Where it strikes in a finalizer it is reported here, by code of the test's tools in which it would strike again.
    monkeypatch.setattr(sys, "unraisablehook", lambda _unraisable: None)
    asker = ask(options)
    code = (
        "for number in range(1000000):\n"
        '        row = db.queryOne("select ? as n", [number])\n'
        '        if row["n"] != number:\n'
        '            emit("out", [number, row])\n\n\n'
        "timeout = 0.02\n"
    )
    handled = asker.run(code, *range(40))
    assert {fault.name for fault in handled.faults} == {"TimeLimitExceeded"}
    assert len(handled.faults) == 40
    assert asker.ask(ASK) == RIGHT


@pytest.mark.parametrize("kind", SERVED)
def test_a_refused_connection_is_a_connection_error(ask: Ask, kind: str, options: dict[str, Any]) -> None:
    port = str(free_port())
    away = options["url"].rpartition(":")[0] + f":{port}/app"
    assert outcome(ask({**options, "url": away}), ASK) == ["ConnectionError", True]


@pytest.mark.parametrize("kind", SERVED)
def test_a_wrong_password_is_an_authentication_error_that_does_not_show_it(ask: Ask, options: dict[str, Any]) -> None:
    asker = ask({**options, "password": "wr0ng&pass"})
    assert outcome(asker, ASK) == ["AuthenticationError", False]
    assert "wr0ng" not in asker.fault(ASK).message


@pytest.mark.parametrize("kind", SERVED)
def test_a_missing_database_is_an_error_of_the_database(ask: Ask, options: dict[str, Any]) -> None:
    asker = ask({**options, "url": options["url"].replace("/app", "/nowhere")})
    assert outcome(asker, ASK)[1] is False


def test_a_lock_that_does_not_come_may_be_tried_again(ask: Ask, options: dict[str, Any], kind: str) -> None:
    holder = ask(options)
    holder.ask('db.execute("create table items (id integer primary key)")')
    holder.ask('db.execute("insert into items values (1)")')
    holder.run("holder = db._begin()\n    holder.execute('delete from items')\n    keep.append(holder)\n\n\nkeep = []")
    assert outcome(ask({**options, "timeout": "1s"}), 'db.execute("update items set id = 2")')[1] is True


@pytest.mark.parametrize("kind", ["postgresql", "mariadb"])
def test_a_deadlock_may_be_tried_again(ask: Ask, options: dict[str, Any], kind: str, tmp_path: Path) -> None:
    with opened({**options, "timeout": "20s"}, tmp_path) as one, opened({**options, "timeout": "20s"}, tmp_path) as two:
        one.run(lambda session: session.execute("create table items (id integer primary key, n integer)"))
        one.run(lambda session: session.execute("insert into items values (1, 0), (2, 0)"))
        locked = threading.Barrier(2)

        def work(resource: SqlResource, ids: tuple[int, int]) -> str:
            session = resource.begin()
            session.execute("update items set n = 1 where id = ?", [ids[0]])
            locked.wait(20)
            try:
                session.execute("update items set n = 1 where id = ?", [ids[1]])
            except CallError as error:
                return f"{error.name} {error.retryable}"
            finally:
                session.rollback_and_close()
            return "done"

        with ThreadPoolExecutor(2) as pool:
            ends = list(pool.map(work, (one, two), ((1, 2), (2, 1))))
    assert sorted(ends) == ["SqlError True", "done"]


def test_a_locked_file_is_waited_for_and_then_busy(ask: Ask) -> None:
    options = {"url": "sqlite:///app.db"}
    holder = ask(options)
    holder.ask('db.execute("create table items (id integer)")')
    holder.run("holder = db._begin()\n    keep.append(holder)\n\n\nkeep = []")
    waiting = ask({**options, "timeout": "100ms"})
    assert outcome(waiting, 'db.execute("insert into items values (1)")') == ["SqlError", True]
    assert waiting.ask('db.query("select * from items")') == []
    assert ask({**options, "timeout": "30s"}).fault('db.execute("delete from items")').name == "TimeLimitExceeded"


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # the driver's, of open iterators
def test_too_many_open_iterators_are_refused(ask: Ask, postgres: PostgresServer) -> None:
    asker = ask({"url": postgres.url})
    kept = 'kept = [db.iterate("select 1 as a") for _ in range(8)]\n    db.iterate("select 1")'
    (fault,) = asker.run(kept).faults
    assert (fault.name, "expected at most 8" in fault.message) == ("SqlError", True)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"url": "nonsense"}, "expected an address"),
        ({"url": "sqlite:///a.db", "timeout": "soon"}, "expected a duration"),
        ({"url": "nonsense://a/b"}, "expected a driver for nonsense"),
        ({"url": "postgresql+asyncpg://a/b"}, "expected a driver"),
        ({"url": "mssql://a/b"}, "expected a driver for mssql+pymssql"),
        ({"url": "jdbc:postgresql://a/b", "driver": "org.postgresql.Driver"}, "driver and jar together"),
        ({"url": "jdbc:postgresql://a/b", "driver": "x.Y", "jar": "missing.jar"}, "jar: expected a file"),
    ],
)
def test_options_that_cannot_be_meant_are_refused(options: dict[str, Any], message: str) -> None:
    with ScriptRunner() as runner:
        with pytest.raises(Exception, match=r"sql\.db") as refusal:
            runner.declare(sql__db=options)
        assert message in str(refusal.value)


def test_a_class_that_is_not_in_the_jar_is_refused(java: dict[str, Any]) -> None:
    with ScriptRunner() as runner, pytest.raises(Exception, match=r"got no x\.Y"):
        runner.declare(sql__db={**java, "driver": "x.Y"})


def test_a_check_asks_the_database(options: dict[str, Any], tmp_path: Path) -> None:
    with opened(options, tmp_path) as resource:
        resource.check()


@pytest.mark.parametrize(
    ("secret", "shown"), [("p", "no port for p4ss"), ("p4s", "no port for p4ss"), ("p4ss", "no port for ***")]
)
def test_passwords_are_masked_unless_they_are_so_short_that_words_hold_them(secret: str, shown: str) -> None:
    assert shown in str(Trouble("SqlError", "no port for p4ss").call_error("sql.db", None, secret))
