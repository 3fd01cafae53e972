"""Promise 3: nothing that was accepted is lost, and keyed state counts every event once, whatever is killed when."""

from __future__ import annotations

import json
import os
import signal
from collections import Counter
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.project import PATIENCE, Project, eventually, running

KEYED = 'key = "key"\n[checkpoints]\ninterval = "100ms"\n'
COUNTING = {
    "count.py": """
from trimtab import emit, state
def handle(event, ctx):
    emit("out", [ctx.id, ctx.key, state.incr("n")])
""",
    "count.js": """
import { emit, state } from "trimtab";
export function handle(event, ctx) { emit("out", [ctx.id, ctx.key, state.incr("n")]); }
""",
}
LANGUAGES = sorted(COUNTING)


def counting(folder: Path, script: str, **options: Any) -> Project:
    project = Project(folder, source=KEYED, **options)
    project.save(script, COUNTING[script])
    return project


def kill(project: Project) -> None:
    """End the host as a power cut does, and wait until its processes are gone."""
    assert project.process is not None
    project.process.kill()
    project.process.wait()
    project.process = None


def counts(project: Project, script: str, *keys: str) -> dict[str, Any]:
    """What the last checkpoint holds for keys under the name ``n``."""
    return {key: state_of(project, key)[script]["values"]["n"] for key in keys}


def state_of(project: Project, key: str) -> Any:
    return json.loads(project.trimtab("checkpoint", "state", key, "--json").stdout)["scripts"]


def handled(project: Project) -> int:
    return int(project.status()["sources"]["gps"]["handled"])


def rows(project: Project, count: int) -> list[Any]:
    """What came out, once there are that many different rows."""

    def found() -> list[Any] | None:
        emitted = project.emitted()
        return emitted if len({json.dumps(row) for row in emitted}) >= count else None

    return eventually(found, f"{count} rows are out")


def pass_all(project: Project) -> None:
    """Wait until everything that was sent, now or before the host was killed, has been handled."""
    project.send({"key": "last"})
    eventually(lambda: any(row[1] == "last" for row in project.emitted()), "the last event comes out")


@pytest.mark.parametrize("script", LANGUAGES)
def test_a_host_that_is_killed_counts_every_event_once_and_emits_each_at_least_once(
    tmp_path: Path, script: str
) -> None:
    project = counting(tmp_path, script)
    with running(project):
        for _ in range(3):
            project.send(*({"key": key} for key in "abcd" * 50))
            eventually(lambda: handled(project) > 100, "some were handled")
            kill(project)
            project.start()
        pass_all(project)
        assert project.stop() == 0
    assert counts(project, script, *"abcd") == dict.fromkeys("abcd", 150)
    emitted = [row for row in project.emitted() if row[1] != "last"]
    assert len({row[0] for row in emitted}) == 600
    # The same event counts to the same number each time it is handled: nothing of the other run is left.
    assert Counter((row[1], row[2]) for row in {tuple(row) for row in emitted}) == Counter(
        (key, number) for key in "abcd" for number in range(1, 151)
    )


@pytest.mark.parametrize("script", LANGUAGES)
def test_a_lane_that_is_killed_keeps_its_state_and_emits_nothing_twice(tmp_path: Path, script: str) -> None:
    project = counting(tmp_path, script)
    with running(project):
        for round_number in range(1, 4):
            project.send(*({"key": key} for key in "abcd" * 50))
            rows(project, round_number * 200 - 100)
            os.kill(project.status()["lanes"][round_number % 2]["pid"], signal.SIGKILL)
        emitted = rows(project, 600)
        assert project.stop() == 0
    assert sorted((row[1], row[2]) for row in emitted) == sorted((key, n) for key in "abcd" for n in range(1, 151))
    assert counts(project, script, *"abcd") == dict.fromkeys("abcd", 150)


def test_state_moves_with_its_keys_when_the_number_of_lanes_changes(tmp_path: Path) -> None:
    project = counting(tmp_path, "count.py", lanes=2)
    keys = [f"car-{number}" for number in range(20)]
    for lanes in (2, 3, 1):
        project.config.write_text(project.config.read_text().replace("lanes = 2", f"lanes = {lanes}"))
        with running(project):
            before = len(project.emitted())
            project.send(*({"key": key} for key in keys))
            rows(project, before + len(keys))
            assert project.stop() == 0
        project.config.write_text(project.config.read_text().replace(f"lanes = {lanes}", "lanes = 2"))
    assert counts(project, "count.py", *keys) == dict.fromkeys(keys, 3)


def test_events_without_key_share_one_state_over_all_lanes(tmp_path: Path) -> None:
    project = Project(tmp_path, lanes=2)
    project.save("count.py", COUNTING["count.py"])
    with running(project):
        for _ in range(20):
            project.send(*({"n": 1} for _ in range(10)))
        emitted = rows(project, 200)
    assert sorted(row[2] for row in emitted) == list(range(1, 201))


