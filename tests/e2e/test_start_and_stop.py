"""Starting, draining, ending at once, and what a killed host leaves behind."""

from __future__ import annotations

import json
import signal
import stat
import subprocess
import sys
from pathlib import Path

import httpx
import psutil
import pytest

from tests.e2e.project import PATIENCE, WRITES, Numbers, Project, eventually, running

PLAIN = {
    "js": 'import { emit } from "trimtab";\nexport function handle(event) { emit("out", ["js", event.n]); }\n',
    "py": 'from trimtab import emit\ndef handle(event, ctx):\n    emit("out", ["py", event["n"]])\n',
}
SLOW = {
    "js": """
import { emit, log } from "trimtab";
export function handle(event) {
  for (const end = Date.now() + 10; Date.now() < end; ) {}
  emit("out", ["js", event.n]);
}
export function close() { log.info("closed"); }
""",
    "py": """
import time
from trimtab import emit, log
def handle(event, ctx):
    time.sleep(0.01)
    emit("out", ["py", event["n"]])
def close():
    log.info("closed")
""",
}
STUCK = """
import time
from trimtab import handler, log
@handler(timeout="50s")
def handle(event, ctx):
    with open(EVENT_SEEN, "w"):
        pass
    time.sleep(50)
"""


@pytest.mark.parametrize("language", ["js", "py"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_drains_the_host(tmp_path: Path, language: str, number: signal.Signals) -> None:
    project = Project(tmp_path)
    project.save(f"work.{language}", SLOW[language])
    with running(project):
        numbers = Numbers(project)
        numbers.send(200)
        eventually(lambda: project.status()["sources"]["gps"]["received"] == 200, "everything is read")
        assert len(project.emitted()) < 200, "the handler is too fast for this test"
        assert project.stop(number) == 0
    assert [n for _, n in numbers.all_out()] == list(range(200))
    assert len(project.logged("closed")) == 2, "each lane closes the script"
    assert not (tmp_path / ".trimtab" / "host.json").exists()


def test_a_second_signal_ends_the_host_at_once(tmp_path: Path) -> None:
    project = Project(tmp_path, extra=WRITES)
    entered = tmp_path / "entered"
    project.save("work.py", STUCK.replace("EVENT_SEEN", repr(str(entered))))
    with running(project):
        assert project.process is not None
        children = psutil.Process(project.process.pid).children(recursive=True)
        project.send({"n": 0})
        eventually(entered.exists, "the handler is busy")
        project.process.send_signal(signal.SIGTERM)
        eventually(lambda: project.logged("stopping"), "the host drains")
        assert project.process.poll() is None
        assert project.stop() == 1
    assert len(project.logged("stopped at once")) == 1
    assert gone(children)


def gone(processes: list[psutil.Process]) -> bool:
    """Whether all these processes end."""
    _, alive = psutil.wait_procs(processes, timeout=PATIENCE)
    return not alive


def finite(folder: Path, source: str) -> Project:
    """A project whose one source ends."""
    project = Project(folder)
    for name, text in PLAIN.items():
        project.save(f"work.{name}", text)
    text = project.config.read_text()
    followed = 'type = "file"\npath = "events.jsonl"\nfollow = true'
    assert followed in text
    project.config.write_text(text.replace(followed, source))
    return project


def run(project: Project, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """Run the host to its own end."""
    command = [sys.executable, "-m", "trimtab", "run", "--config", str(project.config)]
    return subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=PATIENCE, check=False)


def test_a_host_of_finite_sources_ends_by_itself_when_all_is_handled(tmp_path: Path) -> None:
    project = finite(tmp_path, 'type = "file"\npath = "events.jsonl"\nfollow = false')
    project.send(*({"n": n} for n in range(20_000)))
    done = run(project)
    assert done.returncode == 0, done.stderr
    for language in ("js", "py"):
        assert sorted(n for kind, n in project.emitted() if kind == language) == list(range(20_000))


def test_events_come_through_a_pipe(tmp_path: Path) -> None:
    project = finite(tmp_path, 'type = "stdin"')
    project.config.write_text(
        project.config.read_text().replace('type = "file"\npath = "out.jsonl"', 'type = "stdout"')
    )
    done = run(project, "".join(json.dumps({"n": n}) + "\n" for n in range(1000)))
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert sorted(rows) == sorted([language, n] for language in ("js", "py") for n in range(1000))


def test_a_second_host_on_the_same_state_folder_is_refused(tmp_path: Path) -> None:
    project = Project(tmp_path)
    with running(project):
        assert project.process is not None
        second = run(project)
        assert second.returncode == 1
        assert f"process id {project.process.pid}" in second.stderr
        assert project.status()["running"]
        assert project.stop() == 0


def test_an_invalid_configuration_is_reported_whole(tmp_path: Path) -> None:
    project = Project(tmp_path)
    project.config.write_text(
        '[host]\nlanes = "two"\n[sources.gps]\ntype = "fiel"\npath = "x"\n[sinks.out]\ntype = "file"\n[hots]\n'
    )
    done = run(project)
    assert done.returncode == 2
    for problem in ("host.lanes: expected", "sources.gps.type: expected", "sinks.out.path: expected", "hots: "):
        assert problem in done.stderr
    assert not (tmp_path / ".trimtab").exists()


@pytest.mark.parametrize("busy", [False, True])
def test_a_killed_host_leaves_no_process_behind_and_the_next_one_starts(tmp_path: Path, busy: bool) -> None:
    project = Project(tmp_path, extra=WRITES)
    entered = tmp_path / "entered"
    if busy:
        project.save("stuck.py", STUCK.replace("EVENT_SEEN", repr(str(entered))))
    project.save("work.py", PLAIN["py"])
    with running(project):
        assert project.process is not None
        children = psutil.Process(project.process.pid).children(recursive=True)
        lanes = {lane["pid"] for lane in project.status()["lanes"]}
        assert lanes < {child.pid for child in children}, "the lanes, and the nursery that forks them"
        if busy:
            project.send({"n": -1})
            eventually(entered.exists, "the handler is busy")
        assert project.stop(signal.SIGKILL) == -signal.SIGKILL
        assert gone(children)
        (project.scripts / "stuck.py").unlink(missing_ok=True)
        project.start()
        numbers = Numbers(project)
        numbers.send(5)
        eventually(lambda: {n for _, n in project.emitted()} >= set(range(5)), "events are handled")
        assert project.stop() == 0


def test_the_control_api_asks_for_its_token(tmp_path: Path) -> None:
    project = Project(tmp_path)
    with running(project):
        token = tmp_path / ".trimtab" / "control.token"
        assert stat.S_IMODE(token.stat().st_mode) == 0o600
        with httpx.Client(base_url=project.url) as client:
            assert client.get("/healthz").status_code == 200
            assert client.get("/api/status").status_code == 401
            assert client.get("/api/status", headers={"Authorization": "Bearer wrong"}).status_code == 401
            assert client.post("/api/rollback", json={"name": "x"}).status_code == 401
            answer = client.get("/api/status", headers={"Authorization": f"Bearer {token.read_text().strip()}"})
            assert answer.json()["generation"] == 1
