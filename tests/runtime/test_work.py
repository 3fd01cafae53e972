"""Pieces of work: when a delivery is done, what fits together, and what is taken apart."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from msgspec import structs

from trimtab.engine.batch import Batch
from trimtab.errors import Fault
from trimtab.runtime.work import Delivery, Work, joined


def batch(*lines: bytes, **fields: Any) -> Batch:
    given: dict[str, Any] = {"id": 1, "generation": 1, "source": "gps", "arrival": 9, "partition": "p"}
    return Batch(data=b"\n".join(lines), count=len(lines), **given | fields)


def test_a_delivery_is_done_when_it_is_complete_and_all_its_batches_are_done() -> None:
    async def scenario() -> None:
        delivery = Delivery()
        delivery.add().add()
        delivery.batch_done()
        delivery.batch_done()
        assert not delivery.done.done()
        delivery.complete()
        assert delivery.done.done()
        empty = Delivery()
        empty.complete()
        assert empty.done.done()

    asyncio.run(scenario())


@pytest.mark.parametrize("positions", [None, [4, 7, 9]])
def test_taken_apart_each_event_keeps_its_position_and_the_delivery_waits_for_all(positions: list[int] | None) -> None:
    async def scenario() -> None:
        delivery = Delivery()
        work = Work(batch(b"1", b"22", b"333", start=10, positions=positions), [delivery.add()])
        delivery.complete()
        *singles, timers = work.singles()
        assert [s.batch.data for s in singles] == [b"1", b"22", b"333"]
        assert [s.batch.positions for s in singles] == [[p] for p in positions or [10, 12, 15]]
        assert all(s.batch.isolated and s.batch.count == 1 for s in singles)
        assert (timers.batch.isolated, timers.batch.count, timers.deliveries) == (
            True,
            0,
            [],
        )  # they fire alone, at last
        for single in singles:
            assert not delivery.done.done()
            single.done()
        assert delivery.done.done()

    asyncio.run(scenario())


def test_contiguous_offsets_and_given_positions_are_joined() -> None:
    one, two = batch(b"1", b"22", start=0), batch(b"3", start=5)
    together = joined(Work(one, []), Work(two, []), 3)
    assert together is not None
    assert (together.batch.data, together.batch.count, together.batch.start) == (b"1\n22\n3", 3, 0)
    one, two = batch(b"1", positions=[7]), batch(b"3", positions=[9])
    together = joined(Work(one, []), Work(two, []), 3)
    assert together is not None
    assert together.batch.positions == [7, 9]


@pytest.mark.parametrize(
    "change",
    [
        {"source": "other"},
        {"partition": "q"},
        {"generation": 2},
        {"only": "a.py"},
        {"skip": ("a.py",)},
        {"isolated": True},
        {"start": 3},
        {"positions": [2]},
    ],
    ids=str,
)
def test_what_differs_is_not_joined(change: dict[str, Any]) -> None:
    one, two = batch(b"1"), batch(b"2", start=2)
    assert joined(Work(one, []), Work(two, []), 2) is not None
    assert joined(Work(one, []), Work(two, []), 1) is None, "too many"
    assert joined(Work(one, []), Work(structs.replace(two, **change), []), 2) is None


def test_a_replay_is_joined_with_nothing_and_settled_once() -> None:
    async def scenario() -> None:
        outcome: asyncio.Future[Fault | None] = asyncio.get_running_loop().create_future()
        replay = Work(batch(b"2", start=2), [], None, outcome)
        assert joined(Work(batch(b"1"), []), replay, 2) is None
        assert joined(replay, Work(batch(b"3", start=4), []), 2) is None
        fault = Fault("Error", "no")
        replay.settle(fault)
        replay.without("a.py").settle(None)
        assert outcome.result() == fault

    asyncio.run(scenario())


def test_scripts_to_leave_out_add_up() -> None:
    work = Work(batch(b"1"), []).without("a.py").without("b.js")
    assert work.batch.skip == ("a.py", "b.js")
