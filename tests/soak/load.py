"""A steady load, and what comes of it."""

from __future__ import annotations

import json
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx

from tests.e2e.project import PATIENCE

KEYS = 500
TICK = 0.02
PAUSE = 0.002
"""Seconds between two looks at what comes out: as much too late it may be seen."""
Send = Callable[[Sequence[dict[str, Any]]], None]


class Load(threading.Thread):
    """Sends numbered events to one source at a steady rate, until it is stopped. ``rate``: events a second."""

    def __init__(self, source: str, send: Send, rate: int) -> None:
        super().__init__(daemon=True)
        self._source, self._send, self._at_a_time = source, send, max(1, round(rate * TICK))
        self._ends = threading.Event()
        self._sent = 0
        self._failed: Exception | None = None

    def run(self) -> None:
        """Send until :meth:`finish`. What could not be sent in time follows at once."""
        following = time.monotonic()
        try:
            while not self._ends.is_set():
                self._tick()
                following += TICK
                time.sleep(max(0.0, following - time.monotonic()))
        except Exception as error:  # noqa: BLE001 - told by finish
            self._failed = error

    def _tick(self) -> None:
        now, end = time.time(), self._sent + self._at_a_time
        self._send(
            [
                {"source": self._source, "n": n, "key": f"{self._source}{n % KEYS}", "sent": now}
                for n in range(self._sent, end)
            ]
        )
        self._sent = end

    def finish(self) -> int:
        """Stop; returns how many events were sent."""
        self._ends.set()
        self.join(PATIENCE)
        if self._failed:
            raise self._failed
        return self._sent


def post(client: httpx.Client) -> Send:
    """Return what posts events to the source ``hook``, again and again until they are accepted."""

    def send(events: Sequence[dict[str, Any]]) -> None:
        while (answer := client.post("/sources/hook", json=events)).status_code == 429:
            time.sleep(TICK / 4)
        answer.raise_for_status()

    return send


class Output(threading.Thread):
    """Reads what the scripts emit as it comes."""

    def __init__(self, path: Path) -> None:
        super().__init__(daemon=True)
        self._path = path
        self._ends = threading.Event()
        self._waits: list[float] = []
        self.times: dict[tuple[str, str], bytearray] = defaultdict(bytearray)
        """By script and source, then by number of the event: how often it has come out."""

    def run(self) -> None:
        """Read until :meth:`finish`."""
        self._path.touch()
        rest = b""
        with self._path.open("rb") as file:
            while data := file.read(1 << 20) or not self._ends.wait(PAUSE):
                if isinstance(data, bytes):
                    *lines, rest = (rest + data).split(b"\n")
                    self._take(lines, time.time())

    def _take(self, lines: list[bytes], now: float) -> None:
        for line in lines:
            script, source, n, sent = json.loads(line)
            times = self.times[script, source]
            if n >= len(times):
                times.extend(bytes(n + 1 - len(times)))
            times[n] += 1
            self._waits.append(now - sent)

    def waits(self) -> list[float]:
        """Return how long events took from being sent until they had come out, since the last call, in seconds."""
        waits, self._waits = self._waits, []
        return waits

    def has_last(self, sent: Mapping[str, int], scripts: Iterable[str]) -> bool:
        """Whether the last event of each source has come out of every script."""
        return all(len(self.times[script, source]) == count for script in scripts for source, count in sent.items())

    def lost(self, sent: Mapping[str, int], scripts: Iterable[str]) -> int:
        """Return how often an event of those that were sent did not come out of a script."""
        return sum(
            count - sum(map(bool, self.times[script, source])) for script in scripts for source, count in sent.items()
        )

    def repeated(self) -> int:
        """Return how often an event has come out again."""
        return sum(sum(times) - sum(map(bool, times)) for times in self.times.values())

    def finish(self) -> None:
        """Read what is there and end."""
        self._ends.set()
        self.join(PATIENCE)
