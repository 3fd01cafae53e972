"""What is counted per script while events flow."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from trimtab.engine.result import ScriptCount

RECENT = 2048
"""Samples from which the percentiles are taken."""


@dataclass(slots=True)
class ScriptStats:
    """Counts of one script since the start of the host."""

    handled: int = 0
    failed: int = 0
    samples: deque[int] = field(default_factory=lambda: deque(maxlen=RECENT))
    """Nanoseconds."""

    def add(self, count: ScriptCount) -> None:
        """Count one batch."""
        self.handled += count.handled
        self.failed += count.failed
        self.samples.extend(count.samples)

    def percentile(self, share: float) -> float:
        """Microseconds within which this share of the recent events was handled; 0 before the first."""
        if not self.samples:
            return 0.0
        ordered = sorted(self.samples)
        return round(ordered[min(int(len(ordered) * share), len(ordered) - 1)] / 1000, 1)
