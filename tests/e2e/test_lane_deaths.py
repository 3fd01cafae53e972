"""Promises 3 and 4: a lane that dies, whatever killed it, loses nothing and doubles nothing; the rest goes on."""

from __future__ import annotations

import hashlib
import json
import os
import signal
from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.e2e.project import Project, eventually, running

# Path order puts one before and one after every script that kills.
BYSTANDERS = {
    "a.py": """
from trimtab import emit
def handle(event, ctx):
    emit("out", [ctx.script, event["key"], event["n"]])
""",
    "z.js": """
import { emit } from "trimtab";
export function handle(event, ctx) { emit("out", [ctx.script, event.key, event.n]); }
""",
}
PYTHON = """
import ctypes, os, signal
from trimtab import emit, handler

@handler(timeout="100ms")
def handle(event, ctx):
    if event.get("do") == ctx.script:
        {code}
    emit("out", [ctx.script, event["key"], event["n"]])
"""
JAVASCRIPT = """
import {{ emit }} from "trimtab";
export const timeout = "100ms";
export function handle(event, ctx) {{
  if (event.do === ctx.script) {{ {code} }}
  emit("out", [ctx.script, event.key, event.n]);
}}
"""
DEADLY = {
    "exit.py": ("os._exit(3)", "exit code 3"),
    "abort.py": ("os.abort()", "signal 6"),
    "kill.py": ("os.kill(os.getpid(), signal.SIGKILL)", "signal 9"),
    "null.py": ("ctypes.string_at(0)", "signal 11"),
}
STUCK = {
    "stuck.py": ("sum(range(10**13))", "cannot be interrupted"),
    "stuck.js": ('"a".repeat(4e6).indexOf("a".repeat(2e6) + "b");', "cannot be interrupted"),
}
SLOW = """
import time
from trimtab import emit
def handle(event, ctx):
    time.sleep(0.001)
    emit("out", [ctx.script, event["key"], event["n"]])
"""


def source_of(name: str, code: str) -> str:
    return (PYTHON if name.endswith(".py") else JAVASCRIPT).format(code=code)


def events(count: int, **deadly: int) -> list[dict[str, Any]]:
    """Numbered events of eight keys; ``deadly``: by script, the number of the event that it dies of."""
    made: list[dict[str, Any]] = [{"n": n, "key": f"k{n % 8}"} for n in range(count)]
    for script, n in deadly.items():
        made[n]["do"] = script
    return made


def handled(project: Project, count: int) -> dict[str, Any]:
    """Wait until so many events are handled; returns the status then."""

    def look() -> dict[str, Any] | None:
        status = project.status()
        return status if status["sources"]["gps"]["handled"] >= count else None

    return eventually(look, f"{count} events are handled")


def wait_for_rows(project: Project, count: int) -> None:
    eventually(lambda: len(project.emitted()) > count, f"{count} rows are out")


def check(rows: Iterable[Any], scripts: Iterable[str], sent: list[dict[str, Any]]) -> None:
    """Every script emitted once for every event but the one it died of, in the order of each key."""
    expected = {(script, e["key"], e["n"]) for script in scripts for e in sent if e.get("do") != script}
    counts = Counter(map(tuple, rows))
    assert set(counts) == expected
    assert set(counts.values()) == {1}, [row for row, count in counts.items() if count > 1]
    last: dict[tuple[str, str], int] = defaultdict(lambda: -1)
    for script, key, n in rows:
        assert last[script, key] < n, f"{script}: event {n} of key {key} came out of order"
        last[script, key] = n


def restarts(status: dict[str, Any]) -> int:
    return sum(lane["restarts"] for lane in status["lanes"])


def pids(project: Project) -> list[int]:
    return [lane["pid"] for lane in project.status()["lanes"] if lane["pid"] is not None]


@pytest.mark.parametrize(("deadly", "lanes"), [(DEADLY, 1), (DEADLY, 2), (STUCK, 2)], ids=["crash", "crash-2", "stuck"])
def test_events_that_kill_a_lane_cost_only_the_script_that_did_it(
    tmp_path: Path, deadly: dict[str, tuple[str, str]], lanes: int
) -> None:
    project = Project(tmp_path, lanes=lanes, source='key = "key"')
    scripts = BYSTANDERS | {name: source_of(name, code) for name, (code, _says) in deadly.items()}
    for name, source in scripts.items():
        project.save(name, source)
    sent = events(200, **{name: 50 + 3 * number for number, name in enumerate(deadly)})
    with running(project):
        project.send(*sent)
        status = handled(project, len(sent))
        letters = {letter["script"]: letter for letter in project.letters()}
        assert len(project.letters()) == len(letters)
        assert project.stop() == 0
    check(project.emitted(), scripts, sent)
    assert set(letters) == set(deadly)
    for name, (_code, says) in deadly.items():
        letter = letters[name]
        assert letter["version"] == hashlib.sha256(scripts[name].encode()).hexdigest()
        assert letter["fault"]["name"] == "LaneDied"
        assert says in letter["fault"]["message"]
        assert (letter["tries"], letter["generation"], letter["kind"]) == (2, 1, "handler")
        assert json.loads(letter["payload"])["do"] == name
    assert 2 * len(deadly) >= restarts(status) > len(deadly)
    assert status["dead_letters"] == len(deadly)


