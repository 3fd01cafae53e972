"""When a place that is polled is looked at."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping

import pytest

from trimtab.api import OutsideError
from trimtab.plugins.manifest.polled import Place, PolledDiscoverer

INTERVAL = 0.5


class Shelf(Place):
    """Holds one artifact, unless it is out of reach."""

    def __init__(self) -> None:
        self.away = False
        self.looks = 0

    async def read(self) -> Mapping[str, bytes]:
        self.looks += 1
        if self.away:
            raise OutsideError("away", retryable=True)
        return {"a.py": b""}


async def waited(discoverer: PolledDiscoverer) -> float:
    """How long the discoverer waits, in seconds."""
    began = time.monotonic()
    await discoverer.wait()
    return time.monotonic() - began


def test_the_interval_lies_between_two_looks() -> None:
    async def look() -> None:
        discoverer = PolledDiscoverer("shelf", Shelf(), INTERVAL)
        assert await waited(discoverer) > 0.85 * INTERVAL
        await discoverer.scan()
        assert await waited(discoverer) > 0.85 * INTERVAL

    asyncio.run(look())


def test_a_wait_sees_and_the_scan_after_it_does_not_look_again() -> None:
    async def look() -> None:
        shelf = Shelf()
        discoverer = PolledDiscoverer("shelf", shelf, 0.01)
        await discoverer.wait()
        await discoverer.scan()
        assert shelf.looks == 1
        await discoverer.scan()
        assert shelf.looks == 2

    asyncio.run(look())


def test_time_that_the_host_has_let_pass_after_an_outage_counts() -> None:
    async def look() -> None:
        shelf = Shelf()
        discoverer = PolledDiscoverer("shelf", shelf, 2.0)
        shelf.away = True
        with pytest.raises(OutsideError):
            await discoverer.scan()
        shelf.away = False
        await asyncio.sleep(1.7)
        assert await waited(discoverer) < 1.7
        assert (await discoverer.scan()).artifacts == {"a.py": b""}

    asyncio.run(look())


def test_a_place_says_whether_its_artifacts_stand_alone() -> None:
    class Rows(Shelf):
        alone = True

    assert PolledDiscoverer("shelf", Rows(), 1.0).alone
    assert not PolledDiscoverer("shelf", Shelf(), 1.0).alone
