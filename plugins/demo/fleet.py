"""A simulated fleet: vehicles that drive around a town, speed at times, and run out of fuel."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from typing import Any

_CENTRE = (52.52, 13.40)
_KM_PER_DEGREE = 111.2
_SECONDS_PER_REPORT = 10.0
_TOP_SPEED = 130.0


@dataclass(slots=True)
class Vehicle:
    """One vehicle. Each report is ten seconds of driving after the one before."""

    id: str
    random: random.Random
    lat: float
    lon: float
    speed: float
    heading: float
    fuel: float
    pause: int = 0
    """Reports for which it still stands."""

    def report(self, timestamp: int) -> dict[str, Any]:
        """Drive on, and say where it is at that time, in ms since the epoch."""
        self._drive()
        return {
            "vehicle_id": self.id,
            "ts": timestamp,
            "lat": round(self.lat, 5),
            "lon": round(self.lon, 5),
            "speed": round(self.speed, 1),
            "fuel": round(self.fuel, 1),
            "status": "stopped" if self.pause else "moving",
        }

    def _drive(self) -> None:
        if self.pause:
            self.pause -= 1
        elif self.fuel < 2 or self.random.random() < 0.03:
            self.pause = self.random.randint(2, 6)
            self.fuel = 100.0 if self.fuel < 15 else self.fuel
        self.speed = 0.0 if self.pause else min(_TOP_SPEED, max(5.0, self.speed + self.random.gauss(2, 12)))
        self.heading += self.random.gauss(0, 0.3)
        kilometres = self.speed * _SECONDS_PER_REPORT / 3600
        self.fuel -= kilometres * 0.5
        self.lat += kilometres * math.cos(self.heading) / _KM_PER_DEGREE
        self.lon += kilometres * math.sin(self.heading) / (_KM_PER_DEGREE * math.cos(math.radians(_CENTRE[0])))


def make_fleet(vehicles: int, seed: int) -> list[Vehicle]:
    """Return vehicles spread over the town. The same seed makes the same ones, which drive the same ways."""
    return [_vehicle(number, seed) for number in range(1, vehicles + 1)]


def _vehicle(number: int, seed: int) -> Vehicle:
    source = random.Random(f"{seed}/{number}")
    return Vehicle(
        id=f"v{number}",
        random=source,
        lat=_CENTRE[0] + source.uniform(-0.1, 0.1),
        lon=_CENTRE[1] + source.uniform(-0.15, 0.15),
        speed=source.uniform(20, 70),
        heading=source.uniform(0, math.tau),
        fuel=source.uniform(10, 100),
    )