def test_one_event_may_kill_in_two_scripts(tmp_path: Path) -> None:
    project = Project(tmp_path, lanes=1, source='key = "key"')
    for name, source in BYSTANDERS.items():
        project.save(name, source)
    for name in ("k1.py", "k2.py"):
        project.save(name, PYTHON.format(code="pass").replace("ctx.script:", "'both': os._exit(1)\n    if False:"))
    sent = events(20)
    sent[7]["do"] = "both"
    with running(project):
        project.send(*sent)
        handled(project, len(sent))
        letters = project.letters()
    assert sorted(letter["script"] for letter in letters) == ["k1.py", "k2.py"]
    assert {letter["position"] for letter in letters} == {letters[0]["position"]}
    check([row for row in project.emitted() if row[0] in BYSTANDERS], BYSTANDERS, sent)


@pytest.mark.parametrize("source", ['key = "key"', ""], ids=["keyed", "unkeyed"])
def test_a_killer_in_the_middle_of_heavy_load_loses_and_doubles_nothing(tmp_path: Path, source: str) -> None:
    project = Project(tmp_path, lanes=2, source=source)
    scripts = BYSTANDERS | {"kill.py": source_of("kill.py", "os._exit(9)")}
    for name, text in scripts.items():
        project.save(name, text)
    sent = events(40_000)
    for n in (11_111, 11_112, 22_222):
        sent[n]["do"] = "kill.py"
    project.send(*sent)
    with running(project):
        status = handled(project, len(sent))
        assert project.stop() == 0
    assert restarts(status) >= 3
    assert status["dead_letters"] == 3
    rows = project.emitted()
    check(rows if source else sorted(rows, key=lambda row: row[2]), scripts, sent)


def test_a_lane_killed_from_outside_under_load_loses_and_doubles_nothing(tmp_path: Path) -> None:
    project = Project(tmp_path, lanes=2, source='key = "key"')
    project.save("slow.py", SLOW)
    project.save("z.js", BYSTANDERS["z.js"])
    sent = events(4000)
    with running(project):
        project.send(*sent)
        for number, part in enumerate((500, 1200, 2000)):
            wait_for_rows(project, 2 * part)
            os.kill(pids(project)[number % 2], signal.SIGKILL)
        status = handled(project, len(sent))
        assert project.stop() == 0
    check(project.emitted(), ["slow.py", "z.js"], sent)
    assert restarts(status) == 3
    assert status["dead_letters"] == 0


def test_the_nursery_killed_from_outside_is_replaced(tmp_path: Path) -> None:
    project = Project(tmp_path, lanes=2, source='key = "key"')
    project.save("slow.py", SLOW)
    sent = events(2000)
    with running(project):
        project.send(*sent)
        wait_for_rows(project, 300)
        before = nurseries(project)
        workers = [child.pid for child in before[0].children()]
        os.kill(before[0].pid, signal.SIGKILL)
        handled(project, len(sent))
        after = eventually(lambda: nurseries(project), "another nursery runs")
        assert [p.pid for p in after] != [p.pid for p in before]
        assert len(after) == len(before) == 1
        assert not any(psutil.pid_exists(pid) and psutil.Process(pid).status() != "zombie" for pid in workers)
        project.save("slow.py", SLOW.replace("0.001", "0"))
        eventually(lambda: project.status()["generation"] == 2, "a change after it is committed")
        sent += (more := [{"n": 2000, "key": "k0"}])
        project.send(*more)
        handled(project, len(sent))
        assert project.letters() == []
        assert project.stop() == 0
    check(project.emitted(), ["slow.py"], sent)


def nurseries(project: Project) -> list[psutil.Process]:
    assert project.process is not None
    return [c for c in psutil.Process(project.process.pid).children() if c.status() != "zombie"]


def test_a_host_does_not_end_before_what_killed_a_lane_is_handled_by_the_others(tmp_path: Path) -> None:
    project = Project(tmp_path, lanes=2)
    project.config.write_text(project.config.read_text().replace("follow = true", "follow = false"))
    scripts = BYSTANDERS | {"kill.py": source_of("kill.py", "os._exit(9)")}
    for name, text in scripts.items():
        project.save(name, text)
    sent = events(10, **{"kill.py": 9})
    project.send(*sent)
    project.trimtab("run")
    check(project.emitted(), scripts, sent)
    assert [letter["script"] for letter in project.letters()] == ["kill.py"]
