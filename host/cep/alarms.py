"""When the clock is to look at partial matches. There may be an alarm for each of them, so alarms are small."""

from __future__ import annotations

from collections import deque
from heapq import heapify, heappop, heappush, heapreplace
from itertools import count

from trimtab.cep.runs import Partials

_SLACK = 1024
"""Alarms of partial matches that are gone are kept until there are that many beside as many as there are others."""


class Alarms:
    """Alarms by their time.

    Most are set in the order of their times, if only those of the same window are looked at: these stand in a queue,
    where one costs eight bytes. A heap holds the others, and the first one of each queue.
    """

    def __init__(self) -> None:
        self.heap: list[tuple[int, int, int | Partials]] = []
        """What comes next, first: its time, a number, and the window of a queue or partial matches. Only to look at."""
        self._queues: dict[int, deque[Partials]] = {}
        self._numbers = count()
        self._size = 0
        self._compact_at = _SLACK

    @property
    def next(self) -> int | None:
        """When the next alarm rings at the earliest, ms."""
        return self.heap[0][0] if self.heap else None

    def set(self, partials: Partials, began: int, window: int) -> None:
        """Ring for partial matches a window after they began, ms, unless they are gone by then."""
        partials.alarm = began  # the end of the window would be another number, which takes memory
        queue = self._queues.get(window)
        if queue is None:
            queue = self._queues[window] = deque()
            self._push(began + window, window)
        elif began < (queue[-1].alarm or 0):
            self._push(began + window, partials)
            return
        queue.append(partials)
        self._size += 1
        if self._size > self._compact_at:
            self._compact()

    def ring_at(self, time: int, partials: Partials) -> None:
        """Ring at a time, ms, also if the partial matches are gone by then."""
        self._push(time, partials)

    def pop(self, time: int) -> tuple[int, Partials] | None:
        """Return the next alarm up to a time, and for which partial matches it rings; None: there is none."""
        heap = self.heap
        while heap and heap[0][0] <= time:
            due, _number, what = heap[0]
            if isinstance(what, Partials):
                heappop(heap)
                return due, what
            queue = self._queues[what]
            partials = queue.popleft()
            self._size -= 1
            if queue:
                heapreplace(heap, ((queue[0].alarm or 0) + what, next(self._numbers), what))
            else:
                heappop(heap)
                del self._queues[what]
            if partials.runs:
                return due, partials
        return None

    def _push(self, time: int, what: int | Partials) -> None:
        heappush(self.heap, (time, next(self._numbers), what))

    def _compact(self) -> None:
        """Let go of what is gone."""
        queues = {window: deque(each for each in queue if each.runs) for window, queue in self._queues.items()}
        self._queues = {window: queue for window, queue in queues.items() if queue}
        self.heap[:] = [each for each in self.heap if isinstance(each[2], Partials)]
        self.heap += [
            ((queue[0].alarm or 0) + window, next(self._numbers), window) for window, queue in self._queues.items()
        ]
        heapify(self.heap)
        self._size = sum(map(len, self._queues.values()))
        self._compact_at = 2 * self._size + _SLACK
