"""The kinds of accidents. Each happens at a moment that the seed of the round decides."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from tests.chaos.clock import Clock
from tests.chaos.disk import SmallDisk, no_growth
from tests.chaos.stage import Stage
from tests.chaos.torn import tear
from tests.e2e.project import eventually

MOMENT = 0.4
"""Seconds within which an accident happens while events flow."""


@dataclass(frozen=True, slots=True)
class Scene:
    """Where accidents happen."""

    stage: Stage
    disk: SmallDisk | None
    clock: Clock | None


@dataclass(frozen=True, slots=True)
class Fault:
    """A kind of accident. What it needs is set up before the host starts."""

    strike: Callable[[Scene], None]
    """Lets it happen once, and brings the host back as an operator, or a supervisor of services, would."""
    repeats: bool = True
    """Whether what was emitted may come again: not if the host lives on, or has ended in order."""
    times: int = 2
    """How often it happens in a round, at most."""
    small_disk: bool = False
    own_clock: bool = False


def nothing(_scene: Scene) -> None:
    """No accident: what comes out is what must come out."""


def host(scene: Scene) -> None:
    """The host is killed while events flow."""
    scene.stage.pause(MOMENT)
    scene.stage.kill_host()
    scene.stage.start()


def lane(scene: Scene) -> None:
    """A lane is killed."""
    scene.stage.pause(MOMENT)
    scene.stage.kill_lane()


def nursery(scene: Scene) -> None:
    """The process that lanes are forked from is killed."""
    scene.stage.pause(MOMENT)
    scene.stage.kill_nursery()


def start(scene: Scene) -> None:
    """The host is killed, and once more while it recovers from that."""
    scene.stage.pause(MOMENT)
    scene.stage.kill_host()
    scene.stage.launch()
    scene.stage.pause(1.5 * MOMENT)
    scene.stage.kill_host()
    scene.stage.start()


def stop(scene: Scene) -> None:
    """The host is ended in order, and comes back with another number of lanes."""
    stage = scene.stage
    stage.pause(MOMENT)
    assert stage.stop() == 0
    config = stage.config.read_text().splitlines()
    lanes = f"lanes = {stage.rng.randrange(1, 4)}"
    stage.config.write_text("\n".join(lanes if line.startswith("lanes = ") else line for line in config))
    stage.start()


def swap(scene: Scene) -> None:
    """Scripts are saved, and at that moment the host is killed."""
    scene.stage.pause(MOMENT)
    scene.stage.swap()
    scene.stage.pause(MOMENT / 2)
    scene.stage.kill_host()
    scene.stage.start()


def swap_lane(scene: Scene) -> None:
    """Scripts are saved, and at that moment a lane is killed: they may be refused for it, but both of them."""
    stage = scene.stage
    before = stage.may_run
    stage.pause(MOMENT)
    stage.swap()
    stage.may_run |= before
    stage.pause(MOMENT / 2)
    stage.kill_lane()


def rollback(scene: Scene) -> None:
    """A rollback is under way, and the host is killed. What it has said to be done stays done."""
    stage = scene.stage
    before, generation = stage.version, stage.status()["generation"]
    stage.swap()
    eventually(lambda: stage.running_version() == stage.version, "the new version runs")
    done: list[bool] = []
    asking = threading.Thread(target=lambda: done.append(stage.roll_back(generation)))
    asking.start()
    stage.pause(MOMENT / 4)
    stage.kill_host()
    asking.join()
    stage.may_run = frozenset({before} if done == [True] else {before, stage.version})
    stage.start()


def checkpoint(scene: Scene) -> None:
    """The host is killed while a checkpoint is written."""
    scene.stage.pause(MOMENT)
    log = scene.stage.state / "checkpoints.db-wal"
    before = log.stat().st_mtime_ns
    deadline = time.monotonic() + 1
    while log.stat().st_mtime_ns == before and time.monotonic() < deadline:
        pass  # it takes a few ms
    scene.stage.pause(0.004)
    scene.stage.kill_host()
    scene.stage.start()


def torn_journal(scene: Scene) -> None:
    """The host is killed, and a write to the journal was cut short."""
    _torn(scene, "journal.db-wal")


def torn_checkpoint(scene: Scene) -> None:
    """The host is killed, and a write of a checkpoint was cut short."""
    _torn(scene, "checkpoints.db-wal")


def _torn(scene: Scene, name: str) -> None:
    scene.stage.pause(MOMENT)
    scene.stage.kill_host()
    assert tear(scene.stage.state / name, scene.stage.rng), f"there is no {name}"
    scene.stage.start()


def full_disk(scene: Scene) -> None:
    """No byte is left for the state folder, and some seconds later there is room again."""
    if scene.disk is None:  # nobody may mount one here
        full_files(scene)
        return
    scene.stage.pause(MOMENT)
    with scene.disk.full():
        _suffer(scene)
    scene.stage.ensure_running()


def full_files(scene: Scene) -> None:
    """No file can grow, and some seconds later they can again."""
    scene.stage.pause(MOMENT)
    process = scene.stage.process
    assert process is not None
    with no_growth(process.pid, scene.stage.state):
        _suffer(scene)
    scene.stage.ensure_running()


def _suffer(scene: Scene) -> None:
    scene.stage.pause(2 * MOMENT)
    process = scene.stage.process
    if scene.stage.rng.random() < 0.3 and process is not None and process.poll() is None:
        scene.stage.kill_host()


def clock_back(scene: Scene) -> None:
    """The clock drops back by minutes, scripts are saved, and perhaps the host is killed; then the clock is right again."""
    stage = scene.stage
    assert scene.clock is not None
    stage.pause(MOMENT)
    scene.clock.set_back(stage.rng.randrange(1, 1800))
    stage.pause(MOMENT)
    stage.swap()
    if stage.rng.random() < 0.5:
        stage.kill_host()
        stage.start()
    stage.pause(MOMENT)
    scene.clock.set_back(0)


FAULTS: Mapping[str, Fault] = {
    "none": Fault(nothing, repeats=False),
    "host killed": Fault(host),
    "host killed in a checkpoint": Fault(checkpoint),
    "host killed in a swap": Fault(swap),
    "host killed in a rollback": Fault(rollback),
    "host killed in its start": Fault(start, times=1),
    "host restarted with other lanes": Fault(stop, repeats=False, times=1),
    "lane killed": Fault(lane, repeats=False),
    "lane killed in a swap": Fault(swap_lane, repeats=False),
    "nursery killed": Fault(nursery, repeats=False, times=1),
    "torn journal": Fault(torn_journal),
    "torn checkpoint": Fault(torn_checkpoint),
    "full disk": Fault(full_disk, times=1, small_disk=True),
    "full files": Fault(full_files, times=1),
    "clock dropped back": Fault(clock_back, times=1, own_clock=True),
}
