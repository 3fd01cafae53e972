"""Hears from an outside system that something has changed there."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable

from trimtab.api import OutsideError


class Subscription(ABC):
    """One connection that hears. A place that has one is looked at after it was made, so nothing is missed."""

    @abstractmethod
    async def heard(self, seconds: float) -> None:
        """Return when something was said, or after so many seconds. Raises :class:`OutsideError` when it is lost."""

    @abstractmethod
    async def close(self) -> None:
        """Let go of the connection, whatever state it is in."""


class Ear:
    """Keeps one subscription, and makes a new one after it was lost.

    ``subscribe`` raises :class:`OutsideError`.
    """

    def __init__(self, subscribe: Callable[[], Awaitable[Subscription]]) -> None:
        self._subscribe = subscribe
        self._subscription: Subscription | None = None

    async def listen(self) -> None:
        """Hear all that is said from now on. Raises :class:`OutsideError`."""
        if self._subscription is None:
            self._subscription = await self._subscribe()

    async def heard(self, seconds: float) -> bool:
        """Wait until something was said or was perhaps missed, but not longer than so many seconds.

        Returns False, at once, where nobody listens. May be cancelled; then nobody does.
        """
        subscription, self._subscription = self._subscription, None
        if subscription is None:
            return False
        try:
            await subscription.heard(seconds)
        except BaseException as error:
            await subscription.close()
            if not isinstance(error, OutsideError):
                raise
        else:
            self._subscription = subscription
        return True
