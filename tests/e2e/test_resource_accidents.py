"""Resources and what may go wrong around them: restarts, lanes that die, variables that are gone, secrets."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.e2e.project import Project, eventually, running
from tests.servers.programs import free_port

HOLDS_IT = """
from trimtab import emit, sql
orders = sql("orders")
def handle(event, ctx):
    orders.execute("insert into orders values (?)", [event["n"]])
    emit("out", event["n"])
"""
VERSION = "from trimtab import emit\ndef handle(event, ctx):\n    emit('out', {version})\n"
RESOURCE = '[resources.sql.orders]\nurl = "{url}"\n'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with two databases."""
    for name in ("old.db", "new.db"):
        with closing(sqlite3.connect(tmp_path / name)) as connection:
            connection.execute("create table orders (n integer)")
    return tmp_path


def edit(project: Project, old: str, new: str) -> None:
    """Edit the configuration file in place."""
    text = project.config.read_text()
    assert old in text
    project.config.write_text(text.replace(old, new))


def handled(project: Project, event: dict[str, int]) -> None:
    """Send an event, and see that it does not become a dead letter."""
    before = len(project.emitted())
    project.send(event)
    eventually(lambda: len(project.emitted()) > before or project.letters(), "the event is handled, or a dead letter")
    assert project.letters() == []


def moved_while_stopped(folder: Path, monkeypatch: pytest.MonkeyPatch, **scripts: str) -> Project:
    """A project whose resource had its address in a variable that is gone by now, and has got another address."""
    monkeypatch.setenv("OLD_URL", "jdbc:sqlite:old.db")
    project = Project(folder, lanes=1, extra=RESOURCE.format(url="${OLD_URL}"))
    for name, source in scripts.items():
        project.save(f"{name}.py", source)
    with running(project):
        pass
    monkeypatch.delenv("OLD_URL")
    edit(project, "${OLD_URL}", "jdbc:sqlite:new.db")
    return project


def test_a_library_reaches_its_scripts_after_a_resource_moved_while_stopped(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uses = "from _lib import X\n" + VERSION.format(version="X")
    with running(moved_while_stopped(folder, monkeypatch, _lib="X = 1\n", uses=uses)) as project:
        project.save("_lib.py", "X = 2\n")
        eventually(lambda: project.status()["generation"] == 3, "the library is taken")
        project.send({})
        assert eventually(project.emitted, "the event is handled") == [2]


def test_a_script_works_after_its_resource_moved_while_stopped(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with running(moved_while_stopped(folder, monkeypatch, work=HOLDS_IT)) as project:
        handled(project, {"n": 1})
        assert project.status()["resources"]["sql.orders"]["error"] is None


def test_a_script_recovers_in_a_restarted_lane_when_its_resource_comes_back(folder: Path) -> None:
    project = Project(folder, lanes=1, extra=RESOURCE.format(url="jdbc:sqlite:old.db"))
    project.save("work.py", HOLDS_IT)
    with running(project):
        text = project.config.read_text()
        project.config.write_text(text.partition("[resources")[0])
        eventually(lambda: project.status()["generation"] == 2, "the resource is gone")
        os.kill(project.status()["lanes"][0]["pid"], signal.SIGKILL)
        eventually(lambda: project.script("work.py")["error"], "the new lane cannot open the script")
        project.config.write_text(text)
        eventually(lambda: project.status()["generation"] == 3, "the resource is back")
        handled(project, {"n": 1})


def test_a_script_and_its_resource_may_be_saved_in_the_same_moment(folder: Path) -> None:
    project = Project(folder, lanes=1)
    with running(project):
        project.config.write_text(project.config.read_text() + RESOURCE.format(url="jdbc:sqlite:new.db"))
        project.save("work.py", HOLDS_IT)
        eventually(lambda: project.script("work.py").get("state") == "active", "the script runs")


def test_a_variable_that_is_gone_blocks_neither_a_start_nor_scripts(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OLD_URL", "jdbc:sqlite:old.db")
    project = Project(folder, lanes=1, extra=RESOURCE.format(url="${OLD_URL}"))
    project.save("work.py", VERSION.format(version=1))
    with running(project):
        edit(project, "${OLD_URL}", "jdbc:sqlite:new.db")
        eventually(lambda: project.status()["generation"] == 2, "the resource has moved")
        project.trimtab("rollback", "resources.sql.orders")
    monkeypatch.delenv("OLD_URL")
    project.save("work.py", VERSION.format(version=2))
    with running(project):
        assert project.script("work.py")["seq"] == 2
        project.save("work.py", VERSION.format(version=3))
        eventually(lambda: project.script("work.py")["seq"] == 3, "the script is taken")


def test_a_move_is_not_lost_when_a_lane_dies_over_it(folder: Path) -> None:
    project = Project(folder, lanes=1, extra=RESOURCE.format(url="jdbc:sqlite:old.db"))
    with running(project):
        lane = project.status()["lanes"][0]["pid"]
        os.kill(lane, signal.SIGSTOP)
        edit(project, "old.db", "new.db")
        eventually(lambda: b"new.db" in staged(project), "the change is on its way")
        os.kill(lane, signal.SIGKILL)
        eventually(lambda: project.status()["generation"] == 2, "it is committed in the next lane")


def staged(project: Project) -> bytes:
    """The bytes of all artifacts that were staged."""
    with closing(sqlite3.connect(project.folder / ".trimtab" / "artifacts.db")) as store:
        return b"".join(bytes(content) for (content,) in store.execute("select content from blobs"))


def test_a_crash_does_not_bring_an_address_that_was_refused(folder: Path) -> None:
    project = Project(folder, lanes=1, extra=RESOURCE.format(url="jdbc:sqlite:old.db"))
    project.save("work.py", HOLDS_IT)
    with running(project):
        edit(project, "jdbc:sqlite:old.db", f"postgresql://me@127.0.0.1:{free_port()}/x")
        eventually(lambda: project.status()["resources"]["sql.orders"]["error"], "the change is refused")
        handled(project, {"n": 1})
        project.stop(signal.SIGKILL)
    with running(project):
        handled(project, {"n": 2})
        assert "ConnectionError" in project.status()["resources"]["sql.orders"]["error"]


def test_a_secret_of_an_older_version_is_masked(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OLD_PASSWORD", "s3cr3t-hunter2")
    project = Project(folder, lanes=1, extra='[settings]\npassword = "${OLD_PASSWORD}"')
    project.save(
        "work.py",
        "from trimtab import settings\ndef handle(event, ctx):\n    raise ValueError(settings.get('password'))\n",
    )
    with running(project):
        edit(project, "${OLD_PASSWORD}", "x")
        eventually(lambda: project.status()["generation"] == 2, "the setting has changed")
    with running(project):
        project.trimtab("rollback", "settings")
        project.send({})
        assert "hunter2" not in json.dumps(eventually(project.letters, "a dead letter"))


def test_a_long_secret_is_masked_where_a_message_is_cut(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"mongodb://user:hunter2hunter2@{'database-01.' * 6}example:port/orders?replicaSet=rs0"
    monkeypatch.setenv("LONG_URL", url)
    project = Project(folder, lanes=1)
    with running(project):
        project.config.write_text(project.config.read_text() + '[resources.mongo.x]\nurl = "${LONG_URL}"\n')
        eventually(lambda: project.status()["settings"]["settings"]["error"], "the file is refused")
        shown = json.dumps(project.status()) + json.dumps(project.history()) + project.log.read_text()
        assert "hunter2" not in shown
