"""The router: every event goes to one lane, in the order of its key, on one side of each cut."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.runtime.held_lanes import HeldLane, held
from trimtab.api import Records
from trimtab.engine.batch import Batch
from trimtab.engine.engine import Plan
from trimtab.runtime.router import Router, _split
from trimtab.runtime.work import Cut, Delivery, Work, joined

keys = st.sampled_from([None, "a", "b", "c", "ü", "", 1, 2, "1", 1.5, True, [1], {"x": 1}])
deliveries = st.lists(st.lists(keys, min_size=1, max_size=12), min_size=1, max_size=6)


def plan(generation: int) -> Plan:
    return Plan(generation, {}, [], [])


def records(deliveries: list[list[Any]], *, offsets: bool) -> list[Records]:
    """One record of each key, numbered through all deliveries; positions are byte offsets or the numbers."""
    made = []
    number = start = 0
    for part in deliveries:
        lines = [msgspec.json.encode({"n": number + i, "k": key}) for i, key in enumerate(part)]
        data = b"\n".join(lines)
        numbers = None if offsets else range(number, number + len(part))
        made.append(Records(data, start, numbers, "p"))
        number += len(part)
        start += len(data) + 1
    return made


async def route(router: Router, part: Records) -> Delivery:
    return await router.route("gps", part, part.data.count(b"\n") + 1, 9)


async def routed(router: Router, lanes: list[HeldLane], parts: list[Records], cut_before: int) -> list[Delivery]:
    """Route everything while the lanes take one item each in turn; before one delivery, cut."""
    done = []
    for number, part in enumerate(parts):
        if number == cut_before:
            router.cut(plan(2))
        routing = asyncio.ensure_future(route(router, part))
        while not routing.done():
            await asyncio.sleep(0)
            for lane in lanes:
                if not lane.has_room:
                    lane.take()
                    router.room_made()
        done.append(routing.result())
    while any(lane.backlog or lane.busy for lane in lanes):
        for lane in lanes:
            lane.take()
    return done


def events(works: list[Work]) -> list[tuple[int, Any, int]]:
    """Number, key and position of every event, in order."""
    found = []
    for work in works:
        lines = work.batch.data.split(b"\n")
        assert len(lines) == work.batch.count
        for line, position in zip(lines, work.batch.positions_of(lines), strict=True):
            event = msgspec.json.decode(line)
            found.append((event["n"], event["k"], position))
    return found


@given(deliveries, st.integers(1, 4), st.integers(1, 9), st.booleans(), st.booleans(), st.integers(0, 6))
def test_nothing_is_lost_doubled_or_out_of_order_whatever_the_sizes(
    parts: list[list[Any]], lanes: int, target: int, keyed: bool, offsets: bool, cut_before: int
) -> None:
    async def scenario() -> None:
        router, made = held(lanes, "k" if keyed else None, target=target)
        given_records = records(parts, offsets=offsets)
        done = await routed(router, made, given_records, cut_before)
        by_lane = [events(lane.works) for lane in made]
        everything = sorted(event for found in by_lane for event in found)
        lines = [line for part in given_records for line in part.data.split(b"\n")]
        starts = [sum(len(line) + 1 for line in lines[:i]) for i in range(len(lines))]
        assert [n for n, _key, _position in everything] == list(range(len(lines)))
        assert [position for _n, _key, position in everything] == (starts if offsets else list(range(len(lines))))
        for found in by_lane:
            assert [n for n, _key, _position in found] == sorted(n for n, _key, _position in found)
        if keyed:
            homes: dict[bytes, set[int]] = {}
            for index, found in enumerate(by_lane):
                for _n, key, _position in found:
                    homes.setdefault(msgspec.json.encode(key), set()).add(index)
            assert all(len(home) == 1 for home in homes.values())
        check_cut(parts, made, cut_before)
        assert not any(delivery.done.done() for delivery in done)
        for work in [work for lane in made for work in lane.works]:
            work.done()
        assert all(delivery.done.done() for delivery in done)

    asyncio.run(scenario())


def check_cut(parts: list[list[Any]], lanes: list[HeldLane], cut_before: int) -> None:
    """The events before the cut, and no others, are in batches of the old generation before it in every lane."""
    old = sum(len(part) for part in parts[:cut_before])
    for lane in lanes:
        generation = 1
        for item in lane.taken:
            if isinstance(item, Cut):
                generation = 2
                continue
            assert isinstance(item, Work)
            assert item.batch.generation == generation
            assert {n < old for n, _key, _position in events([item])} == {generation == 1}
        assert generation == (2 if cut_before < len(parts) else 1)


@given(st.integers(1, 20), st.integers(1, 20), st.booleans())
def test_what_is_split_and_joined_again_is_as_before(count: int, most: int, offsets: bool) -> None:
    data = b"\n".join(b"%d" % (10**i) for i in range(count))
    whole = Batch(1, 1, "gps", data, count, 9, "p", 5, None if offsets else list(range(count)))
    first, rest = _split(whole, most)
    assert first.count == min(count, most)
    if rest is None:
        assert first == whole
        return
    assert (first.count + rest.count, first.data + b"\n" + rest.data) == (count, data)
    together = joined(Work(first, []), Work(rest, []), count)
    assert together is not None
    assert together.batch == whole


def test_routing_waits_for_room_and_a_cut_goes_past_those_who_wait() -> None:
    async def scenario() -> None:
        router, (lane,) = held(1, None, target=2)
        first, second, third = records([["a"] * 2, ["b"] * 2, ["c"]], offsets=True)
        await route(router, first)
        assert not router.has_room()
        waiting = [asyncio.ensure_future(route(router, part)) for part in (second, third)]
        await asyncio.sleep(0)
        router.cut(plan(2))
        for _ in range(20):
            lane.take()
            router.room_made()
            await asyncio.sleep(0)
        await asyncio.gather(*waiting)
        kinds = [item.batch.generation if isinstance(item, Work) else "cut" for item in lane.taken]
        assert kinds[:2] == [1, "cut"]
        assert set(kinds[2:]) == {2}
        assert sorted(n for n, _key, _position in events(lane.works)) == list(range(5))

    asyncio.run(scenario())


def test_keyed_events_wait_for_room_in_every_lane() -> None:
    async def scenario() -> None:
        router, lanes = held(2, "k", target=1)
        await route(router, Records(b'{"k":"a"}'))
        (full,) = [lane for lane in lanes if not lane.has_room]
        waiting = asyncio.ensure_future(route(router, Records(b'{"k":"a"}')))
        for _ in range(5):
            await asyncio.sleep(0)
        assert not waiting.done()
        full.take()
        router.room_made()
        await waiting

    asyncio.run(scenario())


@pytest.mark.parametrize("line", [b"{", b"[" * 100_000, b'{"k":' * 5000 + b"1" + b"}" * 5000, b'"\xff"', b"7"])
def test_records_without_a_readable_key_are_routed_like_those_without_a_key(line: bytes) -> None:
    async def scenario() -> None:
        router, lanes = held(3, "k", target=10)
        await route(router, Records(b'{"n":1}\n' + line + b'\n{"k":null}'))
        (home,) = [lane for lane in lanes if lane.backlog]
        assert home.backlog == 3

    asyncio.run(scenario())


def test_a_replayed_event_goes_to_the_lane_of_its_key_with_the_running_generation() -> None:
    async def scenario() -> None:
        router, lanes = held(3, "k", target=100)
        await route(router, Records(b"\n".join(b'{"k":"%d"}' % n for n in range(9))))
        for lane in lanes:
            lane.take()
        homes = {line: lane for lane in lanes for work in lane.works for line in work.batch.data.split(b"\n")}
        router.cut(plan(5))
        for line, home in homes.items():
            key = msgspec.json.decode(line)["k"]
            outcome = router.resubmit(Batch(0, 0, "gps", line, 1, 9, "p", 0, [3]), key, None)
            home.take()
            home.take()
            item = home.taken[-1]
            assert isinstance(item, Work)
            assert (item.batch.data, item.batch.generation, item.outcome) == (line, 5, outcome)

    asyncio.run(scenario())
