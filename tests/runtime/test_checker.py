"""Candidates in scratch processes: one that takes its process down is told apart from the others, at little cost."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from tests.runtime.test_processes import SETUP
from trimtab.engine.engine import Plan
from trimtab.runtime import checker
from trimtab.runtime.processes import NurseryProcess, Worker

GOOD = b"def handle(event): pass\n"
DEADLY = b"import os\nos._exit(7)\n"
BROKEN = b"x = = 1\n"


def check(scripts: dict[str, bytes]) -> tuple[checker.Checked, int]:
    """What comes of some scripts, and how many processes that took."""

    async def checked() -> tuple[checker.Checked, int]:
        processes = 0
        async with NurseryProcess(msgspec.structs.replace(SETUP, sinks=["matches"])) as nursery:

            async def start() -> Worker:
                nonlocal processes
                processes += 1
                return await nursery.start(b"C")

            plan = Plan(1, {"_lib.py": b"", **scripts}, [], sorted(scripts))
            return await checker.check(start, plan), processes

    return asyncio.run(checked())


@pytest.mark.parametrize("deadly", [0, 17, 39])
def test_the_one_that_takes_its_process_down_is_found_by_halves(deadly: int) -> None:
    scripts = {f"s{number:02}.py": GOOD for number in range(40)}
    scripts[f"s{deadly:02}.py"] = DEADLY
    (loaded, faults), processes = check(scripts)
    assert loaded.keys() == scripts.keys() - faults.keys()
    assert {name: fault.name for name, fault in faults.items()} == {f"s{deadly:02}.py": "CheckFailed"}
    assert processes <= 13  # two for each time that 40 are halved, and the first


def test_all_that_are_broken_are_told_by_one_process() -> None:
    scripts = {f"s{number}.py": BROKEN if number % 2 else GOOD for number in range(10)}
    (loaded, faults), processes = check(scripts)
    assert loaded.keys() == {"s0.py", "s2.py", "s4.py", "s6.py", "s8.py"}
    assert faults.keys() == scripts.keys() - loaded.keys()
    assert processes == 1


def test_very_many_rules_take_their_time_and_are_no_process_that_is_stuck(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checker, "SILENCE", 1.0)
    node = {
        "name": "a",
        "quantifier": {"innerConsumingStrategy": "SKIP_TILL_NEXT", "properties": ["SINGLE"]},
        "condition": {"type": "AVIATOR", "expression": "x > 1 && y == 'z'"},
    }
    rule = msgspec.json.encode({"nodes": [node], "edges": []})
    (loaded, faults), processes = check({f"r{number}.rule.json": rule for number in range(4000)})
    assert (len(loaded), faults, processes) == (4000, {}, 1)
