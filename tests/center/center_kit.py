"""What the tests of the configuration centre share."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from trimtab.api import Discoverer, DiscovererContext, OutsideError

SOON = 30.0
"""Seconds within which something must come, on a busy machine. A discoverer that only polls looks once an hour here."""
CONTEXT = DiscovererContext(Path("/"), (), Path("/state"), frozenset((".py",)))

Change = Callable[[], Any]


async def scanned(discoverer: Discoverer) -> dict[str, Any]:
    """The settings that a scan finds."""
    snapshot = await discoverer.scan()
    (content,) = snapshot.artifacts.values()
    settings: dict[str, Any] = msgspec.json.decode(content)
    return settings


def settings_of(discoverer: Discoverer) -> dict[str, Any]:
    """The settings that a scan of its own finds."""
    return asyncio.run(_with(discoverer, lambda: scanned(discoverer)))


def refusal(discoverer: Discoverer) -> str:
    """Why a scan fails."""
    with pytest.raises(OutsideError) as refused:
        settings_of(discoverer)
    assert refused.value.retryable
    return str(refused.value)


def heard(discoverer: Discoverer, *changes: Change) -> list[dict[str, Any]]:
    """The settings that are seen after each change, at once."""

    async def hear() -> list[dict[str, Any]]:
        await discoverer.scan()
        seen: list[dict[str, Any]] = []
        for change in changes:
            waiting = asyncio.create_task(discoverer.wait())
            await asyncio.sleep(0.05)
            assert not waiting.done()
            await asyncio.to_thread(change)
            await waiting
            seen.append(await scanned(discoverer))
        return seen

    return asyncio.run(_with(discoverer, hear))


def recovered(discoverer: Discoverer, lose: Change, mend: Change) -> dict[str, Any]:
    """The settings that are seen after an outage, which must be noticed at once, as its end must be soon."""

    async def recover() -> dict[str, Any]:
        await discoverer.scan()
        await asyncio.to_thread(lose)
        try:
            await discoverer.wait()
            await scanned(discoverer)
        except OutsideError:
            await asyncio.to_thread(mend)
            await discoverer.wait()
            return await scanned(discoverer)
        raise AssertionError("the outage was not noticed")

    return asyncio.run(_with(discoverer, recover))


async def _with(discoverer: Discoverer, work: Callable[[], Awaitable[Any]]) -> Any:
    try:
        async with asyncio.timeout(SOON):
            return await work()
    finally:  # what a discoverer keeps open is closed when its wait ends
        waiting = asyncio.create_task(discoverer.wait())
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait({waiting})
