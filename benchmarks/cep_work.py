"""The work of the benchmark of pattern rules: readings of racks; rules want one hot and the next one hotter."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

THRESHOLD = 90
"""One reading in ten is above it."""
RACKS = 100
DISORDER = 50
"""How late a reading may come, in ms; there is one a millisecond."""
LATENESS = DISORDER + 10
WINDOW_SECONDS = 20

SINGLE = {"consumingStrategy": "SKIP_TILL_NEXT", "properties": ["SINGLE"]}


def write_readings(path: Path, count: int, types: int) -> None:
    """Write ``count`` events of about 110 bytes, of so many types."""
    rng = random.Random(1)
    with path.open("w") as file:
        for number in range(count):
            file.write(
                f'{{"rack":"r{rng.randrange(RACKS)}","ts":{1_700_000_000_000 + number + rng.randrange(DISORDER)},'
                f'"type":"t{rng.randrange(types)}","temp":{rng.random() * 100:.2f},"load":{rng.random():.3f},'
                f'"status":"in operation"}}\n'
            )


def write_rule(number: int, rules: int) -> dict[str, Any]:
    """Return a rule. One alone is about every reading; of several, each is about readings of its own type."""
    first = f"temp > {THRESHOLD}" if rules == 1 else f"type == 't{number}' && temp > {THRESHOLD}"
    pattern = {
        "name": "hotter twice",
        "type": "COMPOSITE",
        "quantifier": SINGLE,
        "nodes": [_node("first", first), _node("second", "temp > last('first').temp")],
        "edges": [{"source": "first", "target": "second", "type": "STRICT"}],
        "window": {"type": "FIRST_AND_LAST", "time": {"unit": "SECONDS", "size": WINDOW_SECONDS}},
        "afterMatchStrategy": {"type": "SKIP_PAST_LAST_EVENT", "patternName": None},
    }
    return {"id": f"rule-{number}", "pattern": pattern}


def _node(name: str, expression: str) -> dict[str, Any]:
    return {
        "name": name,
        "type": "ATOMIC",
        "quantifier": SINGLE,
        "condition": {"type": "AVIATOR", "expression": expression},
    }
