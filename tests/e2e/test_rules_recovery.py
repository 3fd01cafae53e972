"""Rules through the death of lanes and of the host: every match that a run without faults finds, and no other one."""

from __future__ import annotations

import json
import os
import random
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.project import Project, eventually, running
from trimtab.cep import Matcher

RACKS = 'key = "rack"\ntimestamp = "ts"\nlateness = "500ms"\n[checkpoints]\ninterval = "100ms"\n'
SINGLE = {"consumingStrategy": "SKIP_TILL_NEXT", "properties": ["SINGLE"]}
HEATING: dict[str, Any] = {
    "name": "heating",
    "type": "COMPOSITE",
    "version": 1,
    "quantifier": SINGLE,
    "nodes": [
        {
            "name": "warm",
            "type": "ATOMIC",
            "quantifier": {**SINGLE, "properties": ["LOOPING"]},
            "condition": {"type": "AVIATOR", "expression": "temp > 30"},
        },
        {
            "name": "hot",
            "type": "ATOMIC",
            "quantifier": SINGLE,
            "condition": {"type": "AVIATOR", "expression": "temp > last('warm').temp + 5"},
        },
    ],
    "edges": [{"source": "warm", "target": "hot", "type": "SKIP_TILL_NEXT"}],
    "window": {"type": "FIRST_AND_LAST", "time": {"unit": "SECONDS", "size": 3}},
    "afterMatchStrategy": {"type": "SKIP_TO_NEXT"},
}
RULE = {"pattern": HEATING, "function": "emit:out", "timeouts": "emit:out", "source": "gps"}
END: dict[str, Any] = {"rack": "end", "temp": 0, "ts": 10_000_000}


def readings(count: int, seed: int) -> list[dict[str, Any]]:
    """Readings of some racks, a little out of order."""
    drawn = random.Random(seed)
    return [
        {
            "rack": f"r{drawn.randrange(6)}",
            "temp": drawn.randrange(20, 50),
            "ts": 1_000_000 + 50 * n + drawn.randrange(400),
        }
        for n in range(count)
    ]


def found_by_a_matcher(events: list[dict[str, Any]]) -> list[str]:
    matcher = Matcher(HEATING, key="rack")
    for event in events:
        matcher.feed(event)
    return sorted(written(match.kind, match.key, match.timestamp, match.events) for match in matcher.advance(END["ts"]))


def found_by_the_host(project: Project) -> set[str]:
    return {written(row["kind"], row["key"], row["timestamp"], row["events"]) for row in project.emitted()}


def written(kind: str, key: Any, timestamp: int, events: dict[str, Any]) -> str:
    return json.dumps([kind, key, timestamp, events], sort_keys=True)


def kill_host(project: Project) -> None:
    assert project.process is not None
    project.process.kill()
    project.process.wait()
    project.process = None


def kill_a_lane(project: Project) -> None:
    lane = project.status()["lanes"][0]
    os.kill(lane["pid"], signal.SIGKILL)
    eventually(lambda: project.status()["lanes"][0]["restarts"] > lane["restarts"], "the lane is started again")


def test_a_run_with_kills_finds_what_a_run_without_them_finds(tmp_path: Path) -> None:
    project = Project(tmp_path, source=RACKS)
    project.save("heating.rule.json", json.dumps(RULE))
    events = readings(1200, seed=7)
    expected = found_by_a_matcher([*events, END])
    assert len(expected) > 500
    with running(project):
        for part in range(6):
            project.send(*events[part * 200 : part * 200 + 200])
            eventually(lambda: len(project.emitted()) > part * 20, "matches come out")  # noqa: B023 - at once
            if part % 2:
                kill_a_lane(project)
            else:
                kill_host(project)
                project.start()
        project.send(END)
        eventually(lambda: found_by_the_host(project) >= set(expected), "everything is found")
        assert found_by_the_host(project) == set(expected)


def test_events_that_wait_for_their_time_are_there_after_a_kill_with_other_lanes(tmp_path: Path) -> None:
    project = Project(tmp_path, lanes=1, source=RACKS.replace("500ms", "1h"))
    project.save("heating.rule.json", json.dumps(RULE))
    events = readings(300, seed=8)
    expected = found_by_a_matcher([*events, END])
    with running(project):
        project.send(*events)
        eventually(lambda: project.status()["sources"]["gps"]["handled"] == 300, "everything is handled")
        checkpoint = project.status()["checkpoint"]["id"]
        eventually(lambda: project.status()["checkpoint"]["id"] > checkpoint or project.status(), "a checkpoint")
        assert project.emitted() == []
        kill_host(project)
        project.config.write_text(project.config.read_text().replace("lanes = 1", "lanes = 3"))
        project.start()
        project.send({**END, "ts": END["ts"] + 3_600_000})
        eventually(lambda: found_by_the_host(project) >= set(expected), "everything is found")
        assert found_by_the_host(project) == set(expected)
        assert len(project.emitted()) == len(expected)


