"""What a change costs while events flow: from the save to the first event on the new code, and the longest stall."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.workload import write_project

SCRIPTS = {
    "work.py": """
import time
from trimtab import emit

def handle(event, ctx):
    emit("alarms", [{swap}, event["sent"], time.time()])
""",
    "work.js": """
import {{ emit }} from "trimtab";
export function handle(event, ctx) {{ emit("alarms", [{swap}, event.sent, Date.now() / 1000]); }}
""",
}
EVENTS_PER_SECOND = 20_000
TICK = 0.002
PATIENCE = 30


@dataclass(frozen=True, slots=True)
class Swaps:
    """Milliseconds."""

    script: str
    swaps: int
    p50: float
    p99: float
    longest_stall: float
    """The longest that any event waited from being written until it was handled, all through the run."""
    usual_p99: float
    """What 99 % of the events waited at most."""


def measure(script: str, swaps: int) -> Swaps:
    """Swap a script again and again under a steady load, in a host with two lanes."""
    with tempfile.TemporaryDirectory() as folder:
        project = Path(folder)
        source = SCRIPTS[script]
        write_project(project / "p", script, source.format(swap=0), lanes=2)
        config = project / "p" / "trimtab.toml"
        config.write_text(config.read_text().replace('path = "events.jsonl"', 'path = "events.jsonl"\nfollow = true'))
        (project / "p" / "events.jsonl").touch()
        command = [sys.executable, "-m", "trimtab", "run", "--config", str(config)]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as host:
            try:
                return _swap(project / "p", script, source, swaps)
            finally:
                host.terminate()


def _swap(project: Path, script: str, source: str, swaps: int) -> Swaps:
    output = _Output(project / "alarms.jsonl")
    load = _Load(project / "events.jsonl")
    _until((project / ".trimtab" / "host.json").exists, "the host listens")
    load.start()
    try:
        output.wait_for(0)
        latencies = []
        for swap in range(1, swaps + 1):
            time.sleep(0.05)
            saved = time.time()
            temporary = project / "scripts" / ".new"
            temporary.write_text(source.format(swap=swap))
            temporary.rename(project / "scripts" / script)
            latencies.append((output.wait_for(swap) - saved) * 1000)
    finally:
        load.stop()
    waits = sorted(wait * 1000 for wait in output.waits)
    quantiles = statistics.quantiles(latencies, n=100)
    return Swaps(script, swaps, quantiles[49], quantiles[98], waits[-1], waits[int(len(waits) * 0.99)])


def _until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {PATIENCE} s: {what}")
        time.sleep(0.005)


class _Load(threading.Thread):
    """Appends events at a steady rate, each with the time it was written."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path
        self._stopped = threading.Event()

    def run(self) -> None:
        with self._path.open("a") as file:
            while not self._stopped.wait(TICK):
                now = time.time()
                file.write(f'{{"sent":{now}}}\n' * int(EVENTS_PER_SECOND * TICK))
                file.flush()

    def stop(self) -> None:
        self._stopped.set()
        self.join()


class _Output:
    """Reads what the scripts have emitted: swap, when the event was written, when it was handled."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0
        self._rest = b""
        self.waits: list[float] = []

    def wait_for(self, swap: int) -> float:
        """Return when the first event was handled by the code of this swap."""
        first: list[float] = []

        def arrived() -> bool:
            for seen, sent, handled in self._read():
                self.waits.append(handled - sent)
                if seen == swap:
                    first.append(handled)
            return bool(first)

        _until(arrived, f"an event is handled by swap {swap}")
        return first[0]

    def _read(self) -> list[list[float]]:
        if not self._path.exists():
            return []
        with self._path.open("rb") as file:
            file.seek(self._offset)
            data = file.read()
        self._offset += len(data)
        *lines, self._rest = (self._rest + data).split(b"\n")
        return [json.loads(line) for line in lines]
