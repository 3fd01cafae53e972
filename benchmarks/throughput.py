"""File to file: the host with one and two lanes beside bare loops that do the same."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.workload import JAVASCRIPT_HANDLER, PYTHON_HANDLER, write_events, write_project

ROUNDS = 3


@dataclass(frozen=True, slots=True)
class Throughput:
    """Events a second of one way to do the work: the best round, so that a noisy neighbour does not count."""

    name: str
    events_per_second: float
    baseline: str | None
    """What it is compared with."""


def measure(events: int) -> list[Throughput]:
    """Run everything, one after the other, in rounds."""
    best: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "events.jsonl"
        write_events(data, events)
        for _ in range(ROUNDS):
            for name, seconds in _round(Path(folder), data):
                best[name] = min(seconds, best.get(name, seconds))
    baselines = {"python": "bare python loop", "javascript": "bare dukpy loop"}
    return [
        Throughput(name, events / seconds, next((b for word, b in baselines.items() if name.startswith(word)), None))
        for name, seconds in best.items()
    ]


def _round(folder: Path, data: Path) -> list[tuple[str, float]]:
    results = [("bare python loop", _bare("python", data, folder))]
    if importlib.util.find_spec("bytewax"):
        results.append(("bytewax flat_map", _bare("bytewax", data, folder)))
    results += [(f"python, {lanes} lane(s)", _host("work.py", PYTHON_HANDLER, data, lanes)) for lanes in (1, 2)]
    results.append(("python, 2 lanes, keyed", _host("work.py", PYTHON_HANDLER, data, 2, "vehicle_id")))
    results.append(("bare dukpy loop", _bare("dukpy", data, folder)))
    results += [(f"javascript, {lanes} lane(s)", _host("work.js", JAVASCRIPT_HANDLER, data, lanes)) for lanes in (1, 2)]
    return results


def _bare(loop: str, data: Path, folder: Path) -> float:
    command = [sys.executable, "-m", "benchmarks.bare", loop, str(data), str(folder / f"{loop}.out")]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def _host(script: str, source: str, data: Path, lanes: int, key: str = "") -> float:
    """Seconds of a whole run, less those of a run without events: what the events took."""
    return _run(script, source, data, lanes, key) - _run(script, source, None, lanes, key)


def _run(script: str, source: str, data: Path | None, lanes: int, key: str) -> float:
    project = Path(tempfile.mkdtemp())
    try:
        write_project(project / "p", script, source, lanes=lanes, key=key)
        events = project / "p" / "events.jsonl"
        events.symlink_to(data) if data else events.touch()
        started = time.perf_counter()
        command = [sys.executable, "-m", "trimtab", "run", "--config", str(project / "p" / "trimtab.toml")]
        subprocess.run(command, check=True, capture_output=True)
        return time.perf_counter() - started
    finally:
        shutil.rmtree(project)