def test_a_rule_with_a_key_of_its_own_sees_all_events_of_that_key_through_kills(tmp_path: Path) -> None:
    project = Project(tmp_path, lanes=3, source=RACKS.replace('key = "rack"', 'key = "sensor"'))
    project.save("heating.rule.json", json.dumps({**RULE, "key": "rack"}))
    events = [{**reading, "sensor": number % 17} for number, reading in enumerate(readings(600, seed=9))]
    expected = found_by_a_matcher([*events, END])
    with running(project):
        project.send(*events[:300])
        eventually(lambda: len(project.emitted()) > 20, "matches come out")
        kill_a_lane(project)
        project.send(*events[300:])
        kill_host(project)
        project.start()
        project.send(END)
        eventually(lambda: found_by_the_host(project) >= set(expected), "everything is found")
        assert found_by_the_host(project) == set(expected)


SELDOM = 'key = "k"\ntimestamp = "ts"\n[checkpoints]\ninterval = "1h"\n'
"""But for the checkpoint of a stop in order."""
NODES = [
    {"name": t, "type": "ATOMIC", "quantifier": SINGLE, "condition": {"type": "AVIATOR", "expression": f"t == '{t}'"}}
    for t in "ab"
]
A_THEN_B = {
    "name": "a then b",
    "type": "COMPOSITE",
    "quantifier": SINGLE,
    "nodes": NODES,
    "edges": [{"source": "a", "target": "b", "type": "SKIP_TILL_NEXT"}],
    "afterMatchStrategy": {"type": "NO_SKIP"},
}


def version(number: int, **fields: Any) -> str:
    return json.dumps({"version": number, "pattern": A_THEN_B, "function": "emit:out", "source": "gps", **fields})


def begin(project: Project) -> None:
    """Begin a partial match of the first version, and have it in a checkpoint; the host runs on."""
    project.send({"k": "x", "t": "a", "ts": 1000}, {"k": "x", "t": "-", "ts": 2000})
    eventually(lambda: [rule["open"] for rule in project.ask("/api/rules")] == [1], "a partial match")
    assert project.stop() == 0
    project.start()


def found_at_last(project: Project) -> list[tuple[str, int]]:
    """What is found by what has begun, and by what begins now: keys and the times of their first events."""
    events = [("x", "b", 3000), ("y", "a", 4000), ("y", "b", 5000), ("z", "-", 6000), ("z", "-", 7000)]
    project.send(*[{"k": k, "t": t, "ts": ts} for k, t, ts in events])
    eventually(lambda: "y" in {row["key"] for row in project.emitted()}, "what begins now is found")
    return [(row["key"], row["events"]["a"][0]["ts"]) for row in project.emitted()]


@pytest.mark.parametrize(
    ("fields", "kept"),
    [({"on_change": "carry"}, True), ({"on_change": "drain"}, True), ({"effective_at": 100_000}, True), ({}, False)],
    ids=str,
)
def test_a_change_since_the_last_checkpoint_is_made_again_after_the_host_was_killed(
    tmp_path: Path, fields: dict[str, Any], kept: bool
) -> None:
    project = Project(tmp_path, source=SELDOM)
    project.save("r.rule.json", version(1))
    with running(project):
        begin(project)
        project.save("r.rule.json", version(2, **fields))
        eventually(lambda: project.status()["generation"] == 2, "the second version runs")
        kill_host(project)
        project.start()
        assert found_at_last(project) == ([("x", 1000)] if kept else []) + [("y", 4000)]


def test_a_rollback_while_the_host_is_stopped_carries_what_has_begun(tmp_path: Path) -> None:
    project = Project(tmp_path, source=SELDOM)
    project.save("r.rule.json", version(1, on_change="carry"))
    with running(project):
        begin(project)
        project.save("r.rule.json", version(2, on_change="carry"))
        eventually(lambda: project.status()["generation"] == 2, "the second version runs")
        assert project.stop() == 0
        project.trimtab("rollback", "r.rule.json")
        project.start()
        assert found_at_last(project) == [("x", 1000), ("y", 4000)]
