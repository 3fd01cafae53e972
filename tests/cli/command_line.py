"""Runs the real command line, and makes what a stopped host leaves behind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from trimtab.artifacts.records import Change
from trimtab.artifacts.store import ArtifactStore
from trimtab.errors import Fault
from trimtab.runtime.dead_letters import DeadLetter, DeadLetters

CONFIG = """
[sources.gps]
type = "stdin"
key = "id"

[sinks.alarms]
type = "stdout"

[settings]
max_speed = 100
"""

FAULT = Fault("TypeError", "x is not a function", "a.py", 3, 7)


def trimtab(folder: Path, *arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run a command in a folder."""
    env = {**os.environ, "NO_COLOR": "", "COLUMNS": "200", **options.pop("env", {})}
    command = [sys.executable, "-m", "trimtab", *arguments]
    settings = {"cwd": folder, "env": env, "capture_output": True, "text": True, "timeout": 60, **options}
    return subprocess.run(command, check=False, **settings)


def document(folder: Path, *arguments: str) -> Any:
    """Run a command that prints one JSON document."""
    done = trimtab(folder, *arguments, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def project(folder: Path) -> Path:
    """Make a folder with a configuration and no scripts."""
    (folder / "scripts").mkdir(parents=True)
    (folder / "trimtab.toml").write_text(CONFIG)
    return folder


def stopped_host(folder: Path) -> Path:
    """Make what a host leaves: two versions of a.py, a third that was refused, b.py refused, three dead letters."""
    project(folder)
    state = folder / ".trimtab"
    state.mkdir()
    with ArtifactStore(state / "artifacts.db") as store:
        for content in (b"one = 1\n", b"two = 2\n"):
            version = store.stage("a.py", content, "folder")
            store.record_committed("change", {"a.py": Change("changed", version.seq)}, {"check": 0.01})
        refused = store.stage_all({"a.py": b"three = \n", "b.py": b"(\n"}, "folder")
        changes = {name: Change("changed", version.seq, FAULT) for name, version in refused.items()}
        store.record_refused("change", changes, {})
    (folder / "scripts" / "a.py").write_bytes(b"three = \n")
    letters = DeadLetters(state / "dead-letters.db")
    letters.add_many([letter(n) for n in (1, 2)])
    letters.add_many([DeadLetter(kind="codec", payload=b"\xff{", source="tail", fault=FAULT, at=3_000)])
    letters.close()
    return folder


def letter(position: int) -> DeadLetter:
    """A letter of a.py."""
    return DeadLetter(
        kind="handler",
        payload=b'{"speed":120}',
        source="gps",
        position=position,
        event_id=f"gps::{position}",
        key="v1",
        script="a.py",
        version="ab" * 32,
        generation=2,
        fault=FAULT,
        at=position * 1_000,
    )
