"""``python -m tests.soak [--seconds N] [--json FILE]``: soaks a host and prints whether it has grown or slowed down."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import msgspec
from rich.console import Console
from rich.table import Table

from benchmarks.__main__ import describe_machine
from tests.soak.samples import Sample
from tests.soak.soak import Plan, Result, soak


def main() -> int:
    """Soak; returns 1 if something is wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--json", type=Path, default=Path("soak.json"), help="where the figures go")
    arguments = parser.parse_args()
    plan = Plan(seconds=arguments.seconds, warm_up=arguments.seconds / 2)
    console = Console(width=110)
    with tempfile.TemporaryDirectory(prefix="trimtab-soak-") as folder:
        result = soak(plan, Path(folder), _teller(console, every=arguments.seconds / 20))
    figures = {"machine": describe_machine(), **msgspec.to_builtins(result)}
    arguments.json.write_bytes(msgspec.json.format(msgspec.json.encode(figures)) + b"\n")
    console.print(_table(result))
    for line in result.wrong():
        console.print(f"WRONG: {line}", markup=False)
    return 1 if result.wrong() else 0


def _teller(console: Console, every: float) -> Callable[[Sample], None]:
    """Return what shows a sample now and then. ``every``: seconds."""
    shown = 0

    def tell(sample: Sample) -> None:
        nonlocal shown
        if sample.at >= shown * every:
            shown += 1
            memory = ", ".join(f"{name} {process.memory:.0f} MiB" for name, process in sample.processes.items())
            console.print(f"{sample.at:4.0f} s: {memory}; p50 {sample.p50:.0f} ms, p99 {sample.p99:.0f} ms")

    return tell


def _table(result: Result) -> Table:
    title = (
        f"{result.events:,} events, {result.swaps} swaps in {result.plan.seconds:.0f} s; lost {result.lost}, "
        f"repeated {result.repeated}"
    )
    table = Table("median", "first third", "last third", "may be", "holds", title=title)
    for trend in result.trends:
        figures = (f"{figure:.1f}" for figure in (trend.first, trend.last, trend.most))
        table.add_row(trend.what, *figures, "yes" if trend.holds else "NO")
    return table


if __name__ == "__main__":
    sys.exit(main())
