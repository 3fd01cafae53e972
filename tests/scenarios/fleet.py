"""The demo with a real host: its scripts and its configuration, and vehicles that report while something changes."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Self

import httpx

from tests.docs.documents import ROOT
from tests.e2e.project import Project, eventually

VEHICLES = ("v1", "v2", "v3", "v4", "v5")
PAUSE = 0.01
"""Seconds between two reports."""
SOME = 30
"""Reports after which things surely flow."""

_WITNESS = """
from trimtab import emit
source = "gps"
def handle(event, ctx):
    emit("out", [event["ts"], ctx.generation])
"""
_RACKS = "racks.py"
"""Not about vehicles: it makes a table of rules when it starts, whose discovery is a generation."""
_DEMO = 'type = "demo"\nrate = 20'
_DATABASE = 'url = "sqlite:///fleet.db"'


class Fleet(Project):
    """The demo, where reports come from a file, values go to files, and a witness notes every report.

    ``replaced``: what stands elsewhere in the configuration, by what the demo has there.
    """

    def __init__(self, folder: Path, *, database: str = _DATABASE, replaced: Mapping[str, str] | None = None) -> None:
        super().__init__(folder)
        shutil.copytree(
            ROOT / "scripts", self.scripts, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__", _RACKS)
        )
        self.save("witness.py", _WITNESS)
        self.config.write_text(
            f'[host]\nlanes = 2\nlisten = "127.0.0.1:0"\n{(ROOT / "trimtab.toml").read_text()}\n{_file_sink("out")}\n'
        )
        self.edit(_DEMO, 'type = "file"\npath = "events.jsonl"\nfollow = true')
        self.edit(_DATABASE, database)
        for name in ("alarms", "sms", "mail"):
            stdout = f'[sinks.{name}]\ntype = "stdout"\n'
            self.edit(stdout, (replaced or {}).get(name) or _file_sink(name))

    def edit(self, old: str, new: str) -> None:
        """Edit the configuration file in place."""
        text = self.config.read_text()
        assert old in text
        self.config.write_text(text.replace(old, new))

    def tell(self, source: str, value: Any) -> None:
        """Send what a user sends, and wait until it is handled."""
        handled = self.status()["sources"][source]["handled"]
        eventually(lambda: self._post(source, value), "the host takes it")
        eventually(lambda: self.status()["sources"][source]["handled"] > handled, "it is handled")

    def _post(self, source: str, value: Any) -> bool:
        return httpx.post(f"{self.url}/sources/{source}", json=value, trust_env=False).status_code == 202

    def written(self, sink: str) -> list[dict[str, Any]]:
        """What has come to a sink."""
        path = self.folder / f"{sink}.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def alarms(self, kind: str, **fields: Any) -> list[int]:
        """The numbers of the reports that there were alarms of a kind for."""
        wanted = {"alarm": kind, **fields}
        return [row["at"] for row in self.written("alarms") if wanted.items() <= row.items()]

    def change(self, name: str, nth: int = 1) -> int:
        """The generation of the n-th committed change of an artifact after its first version, once it is there."""
        return eventually(lambda: next(iter(self._changes(name)[nth - 1 :]), None), f"{name} changes")

    def _changes(self, name: str) -> list[int]:
        generations = self.ask("/api/history")["generations"]
        committed = [each for each in generations if each["outcome"] == "committed" and name in each["changes"]]
        return sorted(each["number"] for each in committed if each["number"] > 1)


class Traffic:
    """Inside the block vehicles report one after the other. Report number n has the time n."""

    def __init__(self, fleet: Fleet, **fields: Any) -> None:
        self._fleet = fleet
        self._fields = {"lat": 52.52, "lon": 13.40, "speed": 50, "fuel": 80, "status": "moving", **fields}
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._drive)
        self.sent = 0

    def __enter__(self) -> Self:
        self._thread.start()
        self.go_on()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def go_on(self) -> int:
        """Wait until some more reports are handled, of which all were sent after now; returns the first one's number."""
        first = self.sent
        eventually(lambda: len(self._fleet.emitted()) >= first + SOME, "reports are handled")
        return first

    def end(self) -> None:
        """Send no more, and wait until all reports are handled."""
        self.__exit__()
        eventually(lambda: len(self._fleet.emitted()) >= self.sent, "all are handled")

    def handled(self) -> dict[int, int]:
        """End, also the host; return the generation that has handled each report: every one, and each once."""
        self.end()
        assert self._fleet.stop() == 0
        rows = self._fleet.emitted()
        assert sorted(number for number, _ in rows) == list(range(self.sent))
        assert self._fleet.letters() == []
        return dict(rows)

    def _drive(self) -> None:
        while not self._ended.wait(PAUSE):
            number = self.sent
            self.sent += 1  # first, so that what is sent after a look at it has a higher number
            self._fleet.send({"vehicle_id": vehicle_of(number), "ts": number, **self._fields})


def vehicle_of(number: int) -> str:
    """Which vehicle sends a report."""
    return VEHICLES[number % len(VEHICLES)]


def assert_one_run(numbers: Iterable[int], surely: Iterable[int]) -> None:
    """Assert that something came for reports from one to another of each vehicle: none twice, none left out between.

    ``surely``: reports that it came for at least.
    """
    came = list(numbers)
    assert len(came) == len(set(came)), "something came twice"
    assert not set(surely) - set(came), "something was lost"
    for vehicle in VEHICLES:
        of_vehicle = sorted(number for number in came if vehicle_of(number) == vehicle)
        if of_vehicle:
            assert of_vehicle == list(range(of_vehicle[0], of_vehicle[-1] + 1, len(VEHICLES)))


def _file_sink(name: str) -> str:
    return f'[sinks.{name}]\ntype = "file"\npath = "{name}.jsonl"\n'
