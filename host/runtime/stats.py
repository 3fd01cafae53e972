"""What is counted per script, and per script and resource, while events flow."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from trimtab.engine.calls import CallCount
from trimtab.engine.result import ScriptCount
from trimtab.engine.rules import RuleCount

RECENT = 2048
"""Samples from which the percentiles are taken."""


@dataclass(slots=True)
class ScriptStats:
    """Counts of one script since the start of the host."""

    handled: int = 0
    failed: int = 0
    retried: int = 0
    samples: deque[int] = field(default_factory=lambda: deque(maxlen=RECENT))
    """Nanoseconds."""

    def add(self, count: ScriptCount) -> None:
        """Count one batch."""
        self.handled += count.handled
        self.failed += count.failed
        self.retried += count.retried
        self.samples.extend(count.samples)

    def percentile(self, share: float) -> float:
        """Microseconds within which this share of the recent events was handled; 0 before the first."""
        return percentile(self.samples, share)


def percentile(samples: Collection[int], share: float) -> float:
    """Return the microseconds within which a share of some samples in nanoseconds lies; 0 where there are none."""
    if not samples:
        return 0.0
    ordered = sorted(samples)
    return round(ordered[min(int(len(ordered) * share), len(ordered) - 1)] / 1000, 1)


@dataclass(slots=True)
class RuleStats:
    """Counts of one rule since the start of the host."""

    matches: int = 0
    timeouts: int = 0
    condition_errors: int = 0
    stopped: int = 0
    """How often it had too many partial matches for a key."""
    samples: deque[int] = field(default_factory=lambda: deque(maxlen=RECENT))
    """Nanoseconds that some events took."""
    last_error: str | None = None
    """Why a condition could not work with an event, the last time."""

    def add(self, count: RuleCount) -> None:
        """Count one batch."""
        self.matches += count.matches
        self.timeouts += count.timeouts
        self.condition_errors += count.condition_errors
        self.stopped += count.stopped
        self.samples.extend(count.samples)
        self.last_error = count.last_error or self.last_error

    def percentile(self, share: float) -> float:
        """Microseconds within which this share of the recent events was looked at; 0 before the first."""
        return percentile(self.samples, share)


class CallStats:
    """Counts of the calls of scripts to resources since the start of the host."""

    def __init__(self) -> None:
        self._by_resource: dict[str, dict[str, ScriptStats]] = {}

    @property
    def resources(self) -> Iterable[str]:
        """The names of the resources that were called."""
        return self._by_resource.keys()

    def add(self, counts: Iterable[CallCount]) -> None:
        """Count the calls of one batch."""
        for count in counts:
            stats = self._by_resource.setdefault(count.resource, {}).setdefault(count.script, ScriptStats())
            stats.add(ScriptCount(count.calls - count.failed, count.failed, count.samples))

    def of(self, resource: str) -> Mapping[str, ScriptStats]:
        """Return the counts of one resource, by script."""
        return self._by_resource.get(resource, {})
