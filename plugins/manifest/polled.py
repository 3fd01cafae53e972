"""Discoverers that look at an outside system again and again."""

from __future__ import annotations

import asyncio
import random
from abc import ABC, abstractmethod
from collections.abc import Mapping

from trimtab.api import Discoverer, OutsideError, Snapshot

_JITTER = 0.1
"""By how much of itself an interval varies, so that many hosts do not ask at the same moment."""


_AGAIN = 5.0
"""Seconds after which a place that could not be read is read again, if that is sooner."""

_SHORTEST = 0.01
"""Seconds that are always waited, so that a wait that is cancelled at once has begun to listen to nothing."""


class Place(ABC):
    """An outside system that holds artifacts."""

    alone: bool = False
    """See :class:`Discoverer`."""

    @abstractmethod
    async def read(self) -> Mapping[str, bytes] | Snapshot:
        """Return all artifacts that are there; in a snapshot, also what cannot be taken. Raises :class:`OutsideError`;
        must come to an end.
        """

    async def pause(self, seconds: float) -> None:
        """Wait until the place tells of a change, but not longer than ``seconds``. May be cancelled.

        A place that tells nothing lets the time pass.
        """
        await asyncio.sleep(seconds)


class PolledDiscoverer(Discoverer):
    """Looks at a place at every interval, or when the place tells of a change."""

    def __init__(self, name: str, place: Place, interval: float) -> None:
        self.name = name
        self.alone = place.alone
        self._place = place
        self._interval = interval
        self._reached = True
        self._looked: float | None = None
        """When the last look ended, on the clock of the event loop."""
        self._seen: Snapshot | OutsideError | None = None
        """What the last wait ended with, until it is taken."""

    async def scan(self) -> Snapshot:
        """Return what the last wait saw; looks itself only if there is nothing new from one.

        So changes elsewhere, which come one at a time, never wait for a slow system out there.
        """
        seen, self._seen = self._seen, None
        result = seen or await self._look()
        if isinstance(result, OutsideError):
            raise result
        return result

    async def wait(self) -> None:
        """Return after the interval or after a change, when the place was looked at or could not be.

        The interval begins with the last look: a host that has paused after an outage waits no longer for its end.
        """
        interval = self._interval if self._reached else min(self._interval, _AGAIN)
        now = asyncio.get_running_loop().time()
        passed = now - (now if self._looked is None else self._looked)
        await self._place.pause(max(_SHORTEST, interval * random.uniform(1 - _JITTER, 1 + _JITTER) - passed))
        self._seen = await self._look()

    async def restore(self, name: str, content: bytes | None) -> bool:  # noqa: ARG002
        """The place is not the host's to change: what lies there is held back until it changes."""
        return False

    async def _look(self) -> Snapshot | OutsideError:
        self._reached = False
        try:
            found = await self._place.read()
        except OutsideError as error:
            return error
        finally:
            self._looked = asyncio.get_running_loop().time()
        self._reached = True
        return found if isinstance(found, Snapshot) else Snapshot(found, {})
