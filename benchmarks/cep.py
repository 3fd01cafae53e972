"""``python -m benchmarks.cep [--quick] [--json FILE]``: pattern rules, beside Apache Flink CEP doing the same.

Both read the same file, decode it, and write the same matches; it is checked that there are as many.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.__main__ import describe_machine
from benchmarks.cep_work import LATENESS, THRESHOLD, write_readings
from tests.cep.oracle import flink

RULES = (1, 10, 100, 1000, 10_000)
EVENTS = 1_000_000
FLINK_EVENTS = {1: 300_000, 10: 60_000, 100: 8_000, 1000: 4_000}
"""For so many rules; enough for some seconds. 10,000 operators do not fit in one job here."""
CHAINED = 1000
"""From so many rules on, a job has room for them in one thread only."""
ROUNDS = 3
WARM_UPS = 2
AT_LENGTH = 1000
"""From so many rules on, Flink runs for so long that one round is enough."""


@dataclass(slots=True)
class Figures:
    """What an event cost with so many rules, in microseconds: by the clock, and of all processors together."""

    rules: int
    who: str
    events: int
    wall: float
    cpu: float


def measure(folder: Path, scale: int) -> list[Figures]:
    """Run both in turn, in rounds; what counts is the best of each."""
    class_path = _compile(folder)
    best: dict[tuple[int, str], Figures] = {}
    for rules in RULES:
        write_readings(folder / f"{rules}.jsonl", EVENTS // scale, rules)
        if rules in FLINK_EVENTS:
            write_readings(folder / f"flink-{rules}.jsonl", FLINK_EVENTS[rules] // scale, rules)
            _check(class_path, folder, rules)
    for number in range(ROUNDS):
        for rules in RULES:
            for figures in _round(class_path, folder, rules, with_flink=rules < AT_LENGTH or number == 0):
                known = best.setdefault((rules, figures.who), figures)
                known.wall, known.cpu = min(known.wall, figures.wall), min(known.cpu, figures.cpu)
    return list(best.values())


def _round(class_path: str, folder: Path, rules: int, *, with_flink: bool) -> list[Figures]:
    found = [_figures(rules, "trimtab", _trimtab(folder, f"{rules}.jsonl", rules))]
    if with_flink and rules in FLINK_EVENTS:
        found.append(_figures(rules, "Flink", _flink(class_path, folder, rules, WARM_UPS)))
    return found


def _check(class_path: str, folder: Path, rules: int) -> None:
    """Both must find the same."""
    ours = _trimtab(folder, f"flink-{rules}.jsonl", rules)["matches"]
    theirs = _flink(class_path, folder, rules, 0)["matches"]
    if ours != theirs:
        raise AssertionError(f"expected as many matches as Flink finds with {rules} rules, {theirs}; got {ours}")


def _figures(rules: int, who: str, said: dict[str, float]) -> Figures:
    events = int(said["events"])
    return Figures(rules, who, events, said["seconds"] / events * 1e6, said["cpu"] / events * 1e6)


def _trimtab(folder: Path, events: str, rules: int) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.cep_loop", str(folder / events), str(folder / "ours"), str(rules)]
    return _last_line(command)


def _flink(class_path: str, folder: Path, rules: int, warm_ups: int) -> dict[str, float]:
    how = "chained" if rules >= CHAINED else "exchange"
    files = [str(folder / f"flink-{rules}.jsonl"), str(folder / "theirs")]
    numbers = [str(rules), str(THRESHOLD), str(LATENESS), how, str(warm_ups + 1)]
    return _last_line(["java", "-Xmx3g", "-XX:+UseParallelGC", "-cp", class_path, "FlinkCep", *files, *numbers])


def _last_line(command: list[str]) -> dict[str, float]:
    said = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout
    last: dict[str, float] = json.loads(said.splitlines()[-1])
    return last


def _compile(folder: Path) -> str:
    flink.install()
    jars = os.pathsep.join(str(flink.JARS / name) for name in flink.NEEDED)
    source = str(Path(__file__).with_name("FlinkCep.java"))
    subprocess.run(["javac", "-nowarn", "-cp", jars, "-d", str(folder), source], check=True, stderr=subprocess.DEVNULL)
    return os.pathsep.join((str(folder), jars))


def table_of(measured: list[Figures]) -> Table:
    """What an event costs each, and how many times more it costs Flink."""
    table = Table("rules", "Flink us/event", "its CPU us", "trimtab us/event", "its CPU us", "times", "CPU times")
    by_place = {(figures.rules, figures.who): figures for figures in measured}
    for rules in RULES:
        ours, theirs = by_place[rules, "trimtab"], by_place.get((rules, "Flink"))
        flinks = (f"{theirs.wall:,.2f}", f"{theirs.cpu:,.2f}") if theirs else ("", "")
        times = (f"{theirs.wall / ours.wall:,.1f}", f"{theirs.cpu / ours.cpu:,.1f}") if theirs else ("", "")
        table.add_row(f"{rules:,}", *flinks, f"{ours.wall:.2f}", f"{ours.cpu:.2f}", *times)
    return table


def main() -> None:
    """Measure, print a table, and write the figures as JSON."""
    parser = argparse.ArgumentParser(prog="benchmarks.cep", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of the events: to see that it runs")
    parser.add_argument("--json", type=Path, default=Path("benchmarks.json"), help="where the figures go")
    arguments = parser.parse_args()
    machine = {**describe_machine(), "Flink": flink.VERSION}
    console = Console(width=110)
    console.print(", ".join(f"{key} {value}" for key, value in machine.items()))
    with tempfile.TemporaryDirectory() as folder:
        measured = measure(Path(folder), 10 if arguments.quick else 1)
    console.print(table_of(measured))
    figures = {"machine": machine, "cep": [dataclasses.asdict(each) for each in measured]}
    arguments.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
