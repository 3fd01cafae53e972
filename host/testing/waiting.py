"""Lets tests wait for a fact instead of a time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Changes:
    """Wakes those who wait whenever something has changed."""

    def __init__(self) -> None:
        self._waiting: set[asyncio.Future[None]] = set()

    def notify(self) -> None:
        """Something has changed."""
        for future in self._waiting:
            if not future.done():
                future.set_result(None)

    async def until(self, fact: Callable[[], bool], seconds: float) -> None:
        """Wait until the fact holds. Raises ``TimeoutError`` after so many seconds."""
        async with asyncio.timeout(seconds):
            while not fact():
                future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
                self._waiting.add(future)
                try:
                    await future
                finally:
                    self._waiting.discard(future)
