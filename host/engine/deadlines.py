"""The time limits of what waits in the event loop."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, Generic, TypeVar

from trimtab.engine.script import Tasks

if TYPE_CHECKING:
    from asyncio import TimerHandle

Item = TypeVar("Item", bound=Hashable)

TICK = 0.01
"""Seconds between two looks at the clock, where the loop is free."""
MOST = 2 * TICK
"""Seconds that count between two looks at most."""


class Deadlines(Generic[Item]):
    """Tells when the time of something is up. ``expire`` is called in the event loop.

    While somebody computes, nothing that waits can go on, however ready it is: such time is not counted, so that one
    event that computes for too long takes no other with it.
    """

    def __init__(self, tasks: Tasks, expire: Callable[[Item], None]) -> None:
        self._tasks, self._expire = tasks, expire
        self._ends: dict[Item, float] = {}
        self._counted = self._seen = 0.0
        self._next: TimerHandle | None = None

    def start(self, item: Item, seconds: float) -> None:
        """Have something expire, unless it is stopped before."""
        if self._next is None:
            self._seen = self._tasks.loop.time()
            self._next = self._tasks.loop.call_later(TICK, self._tick)
        self._ends[item] = self._counted + seconds

    def stop(self, item: Item) -> None:
        """Something has ended."""
        self._ends.pop(item, None)

    def _tick(self) -> None:
        now = self._tasks.loop.time()
        self._counted += min(now - self._seen, MOST)
        self._seen = now
        for item in [item for item, end in self._ends.items() if end <= self._counted]:
            if self._ends.pop(item, None) is not None:
                self._expire(item)
        self._next = self._tasks.loop.call_later(TICK, self._tick) if self._ends else None
