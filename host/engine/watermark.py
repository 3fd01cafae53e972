"""Event time of a source: how far it has come."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Watermark:
    """The bounded out-of-orderness watermark of stream processors: no event older than ``value`` is expected."""

    lateness: int
    """How much later than newer events an event may come, ms."""
    value: int | None = None
    """Event time in ms; None before the first event that carries one."""

    def observe(self, timestamp: int | None) -> None:
        """Take note of the highest event time of some events. The watermark never goes back."""
        if timestamp is not None:
            value = timestamp - self.lateness
            self.value = value if self.value is None else max(self.value, value)
