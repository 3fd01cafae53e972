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

from benchmarks import cep_host
from benchmarks.__main__ import describe_machine
from benchmarks.cep_work import LATENESS, write_halves, write_readings
from tests.cep.oracle import flink

CASES = ((1, 90), (1, 99), (10, 90), (100, 90), (1000, 90), (10_000, 90))
"""How many rules, and above which temperature a match begins: of 100 events (of a rule's type) 10 are, or one."""
EVENTS = 1_000_000
FLINK_EVENTS = {1: 300_000, 10: 60_000, 100: 8_000, 1000: 4_000}
"""For so many rules; enough for some seconds. 10,000 operators do not fit in one job here."""
CHAINED = 1000
"""From so many rules on, a job has room for them in one thread only, and takes so long that one round is enough."""
HOST_CASES = ((1, 90), (1, 99), (100, 90))
"""Those that the whole host does too."""
BOTH_CORES = ((1, 90), (1, 99), (10, 90))
"""Those that two lanes do, and a Flink job of parallelism 2."""
ROUNDS = 3
WARM_UPS = 2


@dataclass(slots=True)
class Figures:
    """What an event cost with so many rules, in microseconds: by the clock, and of all processors together."""

    rules: int
    threshold: int
    who: str
    events: int
    matches: int
    wall: float
    cpu: float


class Comparison:
    """Runs both in turn, in rounds; what counts is the best of each."""

    def __init__(self, folder: Path, scale: int) -> None:
        self._folder, self._scale = folder, scale
        self._class_path = _compile(folder)
        self.best: dict[tuple[int, int, str], Figures] = {}

    def run(self) -> None:
        """Measure everything."""
        for rules in {rules for rules, _threshold in CASES}:
            write_readings(self._folder / f"{rules}.jsonl", EVENTS // self._scale, rules)
            if rules in FLINK_EVENTS:
                write_readings(self._folder / f"flink-{rules}.jsonl", FLINK_EVENTS[rules] // self._scale, rules)
        for number in range(ROUNDS):
            for rules, threshold in CASES:
                ours = self._note(self._trimtab(f"{rules}.jsonl", rules, threshold))
                if (rules, threshold) in HOST_CASES:
                    self._check(self._note(self._host(f"{rules}.jsonl", rules, threshold)), ours)
                if rules in FLINK_EVENTS and (number == 0 or rules < CHAINED):
                    theirs = self._note(self._flink(rules, threshold))
                    self._check(self._trimtab(f"flink-{rules}.jsonl", rules, threshold), theirs)
                if (rules, threshold) in BOTH_CORES:
                    self._check(self._note(self._two_lanes(f"{rules}.jsonl", rules, threshold)), ours)
                    self._check(self._note(self._flink(rules, threshold, parallelism=2)), theirs)

    def _note(self, figures: Figures) -> Figures:
        known = self.best.setdefault((figures.rules, figures.threshold, figures.who), figures)
        known.wall, known.cpu = min(known.wall, figures.wall), min(known.cpu, figures.cpu)
        return figures

    def _check(self, ours: Figures, others: Figures) -> None:
        """Both must find the same."""
        if ours.matches != others.matches:
            raise AssertionError(
                f"expected {others.matches} matches, as {others.who} finds, got {ours.matches}: {ours}"
            )

    def _trimtab(self, events: str, rules: int, threshold: int) -> Figures:
        return _figures(rules, threshold, "trimtab", _last_line(_loop(self._folder / events, rules, threshold)))

    def _host(self, events: str, rules: int, threshold: int) -> Figures:
        said = cep_host.measure(self._folder / events, EVENTS // self._scale, rules, threshold)
        return _figures(rules, threshold, "host", said)

    def _two_lanes(self, events: str, rules: int, threshold: int) -> Figures:
        """Two at once, each with the events of half of the racks: what took longer counts."""
        parts = [self._folder / f"{lane}-{events}" for lane in (0, 1)]
        if not parts[0].exists():
            write_halves(self._folder / events, parts)
        lanes = [subprocess.Popen(_loop(part, rules, threshold), stdout=subprocess.PIPE, text=True) for part in parts]
        said = [json.loads(lane.communicate()[0]) for lane in lanes]
        total = {name: sum(each[name] for each in said) for name in ("cpu", "events", "matches")}
        return _figures(rules, threshold, "two lanes", {**total, "seconds": max(each["seconds"] for each in said)})

    def _flink(self, rules: int, threshold: int, parallelism: int = 1) -> Figures:
        how = "chained" if rules >= CHAINED else "exchange"
        files = [str(self._folder / f"flink-{rules}.jsonl"), str(self._folder / "theirs")]
        numbers = [str(rules), str(threshold), str(LATENESS), how, str(parallelism), str(WARM_UPS + 1)]
        java = ["java", "-Xmx3g", "-XX:+UseParallelGC", "-cp", self._class_path, "FlinkCep"]
        who = "Flink" if parallelism == 1 else "Flink twice"
        return _figures(rules, threshold, who, _last_line([*java, *files, *numbers]))


def _loop(events: Path, rules: int, threshold: int) -> list[str]:
    """Return the command that takes events through rules."""
    files = [str(events), str(events.with_suffix(".matches"))]
    return [sys.executable, "-m", "benchmarks.cep_loop", *files, str(rules), str(threshold)]


def _figures(rules: int, threshold: int, who: str, said: dict[str, float]) -> Figures:
    events, matches = int(said["events"]), int(said["matches"])
    return Figures(rules, threshold, who, events, matches, said["seconds"] / events * 1e6, said["cpu"] / events * 1e6)


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


def table_of(best: dict[tuple[int, int, str], Figures], who: str, flink: str = "Flink") -> Table:
    """What an event costs each, and how many times more it costs Flink."""
    columns = [column for name in (flink, who) for column in (f"{name} us/event", "its CPU us")]
    table = Table("rules", "begin", *columns, "times", "of CPU")
    for rules, threshold in [case for case in CASES if (*case, who) in best]:
        ours, theirs = best[rules, threshold, who], best.get((rules, threshold, flink))
        flinks = (f"{theirs.wall:,.2f}", f"{theirs.cpu:,.2f}") if theirs else ("", "")
        times = (f"{theirs.wall / ours.wall:,.1f}", f"{theirs.cpu / ours.cpu:,.1f}") if theirs else ("", "")
        row = (f"{rules:,}", f"{100 - threshold} %", *flinks, f"{ours.wall:.2f}", f"{ours.cpu:.2f}", *times)
        table.add_row(*row)
    return table


def costs() -> dict[str, float]:
    """Return the best of what ``benchmarks.cep_costs`` tells, in rounds."""
    rounds = [_last_line([sys.executable, "-m", "benchmarks.cep_costs"]) for _ in range(ROUNDS)]
    return {name: min(each[name] for each in rounds) for name in rounds[0]}


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
        comparison = Comparison(Path(folder), 10 if arguments.quick else 1)
        comparison.run()
    console.print(table_of(comparison.best, "trimtab"), table_of(comparison.best, "host"))
    console.print(table_of(comparison.best, "two lanes", "Flink twice"))
    beside = costs()
    console.print_json(json.dumps(beside))
    measured = [dataclasses.asdict(each) for each in comparison.best.values()]
    arguments.json.write_text(json.dumps({"machine": machine, "cep": measured, "costs": beside}, indent=2) + "\n")


if __name__ == "__main__":
    main()
