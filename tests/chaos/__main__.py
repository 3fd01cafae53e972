"""``python -m tests.chaos [--rounds N] [--seed N] [--jobs N] [--json FILE]``: plays rounds and prints what they show."""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.__main__ import describe_machine
from tests.chaos.faults import FAULTS
from tests.chaos.round import Report, play

_SUMMED = ("events", "found", "kills", "unanswered", "repeated")


def main() -> int:
    """Play rounds with the seeds from ``--seed`` on; returns 1 if one of them has failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0, help="of the first round; the seed decides the kind of accident")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="rounds at a time")
    parser.add_argument("--json", type=Path, default=Path("chaos.json"), help="where the figures go")
    arguments = parser.parse_args()
    began = time.monotonic()
    seeds = range(arguments.seed, arguments.seed + arguments.rounds)
    console = Console(width=110)
    reports = sorted(_play(seeds, arguments.jobs, console), key=lambda report: report.seed)
    seconds = time.monotonic() - began
    figures = {
        "machine": describe_machine(),
        "seconds": round(seconds, 1),
        "rounds": [dataclasses.asdict(report) for report in reports],
    }
    arguments.json.write_text(json.dumps(figures, indent=2) + "\n")
    console.print(_table(reports, seconds))
    return 1 if any(report.wrong for report in reports) else 0


def _play(seeds: Sequence[int], jobs: int, console: Console) -> Iterator[Report]:
    root = Path(tempfile.mkdtemp(prefix="trimtab-chaos-"))
    with ThreadPoolExecutor(jobs) as pool:
        rounds = [pool.submit(_one, seed, root) for seed in seeds]
        for each in track(as_completed(rounds), "rounds", len(rounds), console=console):
            report = each.result()
            if report.wrong:
                console.print(_complaint(report, root), markup=False)
            yield report
    if not any(root.iterdir()):
        root.rmdir()


def _one(seed: int, root: Path) -> Report:
    folder = root / str(seed)
    folder.mkdir()
    return play(seed, folder)


def _complaint(report: Report, root: Path) -> str:
    shown = report.wrong[:10] + [f"... and {len(report.wrong) - 10} more"] * (len(report.wrong) > 10)
    again = f"repeat it with: make chaos ROUNDS=1 SEED={report.seed}; its files: {root / str(report.seed)}"
    return "\n  ".join([f"seed {report.seed}, {report.kind}: {again}", *shown])


def _table(reports: Sequence[Report], seconds: float) -> Table:
    numbers = ("rounds", "failed", "events", "found", "host kills", "unanswered", "repeated", "s a round")
    table = Table("accident", *numbers, title=f"{len(reports)} rounds in {seconds:.0f} s")
    for kind in FAULTS:
        table.add_row(kind, *_row([report for report in reports if report.kind == kind]))
    table.add_row("all", *_row(reports), end_section=True)
    return table


def _row(reports: Sequence[Report]) -> Iterable[str]:
    sums = (
        len(reports),
        sum(bool(report.wrong) for report in reports),
        *(sum(getattr(report, name) for report in reports) for name in _SUMMED),
    )
    mean = sum(report.seconds for report in reports) / max(1, len(reports))
    return [*(f"{value:,}" for value in sums), f"{mean:.1f}"]


if __name__ == "__main__":
    sys.exit(main())
