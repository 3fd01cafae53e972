"""What a host takes at one moment, and what it must not take more of after a while."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence

import msgspec
import psutil

from tests.e2e.project import Project

MIB = 1 << 20


class Process(msgspec.Struct, frozen=True):
    """``memory``: MiB of its own and its part of what it shares (PSS). ``resident``: MiB with all that is shared."""

    memory: float
    resident: float
    descriptors: int


class Sample(msgspec.Struct, frozen=True):
    """``at``: seconds since the start of the load. Times in ms, of the events since the last sample."""

    at: float
    processes: dict[str, Process]
    p50: float
    p99: float
    longest: float


class Limits(msgspec.Struct, frozen=True):
    """How much more the last third may take than the first."""

    growth: float = 0.05
    """Of memory: a share of what it was, and so many MiB more."""
    noise: float = 0.0
    descriptors: int = 1
    slower: float = 1.5
    """Of the time that an event takes: so many times what it was, and so many ms more."""
    jitter: float = 5.0


class Trend(msgspec.Struct, frozen=True):
    """The medians of the first and the last third of a series, and the most that the last may be."""

    what: str
    first: float
    last: float
    most: float

    @property
    def holds(self) -> bool:
        """Whether it stays within its bound."""
        return self.last <= self.most


def processes(project: Project) -> Mapping[str, psutil.Process]:
    """Return the processes that must last as long as the host: itself, the nursery, the lanes."""
    assert project.process is not None
    host = psutil.Process(project.process.pid)
    lanes = {f"lane {index}": psutil.Process(lane["pid"]) for index, lane in enumerate(project.status()["lanes"])}
    nursery = next(iter(lanes.values())).parent()
    assert nursery is not None
    return {"host": host, "nursery": nursery, **lanes}


def sample(at: float, watched: Mapping[str, psutil.Process], waits: Sequence[float]) -> Sample:
    """Look at the processes, and at how long events have taken in seconds."""
    ordered = sorted(wait * 1000 for wait in waits) or [0.0]
    looked = {name: _look(process) for name, process in watched.items()}
    p50, p99 = (ordered[int(len(ordered) * share)] for share in (0.5, 0.99))
    return Sample(at, looked, p50, p99, ordered[-1])


def _look(process: psutil.Process) -> Process:
    memory = process.memory_full_info()
    return Process(memory.pss / MIB, memory.rss / MIB, process.num_fds())


def trends(samples: Sequence[Sample], limits: Limits) -> Iterator[Trend]:
    """Compare the last third of the samples with the first."""
    for name in samples[0].processes:
        seen = [each.processes[name] for each in samples]
        memory = [process.memory for process in seen]
        yield _trend(f"memory of {name}, MiB", memory, 1 + limits.growth, limits.noise)
        yield _trend(f"descriptors of {name}", [process.descriptors for process in seen], 1, limits.descriptors)
    yield _trend("p50 of an event, ms", [each.p50 for each in samples], limits.slower, limits.jitter)
    yield _trend("p99 of an event, ms", [each.p99 for each in samples], limits.slower, limits.jitter)


def _trend(what: str, values: Sequence[float], times: float, plus: float) -> Trend:
    third = max(1, len(values) // 3)
    first, last = statistics.median(values[:third]), statistics.median(values[-third:])
    return Trend(what, first, last, first * times + plus)
