"""A lane that is started again, for whatever reason, runs what the others run, and loses nothing on the way."""

from __future__ import annotations

import os
import signal
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.project import WRITES, Numbers, Project, eventually, running

GENERATION = """
from trimtab import emit
VERSION = {version}
def handle(event, ctx):
    emit("out", [ctx.script, VERSION, ctx.generation, event["n"]])
"""
OPENING = (
    GENERATION
    + """
import os, time
def open():
    with __builtins__["open"]({marker!r}, "a") as file:
        file.write(f"{{os.getpid()}}\\n")
    time.sleep(0.5)
"""
)
LEAK = """
from trimtab import emit
held = []
def handle(event, ctx):
    held.append(b"x" * 50_000)
    emit("out", [len(held), event["n"]])
def close():
    with open({marker!r}, "a") as file:
        file.write(f"{{len(held)}}\\n")
"""
LEAK_JS = """
import { emit } from "trimtab";
const held = [];
export function handle(event) {
  held.push(new Uint8Array(2e6));
  emit("out", [held.length, event.n]);
}
"""
NEEDS_FILE = """
from pathlib import Path
from trimtab import emit, handler

def open():
    if not Path({needed!r}).exists():
        {failure}

@handler(source="gps", where="n >= 100")
def needy(event, ctx):
    emit("out", ["needy", event["n"]])
"""
OTHER = """
from trimtab import emit
def handle(event, ctx):
    emit("out", ["other", event["n"]])
"""


def pids(project: Project) -> list[int]:
    return [lane["pid"] for lane in project.status()["lanes"] if lane["pid"] is not None]


def send_until_seen(numbers: Numbers, project: Project, version: int) -> None:
    numbers.send_until(lambda: any(row[1] == version for row in project.emitted()), f"an event on version {version}")


def one_generation_each(rows: list[Any], sent: int) -> None:
    """Both scripts handled each event once and by the same generation, and generations never go back."""
    seen: dict[str, dict[int, tuple[int, int]]] = defaultdict(dict)
    for script, version, generation, n in rows:
        assert n not in seen[script]
        seen[script][n] = (version, generation)
    assert set(seen["a.py"]) == set(range(sent))
    assert seen["a.py"] == seen["b.py"]
    for column in (0, 1):
        values = [seen["a.py"][n][column] for n in range(sent)]
        assert values == sorted(values)


@pytest.mark.parametrize("victim", ["first to open", "second to open", "prepared already"])
def test_a_lane_killed_while_a_change_is_prepared_leaves_no_mix(tmp_path: Path, victim: str) -> None:
    project = Project(tmp_path, lanes=2, extra=WRITES)
    project.checkout({name: GENERATION.format(version=1) for name in ("a.py", "b.py")})
    marker = tmp_path / "opening"
    marker.touch()
    numbers = Numbers(project)
    with running(project):
        numbers.send(10)
        opening = OPENING.format(version=2, marker=str(marker))
        project.checkout({"a.py": opening, "b.py": GENERATION.format(version=2)})
        wanted = 1 if victim == "first to open" else 2
        openers = numbers.send_until(lambda: p if len(p := marker.read_text().split()) >= wanted else None, "open")
        os.kill(int(openers[1 if victim == "second to open" else 0]), signal.SIGKILL)
        numbers.send_until(lambda: project.logged("generation 2") or project.logged("refused"), "an outcome")
        refused = "prepared" not in victim
        status = project.status()
        assert status["generation"] == (1 if refused else 2)
        assert ("LaneDied" in str(project.script("a.py")["error"])) == refused
        assert sum(lane["restarts"] for lane in status["lanes"]) == 1
        project.checkout({name: GENERATION.format(version=3) for name in ("a.py", "b.py")})
        send_until_seen(numbers, project, 3)
        eventually(lambda: len(project.emitted()) == 2 * numbers.sent, "every event is out")
        assert project.letters() == []
        assert project.stop() == 0
    rows = project.emitted()
    one_generation_each(rows, numbers.sent)
    assert {row[1] for row in rows} == ({1, 3} if refused else {1, 2, 3})


