"""``trimtab convert``, ``match`` and ``explain``: the real command line."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.cli.command_line import trimtab
from trimtab.cep import begin, read_rule
from trimtab.cep.writing import write_pattern

PATTERN = begin("first").where("temp > 40").next("second").where("temp > last('first').temp").within("20s")
DOCUMENT = {"id": "rising", "key": "room", "function": "emit:hot", "pattern": write_pattern(PATTERN.build())}

SCRIPT_JS = """
import { begin } from "trimtab";
import { LIMIT } from "./_limits.js";

export const pattern = begin("first").where(`temp > ${LIMIT}`).next("second").where("temp > last('first').temp")
  .within("20s");

export function handle(match, ctx) {}
"""
SCRIPT_PY = """
from trimtab import begin


def above(event, partial):
    return event["temp"] > partial["first"][0]["temp"]


pattern = begin("first").where("temp > 40").next("second").where(above).within("20s")


def handle(match, ctx):
    pass
"""
EVENTS = [
    {"ts": 1000, "room": "a", "temp": 41},
    {"ts": 2000, "room": "b", "temp": 50},
    {"ts": 3000, "room": "a", "temp": 42},
    {"ts": 4000, "room": "b", "temp": 44},
    {"ts": 2500, "room": "c", "temp": 60},
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "rising.rule.json").write_text(json.dumps(DOCUMENT))
    (tmp_path / "bare.json").write_text(json.dumps(DOCUMENT["pattern"]))
    (tmp_path / "hot.js").write_text(SCRIPT_JS)
    (tmp_path / "_limits.js").write_text("export const LIMIT = 40;\n")
    (tmp_path / "hot.py").write_text(SCRIPT_PY)
    (tmp_path / "events.jsonl").write_text("".join(json.dumps(event) + "\n" for event in EVENTS))
    return tmp_path


def lines(text: str) -> list[Any]:
    return [json.loads(line) for line in text.splitlines()]


# --- convert ---


@pytest.mark.parametrize("rule", ["bare.json", "hot.js"])
def test_convert_prints_the_pattern_in_the_dialect_of_dynamic_flink_cep(folder: Path, rule: str) -> None:
    done = trimtab(folder, "convert", rule)
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout) == DOCUMENT["pattern"]


def test_convert_keeps_the_other_fields_of_a_document_and_reads_the_other_dialect_from_stdin(folder: Path) -> None:
    nodes = [
        {"name": "a", "quantifier": {"properties": ["SINGLE"]}, "afterMatchSkipStrategy": {"type": "SKIP_TO_NEXT"}},
        {"name": "b", "quantifier": {"properties": ["TIMES"]}, "times": {"from": 2}},
    ]
    other = {"nodes": nodes, "edges": [{"source": "a", "target": "b", "type": "STRICT"}]}
    document = {"id": 7, "version": 3, "parameters": {"n": 1}, "pattern": json.dumps(other)}
    done = trimtab(folder, "convert", "-", input=json.dumps(document))
    assert done.returncode == 0, done.stderr
    converted = json.loads(done.stdout)
    assert {**converted, "pattern": None} == {**document, "pattern": None}
    wanted = begin("a").next("b").times(2).skip_to_next().build()
    assert read_rule(converted).pattern == wanted
    assert converted["pattern"]["type"] == "COMPOSITE"


def test_convert_refuses_what_stays_in_a_script_with_its_stage(folder: Path) -> None:
    done = trimtab(folder, "convert", "hot.py")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: second: condition: expected what JSON can hold: an expression")
    assert done.stderr.endswith("got the Python callable above\n")


# --- match ---


def test_match_prints_one_line_for_each_match_in_the_order_of_event_time(folder: Path) -> None:
    done = trimtab(folder, "match", "bare.json", "--events", "events.jsonl")
    assert done.returncode == 0
    assert lines(done.stdout) == [
        {"kind": "match", "rule": "bare", "key": None, "timestamp": 2000, "events": {"first": [EVENTS[0]], "second": [EVENTS[1]]}},
        {"kind": "match", "rule": "bare", "key": None, "timestamp": 2500, "events": {"first": [EVENTS[1]], "second": [EVENTS[4]]}},
        {"kind": "match", "rule": "bare", "key": None, "timestamp": 4000, "events": {"first": [EVENTS[2]], "second": [EVENTS[3]]}},
    ]  # fmt: skip
    assert done.stderr == "3 matches, 1 time-outs in 5 events\n"


def test_match_looks_by_key_and_gives_positions_and_time_outs(folder: Path) -> None:
    done = trimtab(folder, "match", "rising.rule.json", "--events", "-", "--indexes", "--timeouts", input=EVENTS_TEXT)
    assert lines(done.stdout) == [
        {"kind": "match", "rule": "rising", "key": "a", "timestamp": 3000, "positions": {"first": [0], "second": [2]}},
        {"kind": "timeout", "rule": "rising", "key": "c", "timestamp": 22500, "positions": {"first": [4]}},
        {"kind": "timeout", "rule": "rising", "key": "a", "timestamp": 23000, "positions": {"first": [2]}},
        {"kind": "timeout", "rule": "rising", "key": "b", "timestamp": 24000, "positions": {"first": [3]}},
    ]
    by_key = trimtab(folder, "match", "bare.json", "--events", "events.jsonl", "--key", "room", "--indexes")
    assert [each["key"] for each in lines(by_key.stdout)] == ["a"]


EVENTS_TEXT = "".join(json.dumps(event) + "\n" for event in EVENTS)


def test_match_takes_events_as_they_come_in_arrival_time(folder: Path) -> None:
    done = trimtab(folder, "match", "bare.json", "--events", "events.jsonl", "--indexes", "--time", "arrival")
    assert [each["positions"] for each in lines(done.stdout)] == [
        {"first": [0], "second": [1]},
        {"first": [2], "second": [3]},
        {"first": [3], "second": [4]},
    ]


def test_match_finds_the_time_under_another_name(folder: Path) -> None:
    text = '{"a": {"at": 2}, "temp": 50}\n{"a": {"at": 1.0}, "temp": 45}\n'
    done = trimtab(folder, "match", "bare.json", "--events", "-", "--timestamp", "a.at", "--indexes", input=text)
    assert [each["positions"] for each in lines(done.stdout)] == [{"first": [1], "second": [0]}]


@pytest.mark.parametrize("rule", ["hot.js", "hot.py"])
def test_match_takes_a_script_with_a_pattern(folder: Path, rule: str) -> None:
    done = trimtab(folder, "match", rule, "--events", "events.jsonl", "--indexes")
    assert done.returncode == 0, done.stderr
    found = lines(done.stdout)
    assert [each["positions"]["first"] for each in found] == [[0], [1], [2]]
    assert {each["rule"] for each in found} == {rule}


def test_match_finds_functions_beside_the_rule_and_in_the_scripts_folders(folder: Path) -> None:
    conditions = [
        {"type": "PYTHON", "function": "near.py:hot"},
        {"type": "JS", "function": "far.js#above"},
    ]
    rule = begin("first").where(conditions[0]).next("second").where(conditions[1])
    (folder / "calls.json").write_text(json.dumps(write_pattern(rule.build())))
    (folder / "near.py").write_text("def hot(event, partial):\n    return event['temp'] > 40\n")
    (folder / "scripts").mkdir()
    far = "export const above = (event, partial) => event.temp > partial.first[0].temp;\n"
    (folder / "scripts" / "far.js").write_text(far)
    missing = trimtab(folder, "match", "calls.json", "--events", "events.jsonl")
    assert missing.returncode == 2
    assert "no file far.js in ." in missing.stderr
    (folder / "trimtab.toml").write_text('[sources.x]\ntype = "stdin"\n')
    done = trimtab(folder, "match", "calls.json", "--events", "events.jsonl", "--indexes")
    assert [each["positions"]["first"] for each in lines(done.stdout)] == [[0], [1], [2]], done.stderr


def test_match_tells_of_lines_that_are_no_events_and_goes_on(folder: Path) -> None:
    text = '{"ts": 1, "temp": 50}\n\n{"ts":\n{"temp": 51}\n"text"\n{"ts": "x"}\n{"ts": 2, "temp": 52}\n{"ts": 3, "temp": 1} 5\n'
    done = trimtab(folder, "match", "bare.json", "--events", "-", "--indexes", input=text)
    assert done.returncode == 1
    assert [each["positions"] for each in lines(done.stdout)] == [{"first": [0], "second": [5]}]
    told = done.stderr.splitlines()
    assert told[0].startswith("error: stdin:3: expected JSON, got ")
    assert told[1:4] == [
        "error: stdin:4: expected a time in ms in the field ts, got none",
        "error: stdin:5: expected a time in ms in the field ts, got none",
        'error: stdin:6: expected a time in ms in the field ts, got "x"',
    ]
    assert told[4].startswith("error: stdin:8: expected JSON, got ")
    assert "Traceback" not in done.stderr


def test_match_tells_of_many_bad_lines_only_how_many(folder: Path) -> None:
    done = trimtab(folder, "match", "bare.json", "--events", "-", input="x\n" * 100)
    assert len(done.stderr.splitlines()) == 22
    assert "error: stdin: 80 more lines that are no events" in done.stderr


def test_match_tells_of_conditions_that_could_not_work(folder: Path) -> None:
    text = '{"ts": 1, "temp": 50}\n{"ts": 2, "temp": "high"}\n'
    done = trimtab(folder, "match", "bare.json", "--events", "-", input=text)
    assert done.returncode == 0
    warning = r"warning: \d times a condition was false because it could not work with an event"
    assert re.search(warning, done.stderr)
    assert "string 'high'" in done.stderr


def test_match_tells_when_there_were_too_many_partial_matches(folder: Path) -> None:
    rule = {
        **DOCUMENT,
        "pattern": write_pattern(begin("a").followed_by("b").where("false").build()),
        "partial_matches": 3,
    }
    (folder / "many.json").write_text(json.dumps(rule))
    done = trimtab(folder, "match", "many.json", "--events", "-", input='{"ts": 1, "room": "a"}\n' * 5)
    assert done.returncode == 1
    assert "expected at most 3 partial matches, got more; the rule is stopped for the key 'a'" in done.stderr


@pytest.mark.parametrize("command", ["match", "explain"])
@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["none.json", "--events", "events.jsonl"], "expected the file of a rule, got none.json"),
        (["events.jsonl", "--events", "events.jsonl"], "expected a rule (.rule.json, .json) or a script"),
        (["bare.json", "--events", "none.jsonl"], "expected a file of events"),
        (["_limits.js", "--events", "events.jsonl"], "handle: expected a function handle"),
        (["plain.js", "--events", "events.jsonl"], "expected a script that exports a pattern"),
        (["bad.json", "--events", "events.jsonl"], "error: $: expected JSON"),
        (["wrong.json", "--events", "events.jsonl"], "$.nodes: expected at least one node"),
        (["-", "--events", "-"], "expected one of RULE and --events from stdin"),
        (["bare.json"], "--events"),
        (["bare.json", "--events", "events.jsonl", "--time", "later"], "--time"),
    ],
)
def test_what_cannot_be_meant_is_told_without_a_traceback(
    folder: Path, command: str, arguments: list[str], expected: str
) -> None:
    (folder / "plain.js").write_text("export function handle() {}")
    (folder / "bad.json").write_text("{")
    (folder / "wrong.json").write_text('{"nodes": [], "edges": []}')
    done = trimtab(folder, command, *arguments)
    assert done.returncode in (1, 2)
    assert done.stdout == ""
    assert expected in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr


# --- explain ---


def test_explain_tells_event_by_event_what_became_of_partial_matches(folder: Path) -> None:
    done = trimtab(folder, "explain", "rising.rule.json", "--events", "events.jsonl")
    assert done.returncode == 0, done.stderr
    told = done.stdout.splitlines()
    assert told[0] == 'event 0 at 1000 key "a" {"ts":1000,"room":"a","temp":41}'
    assert told[1] == "    #1 began with first; waits for second"
    assert "    #1 MATCH first [0], second [2]" in told
    died = (
        "    #2 died: the very next event had to be second; "
        "second: temp > last('first').temp is false (temp = 44, last('first').temp = 50)"
    )
    assert died in told
    assert "    #3 expired: 20 s since its first event; it waited for second" in told
    assert "5 events, 1 matches, 5 partial matches began, 3 expired, 0 live at the end" in told
    assert told[-3].startswith('furthest without a match: #2, key "b": first [1]')
    assert told[-2] == "    waited for second"
    assert told[-1].startswith("    at event 3: #2 died: ")


def test_explain_prints_json_lines_for_machines(folder: Path) -> None:
    done = trimtab(folder, "explain", "bare.json", "--events", "events.jsonl", "--json")
    *moments, summary = lines(done.stdout)
    assert moments[0] == {
        "time": 1000,
        "event": 0,
        "value": EVENTS[0],
        "steps": [{"what": "began", "partial": 1, "stage": "first", "events": {"first": [0]}, "waits_for": ["second"]}],
    }
    assert [step["events"] for moment in moments for step in moment["steps"] if step["what"] == "match"] == [
        {"first": [0], "second": [1]},
        {"first": [1], "second": [4]},
        {"first": [2], "second": [3]},
    ]
    assert summary["summary"]["matches"] == 3


def test_explain_takes_scripts_and_tells_of_bad_lines(folder: Path) -> None:
    done = trimtab(
        folder, "explain", "hot.py", "--events", "-", input='{"ts": 1, "temp": 41}\n{"ts": 2, "temp": 41}\n{\n'
    )
    assert done.returncode == 1
    assert "#1 died: the very next event had to be second; second: above() is false" in done.stdout
    assert "stdin:3: expected JSON" in done.stderr


def test_output_has_colours_on_a_terminal_only(folder: Path) -> None:
    done = trimtab(folder, "explain", "bare.json", "--events", "events.jsonl")
    assert "\x1b" not in done.stdout
