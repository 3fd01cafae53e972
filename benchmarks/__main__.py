"""``python -m benchmarks [--quick] [--json FILE]``: measures, prints a table, and writes the figures as JSON."""

from __future__ import annotations

import argparse
import dataclasses
import json
import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks import swap, throughput

PACKAGES = ("trimtab", "dukpy", "msgspec")


def main() -> None:
    """Run all benchmarks."""
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of the work: to see that it runs")
    parser.add_argument("--json", type=Path, default=Path("benchmarks.json"), help="where the figures go")
    arguments = parser.parse_args()
    scale = 10 if arguments.quick else 1
    machine = describe_machine()
    console = Console(width=110)
    console.print(", ".join(f"{key} {value}" for key, value in machine.items()))
    rates = throughput.measure(2_000_000 // scale)
    console.print(throughput_table(rates))
    swaps = [swap.measure(script, 200 // scale) for script in swap.SCRIPTS]
    console.print(swap_table(swaps))
    figures = {
        "machine": machine,
        "throughput": [dataclasses.asdict(rate) for rate in rates],
        "swaps": [dataclasses.asdict(result) for result in swaps],
    }
    arguments.json.write_text(json.dumps(figures, indent=2) + "\n")


def describe_machine() -> Mapping[str, str]:
    """Name the machine and the versions."""
    models = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    return {
        "cpu": f"{len(models)} x {models[0].partition(':')[2].strip()}",
        "kernel": platform.release(),
        "python": platform.python_version(),
        **{package: version(package) for package in PACKAGES},
    }


def throughput_table(rates: Sequence[throughput.Throughput]) -> Table:
    """Events a second, and how many times longer than the bare loop an event takes."""
    table = Table("file to file", "events/s", "us/event", "times the bare loop's cost")
    by_name = {rate.name: rate.events_per_second for rate in rates}
    for rate in rates:
        ratio = f"{by_name[rate.baseline] / rate.events_per_second:.2f}" if rate.baseline else ""
        table.add_row(rate.name, f"{rate.events_per_second:,.0f}", f"{1e6 / rate.events_per_second:.2f}", ratio)
    return table


def swap_table(results: Sequence[swap.Swaps]) -> Table:
    """Milliseconds from a save to the first event on the new code, and what events waited."""
    table = Table(
        f"swap at {swap.EVENTS_PER_SECOND:,} events/s", "p50 ms", "p99 ms", "longest stall ms", "usual p99 ms"
    )
    for result in results:
        figures = (result.p50, result.p99, result.longest_stall, result.usual_p99)
        table.add_row(f"{result.script}, {result.swaps} swaps", *(f"{figure:.1f}" for figure in figures))
    return table


if __name__ == "__main__":
    main()
