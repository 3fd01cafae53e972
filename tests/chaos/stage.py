"""The host of one round, and what can happen to it."""

from __future__ import annotations

import itertools
import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import httpx
import msgspec
import psutil

from tests.chaos.model import Letter
from tests.chaos.rules import Finding, rules
from tests.chaos.verdict import Observed
from tests.chaos.workload import Row, scripts, version_of
from tests.e2e.project import PATIENCE, Project, eventually
from trimtab.engine.state import VERSION
from trimtab.runtime.checkpoints import FILE_NAME as CHECKPOINTS
from trimtab.runtime.checkpoints import CheckpointStore
from trimtab.runtime.dead_letters import FILE_NAME as LETTERS
from trimtab.runtime.dead_letters import DeadLetters, Filters
from trimtab.runtime.waiting import WAITING

LANES = 2
_SOURCE = 'key = "key"\ntimestamp = "ts"'
_EXTRA = """
[sources.hook]
type = "http"
key = "key"
token = "{token}"
[sinks.found]
type = "file"
path = "found.jsonl"
[checkpoints]
interval = "100ms"
"""
Emitted = TypeVar("Emitted")


class Stage(Project):
    """A project with all scripts and rules, and its host, which may die at any moment.

    ``rng`` decides what is left open.
    """

    def __init__(self, folder: Path, rng: random.Random, environment: Mapping[str, str]) -> None:
        self.token = rng.randbytes(8).hex()
        super().__init__(folder, lanes=LANES, source=_SOURCE, extra=_EXTRA.format(token=self.token))
        self.rng = rng
        self.kills = 0
        """How often the host has died: each time it may leave half a line behind in each file."""
        self.starts = 0
        self.version = 0
        self.may_run = frozenset[int]()
        """The versions of which one must run in the end."""
        self._environment = {**os.environ, **environment}
        self._struck: set[int] = set()
        self.swap()

    # --- the host's life ---

    def launch(self) -> None:
        """Start the host and wait for nothing."""
        self._struck.clear()
        self.starts += 1
        command = [sys.executable, "-m", "trimtab", "run", "--config", str(self.config)]
        with self.log.open("a") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, text=True, env=self._environment)

    def start(self) -> None:
        """Start the host and wait until it listens."""
        self.launch()
        eventually(self._listens, "the host listens")

    def ensure_running(self) -> None:
        """Start the host if it does not run. It may have ended because it could not go on, but not in any other way."""
        if self.process is not None and (code := self.process.poll()) is not None:
            assert code == 1, f"the host ended with {code}: {self.log.read_text()}"
            self.process = None
        if self.process is None:
            self.start()

    def kill_host(self) -> None:
        """End the host as the kernel does when memory runs out."""
        assert self.process is not None
        self.kills += 1
        self.stop(signal.SIGKILL)

    def kill_lane(self) -> None:
        """End one lane, but none twice: of an event that takes a lane down twice, the host thinks that it is the cause."""
        found = [(index, lane["pid"]) for index, lane in enumerate(self.status()["lanes"]) if lane["pid"]]
        left = [(index, pid) for index, pid in found if index not in self._struck]
        if left:
            index, pid = self.rng.choice(left)
            self._struck.add(index)
            _kill(pid)

    def kill_nursery(self) -> None:
        """End the process that lanes are forked from, and so all lanes."""
        if not self._struck:
            self._struck |= set(range(LANES))
            (nursery,) = psutil.Process(self._pid()).children()
            _kill(nursery.pid)

    def _pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def pause(self, longest: float) -> None:
        """Wait up to so many seconds."""
        time.sleep(self.rng.uniform(0, longest))

    def end(self) -> None:
        """End the host if it still runs."""
        if self.process is not None and self.process.poll() is None:
            self.kill_host()

    # --- changes ---

    def swap(self) -> None:
        """Save the next version of all scripts and rules, as one change."""
        self.version += 1
        self.may_run = frozenset({self.version})
        self.checkout(_files(self.version))

    def running_version(self) -> int | None:
        """Return which version runs; None while it is not the same of all scripts and rules, or not a known one."""
        artifacts = [*self.status()["scripts"], *self.ask("/api/rules")]
        running = {artifact["name"]: artifact["version"] for artifact in artifacts}
        for version in range(1, self.version + 1):
            if running == {name: version_of(text) for name, text in _files(version).items()}:
                return version
        return None

    def roll_back(self, generation: int) -> bool:
        """Roll back to a generation; returns whether the host has said that it is done."""
        token = (self.folder / ".trimtab" / "control.token").read_text().strip()
        headers = {"Authorization": f"Bearer {token}"}
        url = f"{self.url}/api/rollback"
        try:
            answer = httpx.post(
                url, json={"generation": generation}, headers=headers, timeout=PATIENCE, trust_env=False
            )
        except httpx.TransportError:
            return False
        return answer.is_success

    # --- what is seen ---

    @property
    def state(self) -> Path:
        """The state folder."""
        return self.folder / ".trimtab"

    def observed(self) -> Observed:
        """Return what has come out so far."""
        rows, torn_rows = self._written("out.jsonl", Row)
        found, torn_found = self._written("found.jsonl", Finding)
        return Observed(rows, found, self._letters(), torn_rows + torn_found, self.starts)

    def _written(self, name: str, kind: type[Emitted]) -> tuple[list[Emitted], int]:
        """Return what stands in the file of a sink, and how many lines are not whole beyond those that may be."""
        path, decode = self.folder / name, msgspec.json.Decoder(kind).decode
        lines = path.read_bytes().split(b"\n")[:-1] if path.exists() else []
        emitted, torn = [], 0
        for line in lines:
            try:
                emitted.append(decode(line))
            except msgspec.DecodeError:
                torn += 1
        return emitted, max(0, torn - self.kills)

    def _letters(self) -> frozenset[Letter]:
        letters = DeadLetters(self.state / LETTERS)
        try:
            found = letters.list(Filters(), limit=1000)
        finally:
            letters.close()
        return frozenset((letter.script or letter.kind, _number(letter.payload)) for letter in found)

    def tracebacks(self) -> list[str]:
        """Return what the host has not expected: accidents are told in words."""
        return re.findall(r"^Traceback .*(?:\n[ {].*)*\n.*", self.log.read_text(), re.MULTILINE)

    def stored(self) -> dict[tuple[str, str], dict[str, Any]]:
        """Return what the last checkpoint holds, by script or rule and key, timers and partial matches included.

        The last event of the file may still wait there until it is known in each lane that its time has come.
        """
        found: dict[tuple[str, str], dict[str, Any]] = defaultdict(dict)
        store = CheckpointStore(self.state / CHECKPOINTS)
        try:
            for row in itertools.chain.from_iterable(store.rows()):
                if row.script != WAITING and row.name != VERSION and row.value is not None:
                    found[row.script, json.loads(row.key)][row.name] = json.loads(row.value)
        finally:
            store.close()
        return found


def _files(version: int) -> dict[str, str]:
    return scripts(version) | rules(version)


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return  # it was about to be replaced anyway


def _number(payload: bytes) -> int:
    try:
        return int(json.loads(payload)["n"])
    except (ValueError, TypeError, KeyError):
        return -1  # of no event: the comparison will not know it
