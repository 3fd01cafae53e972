"""One soak: a host under a steady load and steady changes, watched all the time."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import httpx
import msgspec

from tests.e2e.project import PATIENCE, Project, eventually, running
from tests.soak.load import Load, Output, post
from tests.soak.samples import Limits, Sample, Trend, processes, sample, trends
from tests.soak.scripts import SCRIPTS, script

EXTRA = """
[sources.hook]
type = "http"
key = "key"
"""


class Plan(msgspec.Struct, frozen=True):
    """``rate`` in events a second; times in seconds."""

    seconds: float
    warm_up: float
    rate: int = 2000
    swap_every: float = 1.0
    sample_every: float = 2.0
    limits: Limits = Limits()


class Result(msgspec.Struct):
    """What a soak has shown."""

    plan: Plan
    events: int
    swaps: int
    lost: int
    """How often an event did not come out of a script."""
    repeated: int
    restarts: int
    """Of lanes."""
    dead_letters: int
    trends: Sequence[Trend]
    samples: Sequence[Sample]

    def wrong(self) -> list[str]:
        """Return what must not be; nothing, if all is well."""
        counted = {
            "events lost": self.lost,
            "events repeated": self.repeated,
            "restarts of lanes": self.restarts,
            "dead letters": self.dead_letters,
        }
        return [
            *(f"{count} {what}" for what, count in counted.items() if count),
            *(f"{each.what}: {each.first:.1f}, then {each.last:.1f}" for each in self.trends if not each.holds),
        ]


def soak(plan: Plan, folder: Path, tell: Callable[[Sample], None]) -> Result:
    """Run one in an empty folder; ``tell`` gets every sample as it is taken."""
    project = Project(folder, source='key = "key"', extra=EXTRA)
    project.checkout({name: script(name, 0) for name in SCRIPTS})
    output = Output(folder / "out.jsonl")
    with running(project), httpx.Client(base_url=project.url, timeout=PATIENCE, trust_env=False) as client:
        loads = {
            "file": Load("file", lambda events: project.send(*events), plan.rate * 9 // 10),
            "post": Load("post", post(client), plan.rate // 10),
        }
        for thread in (output, *loads.values()):
            thread.start()
        samples, swaps = _watch(plan, project, output, tell)
        sent = {source: load.finish() for source, load in loads.items()}
        with suppress(AssertionError):  # what has not come out counts as lost
            eventually(lambda: output.has_last(sent, SCRIPTS), "the last events come out")
        status = project.status()
        assert project.stop() == 0, project.log.read_text()
    output.finish()
    return Result(
        plan=plan,
        events=sum(sent.values()),
        swaps=swaps,
        lost=output.lost(sent, SCRIPTS),
        repeated=output.repeated(),
        restarts=sum(lane["restarts"] for lane in status["lanes"]),
        dead_letters=status["dead_letters"],
        trends=list(trends([each for each in samples if each.at >= plan.warm_up], plan.limits)),
        samples=samples,
    )


def _watch(
    plan: Plan, project: Project, output: Output, tell: Callable[[Sample], None]
) -> tuple[Sequence[Sample], int]:
    """Swap and sample until the time is over."""
    watched = processes(project)
    names = list(SCRIPTS)
    began = time.monotonic()
    samples: list[Sample] = []
    swaps = 0
    while (at := time.monotonic() - began) < plan.seconds:
        if at >= (swaps + 1) * plan.swap_every:
            swaps += 1
            name = names[swaps % len(names)]
            project.save(name, script(name, swaps))
        if at >= (len(samples) + 1) * plan.sample_every:
            samples.append(sample(at, watched, output.waits()))
            tell(samples[-1])
        time.sleep(0.01)
    return samples, swaps
