"""Commands that talk to a running host, through the real command line."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.control.still_host import FAULT, running
from trimtab.runtime.dead_letters import DeadLetter, DeadLetters


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    (tmp_path / "trimtab.toml").write_text("")
    with running(tmp_path / ".trimtab"):
        yield tmp_path


def trimtab(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "trimtab", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=30, check=False)


def test_status_is_the_running_host_s_own(folder: Path) -> None:
    status = json.loads(trimtab(folder, "status", "--json").stdout)
    assert (status["running"], status["uptime_s"], status["lanes"][0]["pid"]) == (True, 12.5, 1)
    text = trimtab(folder, "status").stdout
    assert "generation 2, up 12 s, 0 dead letters" in text
    assert "3 rules run, 1 of them rolled back, 1 refused" in text
    for word in ("a.js", "gps", "received", "alarms", "written", "sql.orders", "running", "heat.rule.json"):
        assert word in text


def test_history_is_read_beside_the_running_host(folder: Path) -> None:
    assert trimtab(folder, "show", "a.js").stdout == "two\n"


def test_rollback_is_done_by_the_running_host(folder: Path) -> None:
    assert trimtab(folder, "rollback", "a.js", "--to", "1").stdout == "generation 3: a.js changed\n"
    assert json.loads(trimtab(folder, "rollback", "--generation", "1", "--json").stdout)["generation"] == 3


def test_a_refused_rollback_ends_with_1_and_names_the_fault(folder: Path) -> None:
    done = trimtab(folder, "rollback", "a.js", "--to", "broken")
    assert done.returncode == 1
    assert done.stderr == "error: the change was refused\n  a.js: a.js:2:1: SyntaxError: unexpected end\n"


def test_a_replay_ends_with_1_when_a_letter_fails_again(folder: Path) -> None:
    letters = DeadLetters(folder / ".trimtab" / "dead-letters.db")
    letters.add_many([DeadLetter(kind="sink", payload=b"{}", source="gps", fault=FAULT, at=n) for n in range(3)])
    letters.close()
    done = trimtab(folder, "dead-letters", "replay", "--all")
    assert done.returncode == 1
    assert done.stdout == "2: TypeError: again\n2 handled, 1 failed again\n"
    lines = trimtab(folder, "dead-letters", "replay", "1", "3", "--json")
    assert lines.returncode == 0
    assert [json.loads(line)["id"] for line in lines.stdout.splitlines()] == [1, 3]


def test_a_replay_against_an_unknown_version_ends_with_2(folder: Path) -> None:
    letters = DeadLetters(folder / ".trimtab" / "dead-letters.db")
    letters.add_many([DeadLetter(kind="sink", payload=b"{}", source="gps", fault=FAULT, at=1)])
    letters.close()
    done = trimtab(folder, "dead-letters", "replay", "1", "--version", "unknown")
    assert (done.returncode, done.stderr) == (2, "error: unknown version\n")


def test_without_a_matching_letter_there_is_nothing_to_replay(folder: Path) -> None:
    done = trimtab(folder, "dead-letters", "replay", "--script", "nope.py")
    assert (done.returncode, done.stdout) == (0, "no dead letters to replay\n")


def test_a_broken_configuration_does_not_hide_the_running_host(folder: Path) -> None:
    (folder / "trimtab.toml").write_text("[host\n")
    done = trimtab(folder, "status", "--json")
    assert (done.returncode, json.loads(done.stdout)["running"]) == (0, True)
    assert done.stderr.startswith("warning: ")
    assert "trimtab.toml: expected a readable TOML file" in done.stderr
    assert trimtab(folder, "rollback", "a.js", "--to", "1").returncode == 0
