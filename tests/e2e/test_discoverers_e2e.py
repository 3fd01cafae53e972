"""Scripts and settings that come from outside, in a real host."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.discovery.web_shelf import Shelf
from tests.e2e.project import Numbers, Project, eventually, running
from tests.servers.redis_servers import RedisServer

SCRIPT = """
from trimtab import emit
def handle(event, ctx):
    emit("out", ["{version}", event["n"]])
"""
SETTING = """
from trimtab import emit, settings
def handle(event, ctx):
    emit("out", [settings.get("limits"), event["n"]])
"""


@pytest.fixture
def shelf() -> Iterator[Shelf]:
    with Shelf() as shelf:
        shelf.documents["/scripts.json"] = b'["work.py"]'
        yield shelf


def with_manifest(folder: Path, shelf: Shelf) -> Project:
    """A host that takes its scripts from a list, which it looks at all the time."""
    url = shelf.url("/scripts.json")
    return Project(
        folder, extra=f'[discoverers.central]\ntype = "manifest"\nurl = "{url}"\ninterval = "50ms"\ntimeout = "5s"'
    )


def publish(shelf: Shelf, version: str) -> None:
    shelf.documents["/work.py"] = SCRIPT.format(version=version).encode()


def seen(project: Project, value: Any) -> bool:
    return any(row[0] == value for row in project.emitted())


def outage(project: Project) -> str | None:
    error: str | None = project.status()["discoverers"]["discoverers.central"]["error"]
    return error


def test_a_change_at_the_manifest_reaches_the_stream_and_no_event_is_lost(tmp_path: Path, shelf: Shelf) -> None:
    publish(shelf, "one")
    with running(with_manifest(tmp_path, shelf)) as project:
        numbers = Numbers(project)
        for version in ("one", "two", "three"):
            publish(shelf, version)
            numbers.send_until(lambda version=version: seen(project, version), f"version {version} handles an event")  # type: ignore[misc]
        rows = numbers.all_out()
    assert [number for _, number in rows] == list(range(numbers.sent))
    assert [version for version, _ in rows] == sorted((v for v, _ in rows), key=["one", "two", "three"].index)


def test_a_script_that_the_list_leaves_out_no_longer_runs(tmp_path: Path, shelf: Shelf) -> None:
    publish(shelf, "one")
    with running(with_manifest(tmp_path, shelf)) as project:
        assert project.script("work.py")["state"] == "active"
        shelf.documents["/scripts.json"] = b"[]"
        eventually(lambda: not project.script("work.py"), "the script is gone")


def test_a_lofka_script_from_the_manifest_runs_unmodified(tmp_path: Path, shelf: Shelf) -> None:
    shelf.documents["/scripts.json"] = b'["old.js"]'
    shelf.documents["/old.js"] = b"function processing_data(text) { return JSON.stringify([JSON.parse(text).n]) }"
    project = with_manifest(tmp_path, shelf)
    project.config.write_text(project.config.read_text() + '[settings.lofka]\nsink = "out"\n')
    with running(project):
        project.send({"n": 7})
        eventually(lambda: project.emitted() == ["[7]"], "the script returns its text")


def test_an_outage_changes_nothing_is_shown_and_passes(tmp_path: Path, shelf: Shelf) -> None:
    publish(shelf, "one")
    with running(with_manifest(tmp_path, shelf)) as project:
        numbers = Numbers(project)
        numbers.send_until(lambda: seen(project, "one"), "an event is handled")
        generation = project.status()["generation"]
        shelf.stop()
        eventually(lambda: "got ConnectError" in (outage(project) or ""), "the outage is shown")
        numbers.send(10)
        numbers.all_out()
        shelf.start()
        del shelf.documents["/work.py"]
        eventually(lambda: "got 404" in (outage(project) or ""), "the missing script is shown")
        numbers.send(10)
        assert {version for version, _ in numbers.all_out()} == {"one"}
        assert project.status()["generation"] == generation
        publish(shelf, "two")
        numbers.send_until(lambda: seen(project, "two"), "the new version handles an event")
        assert outage(project) is None


def test_a_host_starts_with_what_ran_before_while_the_manifest_is_out_of_reach(tmp_path: Path, shelf: Shelf) -> None:
    publish(shelf, "one")
    project = with_manifest(tmp_path, shelf)
    with running(project):
        version = project.script("work.py")["version"]
    shelf.stop()
    with running(project):
        assert project.script("work.py")["version"] == version
        numbers = Numbers(project)
        numbers.send_until(lambda: seen(project, "one"), "an event is handled")
        shelf.start()
        publish(shelf, "two")
        numbers.send_until(lambda: seen(project, "two"), "the new version handles an event")


def test_a_change_in_the_folder_does_not_wait_for_a_silent_manifest(tmp_path: Path, shelf: Shelf) -> None:
    publish(shelf, "one")
    project = with_manifest(tmp_path, shelf)
    project.config.write_text(project.config.read_text().replace('timeout = "5s"', 'timeout = "1h"'))
    with running(project):
        asked = shelf.asked
        shelf.pause()
        eventually(lambda: shelf.asked > asked, "the manifest is asked, and silent")
        project.save("local.py", SCRIPT.format(version="local"))
        eventually(lambda: project.script("local.py"), "the script of the folder runs")


def test_a_rollback_holds_back_what_the_manifest_still_names(tmp_path: Path, shelf: Shelf) -> None:
    publish(shelf, "one")
    with running(with_manifest(tmp_path, shelf)) as project:
        publish(shelf, "two")
        eventually(lambda: project.script("work.py").get("seq") == 2, "the second version runs")
        project.trimtab("rollback", "work.py")
        asked = len(shelf.requests)
        eventually(lambda: len(shelf.requests) > asked + 8, "the list was looked at again")
        assert project.script("work.py")["seq"] == 1
        publish(shelf, "three")
        eventually(lambda: project.script("work.py").get("seq") == 3, "a new version runs")


def test_a_name_that_the_folder_has_too_is_refused_and_stays_what_it_is(tmp_path: Path, shelf: Shelf) -> None:
    publish(shelf, "list")
    shelf.documents["/scripts.json"] = b"[]"
    project = with_manifest(tmp_path, shelf)
    project.save("work.py", SCRIPT.format(version="folder"))
    with running(project):
        version = project.script("work.py")["version"]
        shelf.documents["/scripts.json"] = b'["work.py"]'
        error = eventually(lambda: project.script("work.py")["error"], "the name is refused")
        assert "folder" in error
        assert project.script("work.py")["version"] == version


def test_a_setting_changed_in_redis_reaches_a_script_with_the_next_message(tmp_path: Path) -> None:
    with RedisServer(tmp_path / "redis") as server:
        server.ask("HSET", "fleet", "limits.speed", "80")
        extra = f"""
            [settings.limits]
            speed = 100
            fuel = 5
            [discoverers.center]
            type = "settings-redis"
            url = "{server.url}"
            key = "fleet"
            channel = "changes"
            interval = "1h"
        """
        project = Project(tmp_path, extra=extra)
        project.save("work.py", SETTING)
        with running(project):
            numbers = Numbers(project)
            numbers.send_until(lambda: seen(project, {"speed": 80, "fuel": 5}), "the setting comes from Redis")
            server.ask("HSET", "fleet", "limits.speed", "70")
            server.ask("PUBLISH", "changes", "look")
            numbers.send_until(lambda: seen(project, {"speed": 70, "fuel": 5}), "the new setting is seen")
            server.kill()
            eventually(lambda: project.status()["discoverers"]["discoverers.center"]["error"], "the outage is shown")
            numbers.send()
            assert numbers.all_out()[-1][0] == {"speed": 70, "fuel": 5}


def test_settings_from_outside_go_over_those_of_the_file_and_expand_nothing(tmp_path: Path, shelf: Shelf) -> None:
    shelf.documents["/a.json"] = json.dumps({"limits": {"speed": 80, "text": "${HOME}"}}).encode()
    shelf.documents["/b.json"] = json.dumps({"limits": {"speed": 70}}).encode()
    extra = "[settings.limits]\nspeed = 100\nfuel = 5\n" + "".join(
        f'[discoverers.{name}]\ntype = "settings-http"\nurl = "{shelf.url(f"/{name}.json")}"\ninterval = "50ms"\n'
        for name in ("a", "b")
    )
    project = Project(tmp_path, extra=extra)
    project.save("work.py", SETTING)
    with running(project):
        numbers = Numbers(project)
        both = {"speed": 70, "fuel": 5, "text": "${HOME}"}
        numbers.send_until(lambda: seen(project, both), "all settings are seen")
        shelf.documents["/b.json"] = b"{}"
        numbers.send_until(lambda: seen(project, both | {"speed": 80}), "the setting below it is seen")


def test_what_a_removed_discoverer_had_found_goes_with_it(tmp_path: Path, shelf: Shelf) -> None:
    publish(shelf, "one")
    project = with_manifest(tmp_path, shelf)
    with running(project):
        assert project.script("work.py")["state"] == "active"
    text = project.config.read_text()
    project.config.write_text(text[: text.index("[discoverers.central]")])
    with running(project):
        assert not project.script("work.py")
