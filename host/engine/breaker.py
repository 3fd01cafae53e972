"""Circuit breakers: what has failed too often of late is left alone for a while, and then tried again."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Literal

import msgspec

State = Literal["closed", "open", "half-open"]

BUCKETS = 10
"""Parts in which the window moves on."""
LONGEST_PAUSE = 60.0
"""Seconds."""
OUTSIDE = frozenset({"ConnectionError", "TimeoutError", "TimeLimitExceeded", "CircuitOpenError"})
"""Names of faults that say nothing of the event: another one would fail as well."""


class BreakerSettings(msgspec.Struct, frozen=True):
    """When a breaker opens, and for how long."""

    window: float = 20.0
    """Seconds that are looked at."""
    failures: float = 0.5
    """The share of what was tried that must have failed."""
    minimum: int = 10
    """How often it must have failed."""
    pause: float = 5.0
    """Seconds until it is tried again; twice as long after each try that fails, up to a minute."""


class Breaker:
    """One breaker. ``clock``: seconds that only grow.

    Called from any thread, without a lock: two threads that count at the same moment may count as one.
    """

    def __init__(
        self,
        settings: BreakerSettings,
        clock: Callable[[], float],
        changed: Callable[[], None] = lambda: None,
    ) -> None:
        self.state: State = "closed"
        self._changed = changed
        self._settings, self._clock = settings, clock
        self._buckets = [[-1, 0, 0] for _ in range(BUCKETS)]
        """A ring: the number of each bucket, how much went well in it, and how much failed."""
        self._openings = 0
        """How often it has opened since it was last closed."""
        self._shut_until = 0.0
        self._era = 0
        """How often the state has changed."""

    def admit(self) -> int | None:
        """Return what :meth:`record` is to be told with the outcome of a try, or None: there must be none now.

        After the pause one try is allowed, whose outcome decides.
        """
        if self.state != "closed":
            if self._clock() < self._shut_until:
                return None
            self._enter("half-open", LONGEST_PAUSE)  # another one, if nobody ever says what became of this one
        return self._era

    def record(self, era: int, good: int, failed: int) -> None:
        """Take note of what became of some tries; those that were admitted before it opened say nothing any more."""
        if era != self._era:
            return
        if self.state == "closed":
            self._count(good, failed)
        elif failed:
            self._open()
        elif good:
            self._openings = 0
            self._enter("closed", 0)

    def _count(self, good: int, failed: int) -> None:
        number = int(self._clock() / self._settings.window * BUCKETS)
        bucket = self._buckets[number % BUCKETS]
        if bucket[0] != number:
            bucket[:] = number, 0, 0
        bucket[1] += good
        bucket[2] += failed
        if not failed:
            return
        recent = [each for each in self._buckets if each[0] > number - BUCKETS]
        failures = sum(each[2] for each in recent)
        every = failures + sum(each[1] for each in recent)
        if failures >= self._settings.minimum and failures >= self._settings.failures * every:
            self._open()

    def _open(self) -> None:
        self._enter("open", min(LONGEST_PAUSE, self._settings.pause * 2**self._openings))
        self._openings += 1
        self._buckets = [[-1, 0, 0] for _ in range(BUCKETS)]

    def _enter(self, state: State, seconds: float) -> None:
        self.state, self._shut_until = state, self._clock() + seconds
        self._era += 1
        self._changed()


class Breakers:
    """The breakers of one process, by the name of the script or resource."""

    def __init__(self, settings: BreakerSettings | None = None, clock: Callable[[], float] = lambda: 0.0) -> None:
        self._settings, self._clock = settings or BreakerSettings(), clock
        self._by_name: dict[str, Breaker] = {}
        self._not_closed: dict[str, str] = {}

    def of(self, name: str) -> Breaker:
        """Return the breaker of a script or resource; made when it is first asked for."""
        found = self._by_name.get(name)
        if found is not None:
            return found
        return self._by_name.setdefault(name, Breaker(self._settings, self._clock, partial(self._note, name)))

    def forget(self, name: str) -> None:
        """Begin anew: something else has the name now."""
        self._by_name.pop(name, None)
        self._not_closed.pop(name, None)

    def not_closed(self) -> dict[str, str]:
        """Return the breakers that are open or half-open, with their states."""
        return self._not_closed.copy()  # asked with every batch: it must not cost what there is

    def _note(self, name: str) -> None:
        """A breaker that has the name, or had it, is in another state."""
        current = self._by_name.get(name)
        if current is None or current.state == "closed":
            self._not_closed.pop(name, None)
        else:
            self._not_closed[name] = current.state
