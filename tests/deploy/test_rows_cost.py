"""With thousands of rules, the change of one costs what it costs with few: in work, not in time, which varies."""

from __future__ import annotations

import sys
from pathlib import Path
from types import FrameType

from tests.deploy.rows_kit import RowsHost, drive

FEW, MANY = 20, 4000


async def cost_of_a_change(host: RowsHost, count: int) -> tuple[int, int]:
    """The calls of functions that a change of one rule takes, and the bytes that are sent."""
    host.table.artifacts |= {f"r{number}.rule.json": b"1" * 100 for number in range(count)}
    host.folder.artifacts |= {"work.py": b"1", "_lib.py": b"1"}
    await host.start()
    await host.rows(r1="2")
    host.lanes.checked.clear()
    host.lanes.prepared.clear()
    calls = 0

    def count_call(_frame: FrameType, event: str, _argument: object) -> None:
        nonlocal calls
        calls += event == "call"

    sys.setprofile(count_call)
    try:
        await host.rows(r2="2")
    finally:
        sys.setprofile(None)
    plans = [*host.lanes.checked, *host.lanes.prepared]
    return calls, sum(len(content) for plan in plans for content in plan.upserts.values())


def test_a_change_of_one_rule_takes_as_many_steps_among_thousands_as_among_few(tmp_path: Path) -> None:
    costs: dict[int, tuple[int, int]] = {}

    async def test(host: RowsHost) -> None:
        costs[count] = await cost_of_a_change(host, count)

    for count in (FEW, MANY):
        (tmp_path / str(count)).mkdir()
        drive(tmp_path / str(count), test)
    assert costs[MANY][0] < 1.2 * costs[FEW][0]
    assert costs[MANY][1] == costs[FEW][1]