def test_a_lane_killed_between_changes_comes_back_with_the_running_generation(tmp_path: Path) -> None:
    project = Project(tmp_path, lanes=2)
    numbers = Numbers(project)
    project.checkout({name: GENERATION.format(version=0) for name in ("a.py", "b.py")})
    with running(project):
        for version in range(1, 6):
            numbers.send(200)
            os.kill(pids(project)[version % 2], signal.SIGKILL)
            project.checkout({name: GENERATION.format(version=version) for name in ("a.py", "b.py")})
            send_until_seen(numbers, project, version)
        eventually(lambda: len(project.emitted()) == 2 * numbers.sent, "every event is out")
        assert sum(lane["restarts"] for lane in project.status()["lanes"]) == 5
        assert project.stop() == 0
    one_generation_each(project.emitted(), numbers.sent)


def test_a_lane_whose_python_scripts_leak_is_replaced_before_memory_runs_out(tmp_path: Path) -> None:
    project = Project(tmp_path, lanes=1, extra=WRITES)
    marker = tmp_path / "closed"
    project.save("leak.py", LEAK.format(marker=str(marker)))
    numbers = Numbers(project)
    with running(project):
        numbers.send(25_000)
        rows = numbers.all_out()
        status = project.status()
        assert project.letters() == []
        assert project.stop() == 0
    assert [row[-1] for row in rows] == list(range(25_000))
    assert status["lanes"][0]["restarts"] == len(project.logged("recycled")) >= 2
    assert sum(map(int, marker.read_text().split())) == 25_000, "each instance was closed, after its last event"


def test_a_javascript_script_that_leaks_costs_single_events_and_is_rebuilt(tmp_path: Path) -> None:
    project = Project(tmp_path, lanes=1)
    project.save("leak.js", LEAK_JS)
    with running(project):
        Numbers(project).send(300)
        eventually(lambda: project.status()["sources"]["gps"]["handled"] == 300, "every event is handled")
        letters, status = project.letters(), project.status()
    assert letters
    assert {letter["fault"]["name"] for letter in letters} == {"MemoryLimitExceeded"}
    handled = sorted([row[-1] for row in project.emitted()] + [int(letter["payload"][6:-1]) for letter in letters])
    assert handled == list(range(300))
    assert len(letters) <= 300 // 50
    assert status["lanes"][0]["restarts"] == 0


@pytest.mark.parametrize(
    ("failure", "fault", "lost"),
    [
        ("raise FileNotFoundError('no map')", "FileNotFoundError", [101, 102]),
        # Nothing is known of a script that cannot even be loaded, so it could have been for every event.
        ("import os; os._exit(5)", "LaneDied", [1, 101, 102]),
    ],
    ids=["throws", "dies"],
)
def test_a_script_that_cannot_be_opened_again_keeps_no_other_from_running(
    tmp_path: Path, failure: str, fault: str, lost: list[int]
) -> None:
    needed = tmp_path / "needed"
    needed.touch()
    project = Project(tmp_path, lanes=1)
    source = NEEDS_FILE.format(needed=str(needed), failure=failure)
    project.save("needy.py", source)
    project.save("other.py", OTHER)
    with running(project):
        project.send({"n": 100})
        eventually(lambda: len(project.emitted()) == 2, "both scripts run")
        needed.unlink()
        os.kill(pids(project)[0], signal.SIGKILL)
        project.send({"n": 1}, {"n": 101}, {"n": 102})
        eventually(lambda: project.status()["sources"]["gps"]["handled"] == 4, "the events are handled")
        assert [row for row in project.emitted() if row[1] != 100] == [["other", 1], ["other", 101], ["other", 102]]
        assert fault in project.script("needy.py")["error"]
        letters = project.letters()
        assert [letter["payload"] for letter in letters] == [f'{{"n": {n}}}' for n in lost]
        assert {(letter["script"], letter["fault"]["name"]) for letter in letters} == {("needy.py", fault)}
        project.save("needy.py", source.replace(failure, "pass"))
        eventually(lambda: project.status()["generation"] == 2, "the corrected script is committed")
        project.send({"n": 103})
        eventually(lambda: ["needy", 103] in project.emitted(), "the corrected script runs")
        replayed = project.trimtab("dead-letters", "replay", "--all")
        assert f"{len(lost)} handled, 0 failed" in replayed.stdout
        assert project.script("needy.py")["error"] is None
        assert project.stop() == 0
    assert [row for row in project.emitted() if row[0] == "needy"][-2:] == [["needy", 101], ["needy", 102]]
