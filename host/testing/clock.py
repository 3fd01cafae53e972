"""A clock that goes only when told."""

from __future__ import annotations


class FakeClock:
    """Stands in for ``time.monotonic`` or ``time.time``."""

    def __init__(self, now: float = 0.0) -> None:
        self.now = now

    def __call__(self) -> float:
        """The time, in seconds."""
        return self.now

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds
