"""What the tests of discovered rules share."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import Engine, event

from trimtab.api import Discoverer, OutsideError, Snapshot

SOON = 30.0
"""Seconds within which something must come, on a busy machine."""

Document = dict[str, Any]


class Looks:
    """Looks at a place again and again, as a host does."""

    def __init__(self, discoverer: Discoverer) -> None:
        self._discoverer = discoverer

    async def snapshot(self) -> Snapshot:
        """Look once."""
        async with asyncio.timeout(SOON):
            return await self._discoverer.scan()

    async def rules(self) -> dict[str, Document]:
        """Look once; returns the documents by the name of the artifact. Nothing is refused."""
        snapshot = await self.snapshot()
        assert not snapshot.refused
        return documents(snapshot)

    async def outage(self) -> str:
        """Look once, in vain."""
        with pytest.raises(OutsideError) as refused:
            await self.snapshot()
        assert refused.value.retryable
        return str(refused.value)

    async def told(self, change: Callable[[], Any]) -> dict[str, Document]:
        """Wait while something changes, and return what is seen then. Nothing is seen before."""
        waiting = asyncio.create_task(self._discoverer.wait())
        await asyncio.sleep(0.05)
        assert not waiting.done()
        await asyncio.to_thread(change)
        async with asyncio.timeout(SOON):
            await waiting
        return await self.rules()

    async def end(self) -> None:
        """End as a host does: that closes what a discoverer keeps open."""
        waiting = asyncio.create_task(self._discoverer.wait())
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait({waiting})


def documents(snapshot: Snapshot) -> dict[str, Document]:
    """The documents in a snapshot, by the name of the artifact."""
    return {name: json.loads(content) for name, content in snapshot.artifacts.items()}


def looking(discoverer: Discoverer, work: Callable[[Looks], Awaitable[Any]]) -> Any:
    """Return what ``work`` returns."""

    async def look() -> Any:
        looks = Looks(discoverer)
        try:
            return await work(looks)
        finally:
            await looks.end()

    return asyncio.run(look())


def rules_of(discoverer: Discoverer) -> dict[str, Document]:
    """The rules that one look finds."""
    found: dict[str, Document] = looking(discoverer, Looks.rules)
    return found


def snapshot_of(discoverer: Discoverer) -> Snapshot:
    """What one look finds, with what is refused."""
    found: Snapshot = looking(discoverer, Looks.snapshot)
    return found


def outage_of(discoverer: Discoverer) -> str:
    """Why one look finds nothing."""
    found: str = looking(discoverer, Looks.outage)
    return found


@contextmanager
def counted() -> Iterator[list[str]]:
    """Inside the block, the statements that are run through SQLAlchemy in this process go to a list."""
    statements: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        statements.append(statement)

    event.listen(Engine, "before_cursor_execute", note)
    try:
        yield statements
    finally:
        event.remove(Engine, "before_cursor_execute", note)


def reads(statements: list[str]) -> int:
    """How many of some statements have read all rows; begins to count anew."""
    found = sum(statement.startswith("select * from") for statement in statements)
    statements.clear()
    return found
