"""``trimtab try``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.command_line import project, trimtab

SCRIPT = """
from trimtab import emit, handler, log, settings
from _words import WORD

@handler(source="gps", where="speed > 60")
def overspeed(event, ctx):
    log.info("looking", id=event["id"])
    if event["speed"] > settings.get("max_speed"):
        emit("alarms", {WORD: event["id"], "key": ctx.key})
    if event["speed"] > 200:
        raise ValueError("too fast")
"""

EVENTS = """{"id": "v1", "speed": 50}

{"id": "v2", "speed": 120}
{"id": "v3", "speed": 300}
{"id":
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    project(tmp_path)
    (tmp_path / "scripts" / "_words.py").write_text('WORD = "who"\n')
    (tmp_path / "scripts" / "overspeed.py").write_text(SCRIPT)
    (tmp_path / "events.jsonl").write_text(EVENTS)
    return tmp_path


def lines(text: str) -> list[Any]:
    return [json.loads(line) for line in text.splitlines()]


def test_it_prints_what_each_event_emits_and_tells_people_of_logs_and_failures(folder: Path) -> None:
    done = trimtab(folder, "try", "scripts/overspeed.py", "--events", "events.jsonl")
    assert lines(done.stdout) == [{"event": 3, "sink": "alarms", "value": {"who": "v2", "key": "v2"}}]
    assert "event 3: info: looking id='v2'" in done.stderr
    assert "event 4: failed: overspeed.py:11" in done.stderr
    assert "event 5: failed:" in done.stderr
    assert "1 values emitted, 2 failures" in done.stderr
    assert done.returncode == 1


def test_for_machines_everything_is_json_lines_on_stdout(folder: Path) -> None:
    done = trimtab(folder, "try", "scripts/overspeed.py", "--events", "events.jsonl", "--json")
    documents = lines(done.stdout)
    assert [list(each)[1] for each in documents] == ["log", "sink", "log", "error", "error"]
    assert {each["event"] for each in documents} == {3, 4, 5}
    assert next(each["error"]["name"] for each in documents if "error" in each) == "ValueError"
    assert done.stderr == ""


def test_events_come_from_stdin_and_without_failures_it_ends_with_0(folder: Path) -> None:
    done = trimtab(folder, "try", "scripts/overspeed.py", "--events", "-", input='{"id": 1, "speed": 101}\n')
    assert done.returncode == 0, done.stderr
    assert lines(done.stdout)[0]["value"]["who"] == 1


def test_events_of_a_source_whose_records_are_not_lines_are_given_as_json(folder: Path) -> None:
    config = folder / "trimtab.toml"
    config.write_text(config.read_text().replace('type = "stdin"', 'type = "http"\ncodec = "msgpack"'))
    done = trimtab(folder, "try", "scripts/overspeed.py", "--events", "-", input='{"id": 1, "speed": 101}\n{"id":\n')
    assert lines(done.stdout) == [{"event": 1, "sink": "alarms", "value": {"who": 1, "key": 1}}]
    assert "event 2: failed:" in done.stderr


def test_a_script_may_lie_outside_of_the_scripts_folder(folder: Path) -> None:
    (folder / "draft.py").write_text("def handle(event, ctx):\n    from trimtab import emit\n    emit('alarms', 1)\n")
    done = trimtab(folder, "try", "draft.py", "--events", "-", input="{}")
    assert (done.returncode, lines(done.stdout)) == (0, [{"event": 1, "sink": "alarms", "value": 1}]), done.stderr


def test_nothing_is_left_behind(folder: Path) -> None:
    before = sorted(folder.rglob("*"))
    trimtab(folder, "try", "scripts/overspeed.py", "--events", "events.jsonl")
    assert sorted(folder.rglob("*")) == before


def test_a_script_that_cannot_be_loaded_is_refused_with_its_place(folder: Path) -> None:
    (folder / "scripts" / "bad.py").write_text("x = 1\nx = (\n")
    done = trimtab(folder, "try", "scripts/bad.py", "--events", "events.jsonl")
    assert done.returncode == 1
    assert "bad.py:2" in done.stderr
    assert "SyntaxError" in done.stderr


def test_an_endless_loop_costs_its_event_and_no_more(folder: Path) -> None:
    script = 'from trimtab import handler\n\n@handler(timeout="50ms")\ndef h(event, ctx):\n    while event["n"]: pass\n'
    (folder / "loop.py").write_text(script)
    done = trimtab(folder, "try", "loop.py", "--events", "-", input='{"n": 1}\n{"n": 0}\n')
    assert done.returncode == 1
    assert "event 1: failed: loop.py:5" in done.stderr
    assert "1 failures" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["scripts/none.py", "--events", "events.jsonl"], "expected the file of a script"),
        (["scripts", "--events", "events.jsonl"], "expected the file of a script"),
        (["scripts/overspeed.py", "--events", "none.jsonl"], "expected a file of events"),
        (["scripts/overspeed.py", "--events", "events.jsonl", "--source", "gpss"], "did you mean 'gps'"),
        (["scripts/overspeed.py"], "--events"),
    ],
)
def test_wrong_usage_ends_with_2(folder: Path, arguments: list[str], expected: str) -> None:
    done = trimtab(folder, "try", *arguments)
    assert done.returncode == 2
    assert expected in done.stderr


def test_javascript_is_tried_the_same_way(folder: Path) -> None:
    script = 'import { emit } from "trimtab";\nexport function handle(event) { emit("alarms", event.speed + 1); }\n'
    (folder / "scripts" / "plus.js").write_text(script)
    done = trimtab(folder, "try", "scripts/plus.js", "--events", "-", input='{"speed": 1}')
    assert (done.returncode, lines(done.stdout)) == (0, [{"event": 1, "sink": "alarms", "value": 2}]), done.stderr
