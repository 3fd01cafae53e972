"""Simulated racks of a data centre: they keep their temperature, until a fan fails and one of them heats up."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

_CHANCE = 0.02
"""That a fan fails before a report."""
_COOL, _HOT = 24.0, 85.0


@dataclass(slots=True)
class Rack:
    """One rack. Each report is a second after the one before."""

    id: str
    random: random.Random
    temperature: float
    broken: int = 0
    """Reports until the fan runs again."""

    def report(self, timestamp: int) -> dict[str, Any]:
        """Return the temperature at that time, in ms since the epoch."""
        if self.broken:
            self.broken -= 1
            self.temperature = min(_HOT, self.temperature + self.random.uniform(2, 6))
        else:
            self.temperature += (_COOL - self.temperature) * 0.3 + self.random.uniform(-1, 1)
            if self.random.random() < _CHANCE:
                self.broken = self.random.randint(8, 14)
        return {"rack": self.id, "ts": timestamp, "temp": round(self.temperature, 1)}


def make_racks(count: int, seed: int) -> list[Rack]:
    """Return some racks. The same seed makes the same ones, which heat up at the same reports."""
    return [Rack(f"r{number}", random.Random(f"{seed}/{number}"), _COOL) for number in range(1, count + 1)]
