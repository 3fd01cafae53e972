"""What a change of one rule costs the host while very many run: ``python -m benchmarks.rules_change``.

The lanes and the scratch process are left out: they get the one rule that changed, which ``--profile`` shows too.
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import pstats
import statistics
import tempfile
import time
from pathlib import Path

import msgspec

from trimtab.api import Discoverer, Fault, Notice, Snapshot
from trimtab.artifacts.store import FILE_NAME, ArtifactStore
from trimtab.deploy.deployer import Deployer
from trimtab.engine.engine import LoadedScript, Plan

ROUNDS = 30


class Table(Discoverer):
    """A table of rules in memory."""

    name = "discoverers.table"
    alone = True

    def __init__(self, count: int) -> None:
        self.rules = {f"rule-{number}.rule.json": _rule(number, 1) for number in range(count)}

    async def scan(self) -> Snapshot:
        """Return all rules, those that did not change as the same objects."""
        return Snapshot(dict(self.rules), {})

    async def wait(self) -> None:
        """Nobody waits here."""

    async def restore(self, name: str, content: bytes | None) -> bool:  # noqa: ARG002
        """The table is left as it is."""
        return False


class File(Table):
    """A place beside it with one script, as most hosts have."""

    name = "folder"
    alone = False

    def __init__(self) -> None:
        super().__init__(0)
        self.rules = {"alarm.py": b"def on_match(match, ctx): pass\n", "_units.py": b"KMH = 3.6\n"}


class AllGood:
    """Lanes that take everything and count what they are sent."""

    def __init__(self) -> None:
        self.sent = 0

    async def check(self, plan: Plan) -> tuple[dict[str, LoadedScript], dict[str, Fault]]:
        """Find every candidate good."""
        self._count(plan)
        return {name: LoadedScript("v", [], []) for name in plan.reload}, {}

    async def prepare(self, plan: Plan) -> None:
        """Take it."""
        self._count(plan)

    async def commit(self, plan: Plan) -> None:
        """Take it."""

    def unrestored(self) -> set[str]:
        """Nothing."""
        return set()

    def _count(self, plan: Plan) -> None:
        self.sent += len(msgspec.msgpack.encode(plan))


def _rule(number: int, version: int) -> bytes:
    nodes = [
        {"name": name, "type": "ATOMIC", "condition": {"type": "AVIATOR", "expression": f"rack == {number}"}}
        for name in ("first", "second")
    ]
    pattern = {"nodes": nodes, "edges": [{"source": "first", "target": "second", "type": "SKIP_TILL_NEXT"}]}
    return msgspec.json.encode({"id": f"rule-{number}", "version": version, "pattern": pattern, "function": ""})


async def measure(count: int, folder: Path, *, profiled: bool) -> None:
    """Start with so many rules, then change one after another."""
    table, file, lanes = Table(count), File(), AllGood()
    with ArtifactStore(folder / FILE_NAME) as store:
        notices: list[Notice] = []
        deployer = Deployer(
            store, lanes, lambda s, _name: msgspec.json.decode(s), lambda *told: notices.append(told[1])
        )
        started = time.perf_counter()
        await deployer.start([file, table])
        print(f"{count:,} rules, first start: {time.perf_counter() - started:.2f} s, {len(notices)} generations")
        lanes.sent = 0
        profile = cProfile.Profile()
        took: list[float] = []
        used: list[float] = []
        for number in range(ROUNDS):
            table.rules[f"rule-{number}.rule.json"] = _rule(number, 2)
            if profiled:
                profile.enable()
            started, before = time.perf_counter(), time.process_time()
            await deployer.offer(table)
            used.append((time.process_time() - before) * 1000)
            took.append((time.perf_counter() - started) * 1000)
            profile.disable()
        assert deployer.book.generation == len(notices), notices[-1]
        median, worst, cpu = statistics.median(took), max(took), statistics.median(used)
        print(f"one changed: median {median:.2f} ms, worst {worst:.2f} ms, {cpu:.2f} ms of them CPU")
        print(f"sent to the scratch process and each lane: {lanes.sent // ROUNDS:,} bytes")
        if profiled:
            pstats.Stats(profile).sort_stats("tottime").print_stats(25)


def main() -> None:
    """Measure with what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rules", type=int, default=10_000)
    parser.add_argument("--profile", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(measure(given.rules, Path(folder), profiled=given.profile))


if __name__ == "__main__":
    main()