def test_events_that_were_accepted_by_http_survive_the_host(tmp_path: Path) -> None:
    project = Project(tmp_path, extra='[sources.hook]\ntype = "http"\nkey = "key"\n[checkpoints]\ninterval = "100ms"')
    project.save("count.py", COUNTING["count.py"].replace("def handle", "source = 'hook'\ndef handle"))
    accepted = 0
    with running(project):
        for _ in range(3):
            for _request in range(30):
                accepted += post(project, [{"key": "a"}, {"key": "b"}])
            kill(project)
            project.start()
        post(project, [{"key": "last"}])
        eventually(lambda: any(row[1] == "last" for row in project.emitted()), "the last event comes out")
        assert project.stop() == 0
    assert counts(project, "count.py", "a", "b") == {"a": accepted / 2, "b": accepted / 2}
    assert len({row[0] for row in project.emitted()}) == accepted + 1


def post(project: Project, events: list[Any]) -> int:
    """Send events until they are taken; returns how many there were."""

    def taken() -> bool:
        body = "".join(json.dumps(event) + "\n" for event in events)
        headers = {"Content-Type": "application/x-ndjson"}
        answer = httpx.post(
            f"{project.url}/sources/hook", content=body, headers=headers, timeout=PATIENCE, trust_env=False
        )
        return answer.status_code == 202

    assert eventually(taken, "the host takes events")
    return len(events)


TIMING = """
from trimtab import emit, state, timer
def handle(event, ctx):
    timer.after(event["in"], event["n"], time=event["time"])
    emit("out", ["set", ctx.key, event["n"]])
def on_timer(timer, ctx):
    emit("out", ["fired", ctx.key, timer["data"], state.incr("fired")])
"""


def test_a_timer_that_was_set_before_the_host_was_killed_fires_once_afterwards(tmp_path: Path) -> None:
    project = Project(tmp_path, source=KEYED)
    project.save("timing.py", TIMING)
    with running(project):
        project.send({"key": "a", "in": "500ms", "time": "processing", "n": 1})
        eventually(lambda: project.emitted() == [["set", "a", 1]], "the timer is set")
        eventually(lambda: "timing.py" in saved(project, "a"), "it is in a checkpoint")
        kill(project)
        project.start()
        eventually(lambda: ["fired", "a", 1, 1] in project.emitted(), "it fires")
        assert project.stop() == 0
    assert state_of(project, "a")["timing.py"]["timers"] == []


def saved(project: Project, key: str) -> Any:
    done = project.trimtab("checkpoint", "state", key, "--json", check=False)
    return json.loads(done.stdout)["scripts"] if done.returncode == 0 else {}


def test_timers_of_event_time_fire_when_the_watermark_passes_and_when_the_source_has_ended(tmp_path: Path) -> None:
    project = Project(tmp_path, source='key = "key"\ntimestamp = "ts"\nlateness = "1s"')
    project.config.write_text(project.config.read_text().replace("follow = true", "follow = false"))
    project.save("timing.py", TIMING)
    event = {"in": "10s", "time": "event"}
    project.send(*({**event, "key": key, "ts": ts, "n": ts} for key, ts in (("a", 0), ("b", 5_000), ("a", 11_000))))
    project.start()
    assert project.process is not None
    assert project.process.wait(PATIENCE) == 0
    fired = [row for row in project.emitted() if row[0] == "fired"]
    assert fired == [["fired", "a", 0, 1], ["fired", "b", 5_000, 1], ["fired", "a", 11_000, 2]]


def test_a_change_keeps_state_unless_the_new_version_wants_none_and_a_rollback_keeps_it_always(tmp_path: Path) -> None:
    project = counting(tmp_path, "count.py")
    source = COUNTING["count.py"]

    def count_after(change: Any) -> Any:
        change()
        file = project.events.stat()
        event = f"gps:{file.st_ino:x}:{file.st_size}"
        project.send({"key": "a"})
        return eventually(lambda: [row[2] for row in project.emitted() if row[0] == event], "it comes out")[0]

    def save(text: str) -> None:
        generation = project.status()["generation"]
        project.save("count.py", text)
        eventually(lambda: project.status()["generation"] > generation, "it runs")

    with running(project):
        assert count_after(lambda: None) == 1
        assert count_after(lambda: save(source + "# other\n")) == 2
        fresh = source.replace("import emit, state", "import emit, state as kept").replace("state.", "kept.")
        assert count_after(lambda: save(fresh + 'state = "discard"\n')) == 1
        assert count_after(lambda: save(source)) == 2
        assert count_after(lambda: project.trimtab("rollback", "count.py")) == 3
        kill(project)
        project.start()
        assert count_after(lambda: None) == 4


def test_replayed_dead_letters_count_once(tmp_path: Path) -> None:
    project = Project(tmp_path, source=KEYED)
    failing = COUNTING["count.py"].replace(
        "    emit(", "    state.set('seen', True)\n    assert event.get('ok')\n    emit("
    )
    project.save("count.py", failing)
    with running(project):
        project.send({"key": "a", "ok": True}, {"key": "a"}, {"key": "a", "ok": True})
        eventually(lambda: len(project.letters()) == 1, "one fails")
        assert [row[2] for row in rows(project, 2)] == [1, 2]
        project.save("count.py", COUNTING["count.py"])
        eventually(lambda: project.status()["generation"] == 2, "the fix runs")
        project.trimtab("dead-letters", "replay", "--all")
        assert [row[2] for row in rows(project, 3)] == [1, 2, 3]
        kill(project)
        project.start()
        assert project.status()["dead_letters"] == 0
        assert project.stop() == 0
    assert counts(project, "count.py", "a") == {"a": 3}
