"""The work of the benchmark of pattern rules: readings of racks; a rule wants a hot one, and the next one hotter."""

from __future__ import annotations

import random
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

RACKS = 1000
DISORDER = 50
"""How late a reading may come, in ms; there is one a millisecond."""
LATENESS = DISORDER + 10
WINDOW_SECONDS = 20
START = 1_700_000_000_000

SINGLE = {"consumingStrategy": "SKIP_TILL_NEXT", "properties": ["SINGLE"]}


def reading(rack: int, at: int, kind: int, temp: float, load: float) -> str:
    """Return an event of about 110 bytes."""
    return (
        f'{{"rack":"r{rack}","ts":{START + at},"type":"t{kind}","temp":{temp:.2f},"load":{load:.3f},'
        f'"status":"in operation"}}'
    )


def write_readings(path: Path, count: int, kinds: int) -> None:
    """Write so many events of so many types, with temperatures from 0 to 100."""
    lot = random.Random(1)
    with path.open("w") as file:
        for number in range(count):
            at = number + lot.randrange(DISORDER)
            file.write(reading(lot.randrange(RACKS), at, lot.randrange(kinds), lot.random() * 100, lot.random()) + "\n")


def write_halves(path: Path, halves: Sequence[Path]) -> None:
    """Divide the readings of a file among others, by their racks."""
    with path.open() as readings, ExitStack() as stack:
        files = [stack.enter_context(half.open("w")) for half in halves]
        for line in readings:
            files[int(line[10 : line.index('"', 10)]) % len(files)].write(line)


def write_rule(number: int, rules: int, threshold: int) -> dict[str, Any]:
    """Return a rule. One alone is about every reading; of several, each is about readings of its own type."""
    first = f"temp > {threshold}" if rules == 1 else f"type == 't{number}' && temp > {threshold}"
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
    condition = {"type": "AVIATOR", "expression": expression}
    return {"name": name, "type": "ATOMIC", "quantifier": SINGLE, "condition": condition}
