"""When to look at what is stored: its time may have come."""

from __future__ import annotations

import heapq
from collections.abc import Iterator

SLACK = 1024
"""Notes about values that are gone are kept until there are that many beside as many as there are others."""
Place = tuple[str, str, str]
"""Script, key and name of a value."""


class Alarms:
    """When to look at values again: at the time that is noted, or before. One note a value, however often it is set."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, Place]] = []
        self._noted: dict[Place, int] = {}

    @property
    def next(self) -> int | None:
        """When there is something to look at."""
        return self._heap[0][0] if self._heap else None

    def note(self, at: int, place: Place) -> None:
        """Look at a value at a time, unless it is looked at before."""
        known = self._noted.get(place)
        if known is None or at < known:
            self._noted[place] = at
            heapq.heappush(self._heap, (at, place))

    def forget(self, place: Place) -> None:
        """There is no such value any more."""
        self._noted.pop(place, None)
        if len(self._heap) > 2 * len(self._noted) + SLACK:
            self._heap = [(at, noted) for noted, at in self._noted.items()]
            heapq.heapify(self._heap)

    def taken(self, until: int) -> Iterator[Place]:
        """Yield what to look at by a time, each once; it may be noted again meanwhile."""
        while self._heap and self._heap[0][0] <= until:
            at, place = heapq.heappop(self._heap)
            if self._noted.get(place) == at:  # else it was noted for an earlier time later on
                del self._noted[place]
                yield place
