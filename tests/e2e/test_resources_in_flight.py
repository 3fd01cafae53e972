"""``[resources]`` are artifacts: a database that moves is a change like any other, refused while it does not answer."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.e2e.project import Numbers, Project, eventually, running
from tests.servers.programs import free_port
from tests.servers.redis_servers import RedisServer
from tests.servers.sql_servers import PostgresServer

PYTHON = """
from trimtab import emit, sql
def handle(event, ctx):
    sql("orders").execute("insert into orders values (?)", [event["n"]])
    emit("out", [event["n"]])
"""
JAVASCRIPT = """
import { emit, sql } from "trimtab";
export function handle(event) {
  sql("orders").execute("insert into orders values (:n)", { n: event.n });
  emit("out", [event.n]);
}
"""
LANGUAGES = pytest.mark.parametrize("script", [("work.py", PYTHON), ("work.js", JAVASCRIPT)], ids=["py", "js"])


def database(path: Path) -> None:
    """Make an SQLite database with a table ``orders``."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("create table orders (n integer)")


def stored(path: Path) -> list[int]:
    with closing(sqlite3.connect(path)) as connection:
        return [n for (n,) in connection.execute("select n from orders")]


def edit(project: Project, old: str, new: str) -> None:
    """Edit the configuration file in place."""
    text = project.config.read_text()
    assert old in text
    project.config.write_text(text.replace(old, new))


def on_sqlite(folder: Path, script: tuple[str, str]) -> Project:
    """A project whose script writes into ``old.db``; there is a ``new.db`` too."""
    for name in ("old.db", "new.db"):
        database(folder / name)
    project = Project(folder, extra='[resources.sql.orders]\nurl = "jdbc:sqlite:old.db"')
    project.save(*script)
    return project


@pytest.fixture
def postgres() -> Iterator[PostgresServer]:
    server = PostgresServer()
    server.start()
    try:
        yield server
    finally:
        server.stop()
        server.remove()


@LANGUAGES
def test_a_database_moves_while_events_flow_and_each_event_is_in_one_of_the_two(
    tmp_path: Path, script: tuple[str, str]
) -> None:
    project = on_sqlite(tmp_path, script)
    with running(project):
        numbers = Numbers(project)
        numbers.send(50)
        edit(project, "old.db", "new.db")
        numbers.send_until(lambda: stored(tmp_path / "new.db"), "an event is written to the new place")
        assert numbers.all_out() == [[n] for n in range(numbers.sent)]
        old, new = stored(tmp_path / "old.db"), stored(tmp_path / "new.db")
        assert sorted(old + new) == list(range(numbers.sent))
        assert project.script(script[0])["seq"] == 1, "no script is reloaded for it"
        assert project.script(script[0])["failed"] == 0


def test_a_move_is_rolled_back_with_one_command_and_the_file_does_not_bring_it_back(tmp_path: Path) -> None:
    project = on_sqlite(tmp_path, ("work.py", PYTHON))
    with running(project):
        edit(project, "old.db", "new.db")
        numbers = Numbers(project)
        numbers.send_until(lambda: stored(tmp_path / "new.db"), "an event is written to the new place")
        numbers.all_out()
        project.trimtab("rollback", "resources.sql.orders")
        before = len(stored(tmp_path / "new.db"))
        numbers.send(10)
        assert numbers.all_out() == [[n] for n in range(numbers.sent)]
        assert len(stored(tmp_path / "new.db")) == before
        assert project.status()["resources"]["sql.orders"]["state"] == "rolled-back"
        project.stop()
        project.start()
        eventually(lambda: project.status()["resources"]["sql.orders"]["seq"] == 1, "the rollback survives a restart")


@LANGUAGES
def test_an_address_that_does_not_answer_is_refused_and_the_old_one_is_used_on(
    tmp_path: Path, postgres: PostgresServer, script: tuple[str, str]
) -> None:
    postgres.run("drop table if exists orders", "create table orders (n integer)")
    project = Project(tmp_path, extra=f'[resources.sql.orders]\nurl = "{postgres.url}"')
    project.save(*script)
    nobody = free_port()
    with running(project):
        numbers = Numbers(project)
        numbers.send(5)
        edit(project, f":{postgres.port}/", f":{nobody}/")
        error = numbers.send_until(
            lambda: project.status()["resources"]["sql.orders"]["error"], "the change is refused"
        )
        assert "ConnectionError" in error
        assert str(nobody) in error
        numbers.send(5)
        assert numbers.all_out() == [[n] for n in range(numbers.sent)]
        refused = project.history()["generations"][0]
        assert refused["outcome"] == "refused"
        assert "resources.sql.orders" in refused["changes"]
        edit(project, f":{nobody}/", f":{postgres.port}/")
        eventually(lambda: project.status()["resources"]["sql.orders"]["error"] is None, "the file is good again")


def test_a_host_starts_before_its_database_and_works_once_that_answers(tmp_path: Path) -> None:
    port = free_port()
    project = Project(tmp_path, lanes=1, extra=f'[resources.redis.cache]\nurl = "redis://127.0.0.1:{port}"')
    project.save(
        "work.js",
        """
        import { emit, redis } from "trimtab";
        export function handle(event) {
          try { emit("out", redis("cache").incr("n")); } catch (error) { emit("out", [error.name, error.retryable]); }
        }
        """,
    )
    with running(project):
        project.send({})
        assert eventually(project.emitted, "the event is handled") == [["ConnectionError", True]]
        server = RedisServer(tmp_path, port=port)
        server.start()
        try:
            project.send({})
            eventually(lambda: project.emitted()[1:] == [1], "the next event reaches the server")
        finally:
            server.stop()
        counted = project.status()["resources"]["redis.cache"]
        assert (counted["calls"], counted["failed"]) == (2, 1)
        assert counted["scripts"]["work.js"]["calls"] == 2


def test_a_password_is_shown_nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DB_PASSWORD", "hunter2hunter2")
    nobody = free_port()
    project = on_sqlite(tmp_path, ("work.py", PYTHON))
    with running(project):
        edit(
            project,
            'url = "jdbc:sqlite:old.db"',
            f'url = "postgresql://me@127.0.0.1:{nobody}/x"\npassword = "${{DB_PASSWORD}}"',
        )
        eventually(lambda: project.status()["resources"]["sql.orders"]["error"], "the change is refused")
        shown = [
            project.trimtab("status", "--json").stdout,
            project.trimtab("history", "--json").stdout,
            project.trimtab("show", "resources.sql.orders", "2").stdout,
            project.log.read_text(),
        ]
        assert "${DB_PASSWORD}" in shown[2]
        assert not [text for text in shown if "hunter2" in text]
        assert b"hunter2" not in (tmp_path / ".trimtab" / "artifacts.db").read_bytes()


def test_a_file_that_is_not_valid_changes_no_resource(tmp_path: Path) -> None:
    project = on_sqlite(tmp_path, ("work.py", PYTHON))
    with running(project):
        edit(project, "old.db", 'new.db"\nurll = "x')
        eventually(lambda: project.status()["settings"]["settings"]["error"], "the file is refused")
        assert "resources.sql.orders.urll" in project.status()["settings"]["settings"]["error"]
        numbers = Numbers(project)
        numbers.send(3)
        assert numbers.all_out() == [[0], [1], [2]]
        assert sorted(stored(tmp_path / "old.db")) == [0, 1, 2]
