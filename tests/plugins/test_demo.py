from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest

from trimtab.api import SourceError
from trimtab.plugins.codecs import JsonCodec, TextCodec
from trimtab.plugins.demo import trimtab_sources
from trimtab.plugins.demo.fleet import make_fleet
from trimtab.plugins.demo.source import DemoOptions, create_source
from trimtab.testing import RecordingContext

FAST = 1_000_000.0


def run(options: DemoOptions) -> RecordingContext:
    context = RecordingContext(JsonCodec(), Path())
    asyncio.run(create_source(options, context).run())
    return context


def events(options: DemoOptions) -> list[dict[str, Any]]:
    return [msgspec.json.decode(line) for line in run(options).lines]


def test_the_count_is_kept_and_vehicles_take_turns() -> None:
    found = events(DemoOptions(rate=FAST, vehicles=3, count=7))
    assert [event["vehicle_id"] for event in found] == ["v1", "v2", "v3", "v1", "v2", "v3", "v1"]
    assert list(found[0]) == ["vehicle_id", "ts", "lat", "lon", "speed", "fuel", "status"]


def test_positions_count_the_events() -> None:
    assert run(DemoOptions(rate=FAST, count=1500)).places == [("run", number) for number in range(1500)]


def test_a_seed_always_makes_the_same_events_but_for_their_time() -> None:
    def without_time(seed: int) -> list[dict[str, Any]]:
        return [{**event, "ts": None} for event in events(DemoOptions(rate=FAST, count=200, seed=seed))]

    assert without_time(1) == without_time(1) != without_time(2)


def test_events_are_spaced_by_the_rate() -> None:
    times = [event["ts"] for event in events(DemoOptions(rate=100.0, count=11))]
    assert times[-1] - times[0] in range(99, 102)


def test_a_rate_of_events_takes_its_time() -> None:
    async def timed() -> float:
        loop = asyncio.get_running_loop()
        began = loop.time()
        await create_source(DemoOptions(rate=50.0, count=11), RecordingContext(JsonCodec(), Path())).run()
        return loop.time() - began

    assert asyncio.run(timed()) >= 0.19


def test_the_fleet_gives_scripts_something_to_do() -> None:
    fleet = make_fleet(5, 1)
    reports = [vehicle.report(0) for _ in range(500) for vehicle in fleet]
    assert any(report["speed"] > 100 for report in reports)
    assert any(report["fuel"] < 15 for report in reports)
    assert {report["status"] for report in reports} == {"moving", "stopped"}
    assert all(0 <= report["fuel"] <= 100 and 0 <= report["speed"] <= 130 for report in reports)
    assert all(report["speed"] == 0 for report in reports if report["status"] == "stopped")


def test_it_is_finite_only_with_a_count() -> None:
    (kind,) = trimtab_sources()
    assert kind.finite(DemoOptions(count=0))
    assert not kind.finite(DemoOptions())


def test_it_speaks_json_only() -> None:
    with pytest.raises(SourceError, match="a source of type demo expected \"json\", got 'text'"):
        create_source(DemoOptions(), RecordingContext(TextCodec(), Path()))
