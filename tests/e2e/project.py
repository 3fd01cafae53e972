"""A project in a temporary folder with a real host process: what the end-to-end tests drive."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import httpx

Value = TypeVar("Value")

PATIENCE = 60.0
"""Seconds that a condition may take to come true: far more than it takes, so that a loaded machine does not fail."""


def eventually(look: Callable[[], Value | None], what: str) -> Value:
    """Return what ``look`` sees, once that is true."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if value := look():
            return value
        time.sleep(0.01)
    raise AssertionError(f"not within {PATIENCE:.0f} s: {what}; last seen: {look()!r}")


WRITES = '[sandbox]\nwrites = ["."]'
"""For scripts that leave marks beside the configuration: lanes that are confined may not, else."""


class Project:
    """A configuration, scripts, events and a host."""

    def __init__(self, folder: Path, *, lanes: int = 2, source: str = "", extra: str = "") -> None:
        self.folder = folder
        self.scripts = folder / "scripts"
        self.scripts.mkdir()
        self.events = folder / "events.jsonl"
        self.events.touch()
        self.config = folder / "trimtab.toml"
        self.config.write_text(
            f'[host]\nlanes = {lanes}\nlisten = "127.0.0.1:0"\n'
            f'[sources.gps]\ntype = "file"\npath = "events.jsonl"\nfollow = true\n{source}\n'
            f'[sinks.out]\ntype = "file"\npath = "out.jsonl"\n{extra}\n'
        )
        self.process: subprocess.Popen[str] | None = None
        self.log = folder / "host.log"

    # --- files ---

    def save(self, name: str, source: str | bytes) -> None:
        """Save a script as editors do: a new file under a temporary name, then renamed."""
        path = self.scripts / name
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.tmp")
        temporary.write_bytes(source.encode() if isinstance(source, str) else source)
        temporary.rename(path)

    def checkout(self, files: Mapping[str, str | bytes | None]) -> None:
        """Change several scripts (None: delete) as git does, under its lock: one change set, however slow the machine."""
        lock = self.folder / ".git" / "index.lock"
        lock.parent.mkdir(exist_ok=True)
        lock.touch()
        for name, source in files.items():
            if source is None:
                (self.scripts / name).unlink()
            else:
                self.save(name, source)
        lock.unlink()

    def send(self, *events: Any) -> None:
        """Append events to the file that the host reads."""
        with self.events.open("a") as file:
            file.write("".join(json.dumps(event) + "\n" for event in events))

    def emitted(self) -> list[Any]:
        """Everything that scripts have emitted to the sink ``out``."""
        path = self.folder / "out.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    # --- the host ---

    def start(self) -> None:
        """Start the host and wait until it listens."""
        with self.log.open("a") as log:
            command = [sys.executable, "-m", "trimtab", "run", "--config", str(self.config)]
            self.process = subprocess.Popen(command, stdout=log, stderr=log, text=True)
        eventually(self._listens, "the host listens")

    def _listens(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.log.read_text()
        path = self.folder / ".trimtab" / "host.json"
        try:
            return bool(json.loads(path.read_text())["pid"] == self.process.pid)
        except (FileNotFoundError, json.JSONDecodeError):
            return False

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Ask the host to end; returns its exit code."""
        assert self.process is not None
        self.process.send_signal(number)
        code = self.process.wait(PATIENCE)
        self.process = None
        return code

    def logged(self, text: str = "") -> list[dict[str, Any]]:
        """The entries of the host's log whose event contains a text."""
        lines = [line for line in self.log.read_text().split("\n")[:-1] if line.startswith("{")]
        return [entry for entry in map(json.loads, lines) if text in entry["event"]]

    @property
    def url(self) -> str:
        """Of the control API."""
        return str(json.loads((self.folder / ".trimtab" / "host.json").read_text())["url"])

    # --- the command line ---

    def trimtab(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a command of the command line on this project."""
        command = [sys.executable, "-m", "trimtab", *arguments, "--config", str(self.config)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
        assert not check or done.returncode == 0, done.stderr + done.stdout
        return done

    def status(self) -> dict[str, Any]:
        """The document of ``trimtab status --json``; of a running host without the time that a command takes."""
        document: dict[str, Any] = (
            self.ask("/api/status") if self.process else json.loads(self.trimtab("status", "--json").stdout)
        )
        return document

    def ask(self, path: str) -> Any:
        """Get a document from the control API."""
        token = (self.folder / ".trimtab" / "control.token").read_text().strip()
        answer = httpx.get(
            self.url + path, headers={"Authorization": f"Bearer {token}"}, timeout=PATIENCE, trust_env=False
        )
        return answer.raise_for_status().json()

    def script(self, name: str) -> dict[str, Any]:
        """What ``status`` says of one script; empty where it knows none of this name."""
        return next((script for script in self.status()["scripts"] if script["name"] == name), {})

    def history(self, *arguments: str) -> dict[str, Any]:
        """The document of ``trimtab history --json``."""
        document: dict[str, Any] = json.loads(self.trimtab("history", *arguments, "--json").stdout)
        return document

    def letters(self) -> list[dict[str, Any]]:
        """The dead letters."""
        listed: list[dict[str, Any]] = json.loads(self.trimtab("dead-letters", "list", "--json").stdout)
        return listed


class Numbers:
    """Sends numbered events, and knows which have come out."""

    def __init__(self, project: Project) -> None:
        self._project = project
        self.sent = 0

    def send(self, count: int = 1) -> None:
        """Send the next events: ``{"n": 0}``, ``{"n": 1}``, ..."""
        self._project.send(*({"n": n} for n in range(self.sent, self.sent + count)))
        self.sent += count

    def send_until(self, look: Callable[[], Value | None], what: str) -> Value:
        """Send one event after another until something is true; returns it."""

        def send_and_look() -> Value | None:
            self.send()
            return look()

        return eventually(send_and_look, what)

    def all_out(self) -> list[Any]:
        """Wait until as much has come out as was sent, and return it, sorted by number: the last item of each row."""
        eventually(lambda: len(self._project.emitted()) >= self.sent, f"{self.sent} rows come out")
        return sorted(self._project.emitted(), key=lambda row: int(row[-1]))


@contextmanager
def running(project: Project) -> Iterator[Project]:
    """Run the project's host for a while; it is ended whatever happens."""
    project.start()
    try:
        yield project
    finally:
        if project.process is not None:
            project.process.send_signal(signal.SIGTERM)
            try:
                project.process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                os.kill(project.process.pid, signal.SIGKILL)
                project.process.wait()
