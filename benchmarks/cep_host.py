"""The whole host with pattern rules, from a file to a file, with one lane: what its processes take for an event."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.cep_work import LATENESS, write_rule

CONFIG = """
[host]
lanes = 1
listen = "127.0.0.1:0"

[sources.racks]
type = "file"
path = "events.jsonl"
key = "rack"
timestamp = "ts"
lateness = "{lateness}ms"

[sinks.matches]
type = "file"
path = "matches.jsonl"
"""


def measure(events: Path, count: int, rules: int, threshold: int) -> dict[str, float]:
    """Return seconds and processor seconds of a run, less those of one without events: what the events took."""
    seconds, cpu, matches = _run(events, rules, threshold)
    idle_seconds, idle_cpu, _none = _run(None, rules, threshold)
    return {"seconds": seconds - idle_seconds, "cpu": cpu - idle_cpu, "events": count, "matches": matches}


def _run(events: Path | None, rules: int, threshold: int) -> tuple[float, float, int]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "scripts").mkdir()
        for number in range(rules):
            (folder / "scripts" / f"{number}.rule.json").write_text(json.dumps(write_rule(number, rules, threshold)))
        (folder / "trimtab.toml").write_text(CONFIG.format(lateness=LATENESS))
        source = folder / "events.jsonl"
        source.symlink_to(events) if events else source.touch()
        started, before = time.perf_counter(), os.times()
        command = [sys.executable, "-m", "trimtab", "run", "--config", str(folder / "trimtab.toml")]
        subprocess.run(command, check=True, capture_output=True)
        after, matches = os.times(), folder / "matches.jsonl"
        cpu = after.children_user + after.children_system - before.children_user - before.children_system
        found = matches.read_bytes().count(b"\n") if matches.exists() else 0
        return time.perf_counter() - started, cpu, found
