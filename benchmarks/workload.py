"""The work that everything here does: read vehicle positions, keep the fast ones, write an alarm for each."""

from __future__ import annotations

import random
from pathlib import Path

PYTHON_HANDLER = """
from trimtab import emit

def handle(event, ctx):
    if event["speed"] > 60:
        emit("alarms", {"id": event["vehicle_id"], "at": event["ts"], "speed": event["speed"]})
"""

JAVASCRIPT_HANDLER = """
import { emit } from "trimtab";

export function handle(event, ctx) {
  if (event.speed > 60) emit("alarms", { id: event.vehicle_id, at: event.ts, speed: event.speed });
}
"""

CONFIG = """
[host]
lanes = {lanes}
listen = "127.0.0.1:0"

[sources.gps]
type = "file"
path = "events.jsonl"
{key}

[sinks.alarms]
type = "file"
path = "alarms.jsonl"
"""


def write_events(path: Path, count: int) -> None:
    """Write ``count`` events of about 110 bytes; two in three are fast."""
    rng = random.Random(1)
    with path.open("w") as file:
        for number in range(count):
            file.write(
                f'{{"vehicle_id":"v{number % 997}","ts":{1_700_000_000_000 + number},"lat":{rng.uniform(47, 55):.5f},'
                f'"lon":{rng.uniform(6, 15):.5f},"speed":{rng.randrange(180)},"status":"driving"}}\n'
            )


def write_project(folder: Path, script: str, source: str, *, lanes: int, key: str = "") -> None:
    """Lay out a project with one script."""
    (folder / "scripts").mkdir(parents=True)
    (folder / "scripts" / script).write_text(source)
    keyed = f'key = "{key}"' if key else ""
    (folder / "trimtab.toml").write_text(CONFIG.format(lanes=lanes, key=keyed))
