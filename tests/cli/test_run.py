"""``trimtab run``: what it says, and how signals end it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import pytest

from tests.cli.command_line import trimtab

CONFIG = """
[host]
lanes = 1
listen = "127.0.0.1:0"

[sources.events]
type = "http"

[sinks.out]
type = "stdout"
"""

SCRIPT = "def handle(event, ctx):\n    pass\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts" / "a.py").write_text(SCRIPT)
    (tmp_path / "trimtab.toml").write_text(CONFIG)
    return tmp_path


@contextmanager
def running(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """A host, as it is started; killed at the end if it still runs."""
    command = [sys.executable, "-m", "trimtab", "run"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=folder, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def until(stream: IO[str] | None, text: str) -> list[dict[str, Any]]:
    """Read the log up to the line whose event holds a text."""
    assert stream is not None
    entries: list[dict[str, Any]] = []
    for line in stream:
        entries.append(json.loads(line))
        if text in entries[-1]["event"]:
            return entries
    raise AssertionError(f"the log ended without {text!r}: {entries}")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_drains_and_ends_with_0(folder: Path, number: signal.Signals) -> None:
    with running(folder) as process:
        until(process.stderr, "listening")
        process.send_signal(number)
        assert process.wait(20) == 0
    assert not (folder / ".trimtab" / "host.json").exists()


def test_it_says_what_it_loaded_what_changed_and_why_a_change_was_refused(folder: Path) -> None:
    with running(folder) as process:
        first, *_, generation, _listening = until(process.stderr, "listening")
        assert (first["sources"], first["sinks"], first["lanes"]) == ("events (http)", "out (stdout)", 1)
        assert "generation 1: a.py added" in generation["event"]
        assert {"check_ms", "prepare_ms", "commit_ms"} <= generation.keys()
        (folder / "scripts" / "b.py").write_text(SCRIPT)
        assert "b.py added" in until(process.stderr, "generation 2")[-1]["event"]
        (folder / "scripts" / "b.py").write_text("x = (\n")
        assert "b.py:1" in until(process.stderr, "refused")[-1]["event"]


def test_a_second_host_on_the_same_state_is_refused_by_the_name_of_the_first(folder: Path) -> None:
    with running(folder) as process:
        until(process.stderr, "listening")
        second = trimtab(folder, "run")
        assert second.returncode == 1
        assert f"process id {process.pid}" in second.stderr


def test_a_configuration_that_is_not_valid_ends_with_2_before_anything_starts(folder: Path) -> None:
    (folder / "trimtab.toml").write_text('[host]\nlanes = 0\n[sources.a]\ntype = "nonsense"\n')
    done = trimtab(folder, "run")
    assert done.returncode == 2
    assert "host.lanes" in done.stderr
    assert "sources.a.type" in done.stderr
    assert not (folder / ".trimtab").exists()


def test_ctrl_c_ends_another_command_with_130_and_no_traceback(folder: Path) -> None:
    command = [sys.executable, "-m", "trimtab", "try", "scripts/a.py", "--events", "-"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=folder, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as process:
        assert process.stdin is not None
        assert process.stderr is not None
        process.stdin.write("nonsense\n" * 2_000)
        process.stdin.flush()
        assert "failed" in process.stderr.readline()
        process.send_signal(signal.SIGINT)
        _out, err = process.communicate(timeout=20)
        assert process.returncode == 130
        assert "Traceback" not in err
