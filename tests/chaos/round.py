"""One round: a host in a folder of its own, events, accidents, and what came of it."""

from __future__ import annotations

import random
import shutil
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from tests.chaos.clock import Clock
from tests.chaos.disk import small_disk
from tests.chaos.faults import FAULTS, Fault, Scene
from tests.chaos.feed import Feed, Poster, append
from tests.chaos.model import Outcome
from tests.chaos.stage import Stage
from tests.chaos.verdict import Observed, differences, expected, missing, not_stored, repeated
from tests.chaos.workload import BRIEF_MS, Event, Workload
from tests.e2e.project import PATIENCE, eventually

LINES, POSTS = 600, 150
"""Events of a round, by the way they come."""


@dataclass(slots=True)
class Report:
    """What a round has shown. The same seed repeats it, as far as the machine lets it."""

    seed: int
    kind: str
    seconds: float = 0.0
    events: int = 0
    kills: int = 0
    found: int = 0
    """Matches and time-outs of the rules."""
    repeated: int = 0
    """Values that were emitted more than once."""
    unanswered: int = 0
    wrong: list[str] = field(default_factory=list)


def kind_of(seed: int) -> str:
    """Return the kind of accident of a round: each comes as often as the others."""
    return list(FAULTS)[seed % len(FAULTS)]


def play(seed: int, folder: Path) -> Report:
    """Play one round in an empty folder. It is left as it was at the end if something is wrong, else removed."""
    report = Report(seed, kind_of(seed))
    began = time.monotonic()
    try:
        with ExitStack() as cleanup:
            _Round(seed, folder, cleanup).play(report)
    except (AssertionError, OSError, TimeoutError) as error:
        report.wrong.append(f"{type(error).__name__}: {error}")
    report.seconds = time.monotonic() - began
    if not report.wrong:
        shutil.rmtree(folder)
    return report


class _Round:
    def __init__(self, seed: int, folder: Path, cleanup: ExitStack) -> None:
        self._fault: Fault = FAULTS[kind_of(seed)]
        rng = random.Random(seed)
        self._workload = Workload(rng, LINES, POSTS)
        clock = Clock(folder) if self._fault.own_clock else None
        self._stage = Stage(folder, rng, clock.environment if clock else {})
        disk = cleanup.enter_context(small_disk(self._stage.state)) if self._fault.small_disk else None
        self._scene = Scene(self._stage, disk, clock)
        self._poster = Poster(self._stage, self._stage.token)
        cleanup.callback(self._poster.close)
        cleanup.callback(self._stage.end)

    def play(self, report: Report) -> None:
        stage = self._stage
        stage.start()
        feeds = [
            Feed(self._workload.lines, append(stage), at_a_time=6, pause=0.01),
            Feed(self._workload.posts, self._poster, at_a_time=2, pause=0.01),
        ]
        for feed in feeds:
            feed.start()
        for _ in range(stage.rng.randint(1, self._fault.times)):
            self._fault.strike(self._scene)
        for feed in feeds:
            feed.finish()
        self._send(self._workload.closing())
        time.sleep(BRIEF_MS / 1000)  # what is kept for so long must be gone in the audits
        self._send(self._workload.audits())
        eventually(lambda: stage.running_version() in stage.may_run, f"one of the versions {set(stage.may_run)} runs")
        assert stage.stop() == 0, stage.log.read_text()
        self._compare(report)

    def _send(self, events: Sequence[Event]) -> None:
        """Send the last events of all keys and wait until nothing is missing."""
        append(self._stage)([event for event in events if event.ts is not None])
        self._poster([event for event in events if event.ts is None])
        deadline = time.monotonic() + PATIENCE
        while lost := self._missing():
            if time.monotonic() > deadline:
                raise AssertionError("\n".join(lost[:20]))
            time.sleep(0.05)

    def _missing(self) -> Sequence[str]:
        observed = self._stage.observed()
        return missing(self._expected(observed), observed)

    def _expected(self, observed: Observed) -> Outcome:
        return expected(self._workload.all(), self._poster.unanswered, observed)

    def _compare(self, report: Report) -> None:
        observed = self._stage.observed()
        wanted = self._expected(observed)
        report.wrong += differences(wanted, observed, repeats=self._fault.repeats)
        report.wrong += not_stored(wanted, self._stage.stored())
        report.wrong += self._stage.tracebacks()
        report.events = len(self._workload.all())
        report.found = len({each.identity for each in observed.found})
        report.kills = self._stage.kills
        report.unanswered = len(self._poster.unanswered)
        report.repeated = repeated(observed)
