"""What every command has in common: exit codes, messages, output that machines can read."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.command_line import project, stopped_host, trimtab
from trimtab import __version__

READING = [
    ["status"],
    ["history"],
    ["show", "a.py"],
    ["diff", "a.py"],
    ["rollback", "a.py"],
    ["dead-letters", "list"],
    ["dead-letters", "show", "1"],
    ["dead-letters", "purge", "--all"],
    ["dead-letters", "replay", "--all"],
]


@pytest.mark.parametrize(
    "arguments",
    [
        ["no-such-command"],
        ["status", "--no-such-option"],
        ["show"],
        ["rollback"],
        ["rollback", "a.py", "--generation", "1"],
        ["rollback", "--generation", "0"],
        ["rollback", "--generation", "9" * 30],
        ["rollback", "--generation", "1", "--to", "2"],
        ["dead-letters", "list", "--kind", "strange"],
        ["dead-letters", "list", "--since", "yesterday"],
        ["dead-letters", "show", "9" * 30],
        ["dead-letters", "purge"],
        ["dead-letters", "purge", "1", "--all"],
        ["dead-letters", "replay", "--all", "--script", "a.py"],
    ],
)
def test_wrong_usage_ends_with_2_and_says_why_on_stderr(tmp_path: Path, arguments: list[str]) -> None:
    done = trimtab(project(tmp_path), *arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    assert "rror" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("arguments", [*READING, ["run"], ["try", "a.py", "--events", "-"]])
def test_without_a_configuration_every_command_ends_with_2_and_says_how_to_get_one(
    tmp_path: Path, arguments: list[str]
) -> None:
    done = trimtab(tmp_path, *arguments)
    assert done.returncode == 2
    assert "trimtab init" in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", [b"[host\n", b"\xff", b"[host]\nstate = 1\n", b'[host]\nstate = "${NOT_SET}"\n'])
def test_a_broken_configuration_ends_with_2_and_one_line_for_each_problem(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "trimtab.toml").write_bytes(content)
    done = trimtab(tmp_path, "status")
    assert done.returncode == 2
    first, problem = done.stderr.splitlines()
    assert first == "error: the configuration is not valid"
    assert "expected" in problem


@pytest.mark.parametrize("arguments", READING)
def test_commands_work_while_the_rest_of_the_configuration_is_not_valid(tmp_path: Path, arguments: list[str]) -> None:
    stopped_host(tmp_path)
    with (tmp_path / "trimtab.toml").open("a") as file:
        file.write('[sinks.broken]\ntype = "nonsense"\n')
    done = trimtab(tmp_path, *arguments)
    # A rollback without a host has to know where the scripts lie.
    assert done.returncode == (2 if arguments[0] == "rollback" else 0), done.stderr


@pytest.mark.parametrize("arguments", READING[:4] + READING[5:6])
def test_looking_at_a_folder_leaves_no_trace_in_it(tmp_path: Path, arguments: list[str]) -> None:
    trimtab(project(tmp_path), *arguments)
    assert not (tmp_path / ".trimtab").exists()


@pytest.mark.parametrize("arguments", READING[:6])
def test_output_that_goes_to_a_pipe_has_no_colours(tmp_path: Path, arguments: list[str]) -> None:
    done = trimtab(stopped_host(tmp_path), *arguments)
    assert "\x1b" not in done.stdout + done.stderr


def test_a_reader_that_goes_away_is_no_error_worth_a_traceback(tmp_path: Path) -> None:
    stopped_host(tmp_path)
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-m", "trimtab", "history", "--json"]
    done = subprocess.run(command, cwd=tmp_path, stdout=write, stderr=subprocess.PIPE, text=True, check=False)
    os.close(write)
    assert (done.returncode, done.stderr) == (1, "")


@pytest.mark.parametrize("debug", [True, False])
def test_a_failure_that_nobody_foresaw_is_one_line_and_a_hint(tmp_path: Path, debug: bool) -> None:
    failing = (
        "import sys; from trimtab.cli import main, status; "
        "status.status = lambda *_args, **_options: 1 / 0; sys.argv[1:] = ['status']; main.main()"
    )
    env = {**os.environ, "TRIMTAB_DEBUG": "1" if debug else ""}
    done = subprocess.run([sys.executable, "-c", failing], cwd=tmp_path, env=env, capture_output=True, check=False)
    lines = done.stderr.decode().splitlines()
    assert done.returncode == 1
    assert (lines[0] == "error: ZeroDivisionError: division by zero") is not debug
    assert ("TRIMTAB_DEBUG=1" in lines[-1]) is not debug


def test_help_names_every_command(tmp_path: Path) -> None:
    text = trimtab(tmp_path, "--help").stdout
    for name in ("init", "run", "doctor", "status", "history", "show", "diff", "rollback", "try", "dead-letters"):
        assert name in text


def test_the_version_is_printed(tmp_path: Path) -> None:
    done = trimtab(tmp_path, "--version")
    assert (done.returncode, done.stdout) == (0, f"trimtab {__version__}\n")
