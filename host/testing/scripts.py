"""Runs scripts in the process of a test, with real resources."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic, perf_counter_ns, time_ns
from types import TracebackType
from typing import Any

import msgspec

from trimtab.engine.batch import Batch, SourceSpec
from trimtab.engine.breaker import Breakers, BreakerSettings
from trimtab.engine.calls import Call, CallCount
from trimtab.engine.engine import Engine, Plan
from trimtab.engine.resources import Resources
from trimtab.engine.script import LogEntry, ScriptHost
from trimtab.engine.state import StateRow
from trimtab.errors import Fault
from trimtab.plugin_manager import Plugins
from trimtab.sandbox.limits import SignalLimits
from trimtab.sandbox.tasks import EventLoopTasks

SOURCE, SINK = "events", "out"


@dataclass(frozen=True, slots=True)
class Handled:
    """What came of some events."""

    emitted: list[Any]
    """The values emitted to the sink ``out``, in order."""
    faults: list[Fault]
    """Of the events that failed."""
    calls: list[CallCount]
    changes: list[StateRow]
    """What is different in the state."""


@dataclass
class ScriptRunner:
    """An engine with one source, ``events``, and one sink, ``out``; use it as a context manager.

    ``resources``: options by name such as ``sql.orders``. ``rehearsed``, where it is a list, gets every call in place
    of the outside system. Main thread only: time limits need signals.
    """

    resources: Mapping[str, dict[str, Any]] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    key: str | None = None
    """The field of the events that keys their state."""
    timestamp: str | None = None
    """The field of the events that holds their event time."""
    breaker: BreakerSettings = field(default_factory=lambda: BreakerSettings(minimum=1 << 30))
    """When circuit breakers open: never, unless a test is about them."""
    confined: bool | None = None
    rehearsed: list[Call] | None = None
    folder: Path = field(default_factory=Path)
    plugins: Plugins = field(default_factory=Plugins.load)
    logged: list[LogEntry] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._position = 0
        self._tasks = EventLoopTasks()
        self._tasks = EventLoopTasks()
        rehearse = None if self.rehearsed is None else self.rehearsed.append
        breakers = Breakers(self.breaker, monotonic)
        host = ScriptHost(
            sources=frozenset({SOURCE}),
            sinks=frozenset({SINK}),
            limits=SignalLimits(),
            log=self.logged.append,
            bindings=self.plugins.bindings(),
            resources=Resources(self.plugins.resource_kinds(), self.folder, perf_counter_ns, rehearse, breakers),
            breakers=breakers,
            confined=self.confined,
            tasks=self._tasks,
        )
        self._engine = Engine(
            self.plugins.script_engines(),
            host,
            {SOURCE: SourceSpec(self.key, self.timestamp)},
            lambda: time_ns() // 1_000_000,
        )
        self._deploy({}, self.resources, self.settings)

    def load(self, **files: str) -> None:
        """Deploy files; ``__`` stands for the dot: ``load(check__py="...")``. Raises :class:`ChangeRefused`."""
        self._deploy({name.replace("__", "."): source.encode() for name, source in files.items()}, {}, None)

    def declare(self, **resources: dict[str, Any] | None) -> None:
        """Replace resources; ``__`` stands for the dot: ``declare(sql__orders={"url": ...})``; None: without it."""
        self._deploy({}, {name.replace("__", "."): options for name, options in resources.items()}, None)

    def handle(self, *events: Any, now: int | None = None, watermark: int | None = None) -> Handled:
        """Hand the events to the scripts, as one batch; then fire the timers that are due.

        ``now``: the processing time, ``watermark``: how far event time has come; both in ms since the epoch.
        """
        lines = b"\n".join(msgspec.json.encode(event) for event in events)
        arrival = time_ns() // 1_000_000 if now is None else now
        batch = Batch(0, self._engine.generation, SOURCE, lines, len(events), arrival, "test", self._position)
        self._position += len(lines) + 1
        batch.watermarks = {} if watermark is None else {SOURCE: watermark}
        result = self._engine.process(batch)
        emitted = result.emitted.get(SINK)
        values = [msgspec.json.decode(line) for line in emitted.data.splitlines()] if emitted else []
        return Handled(values, [failed.fault for failed in result.failed], result.calls, result.changes)

    def close(self) -> Sequence[Fault]:
        """Close scripts and resources. Returns what failed."""
        faults = [fault for _script, fault in self._engine.close() if fault is not None]
        self._tasks.close()
        return faults

    def __enter__(self) -> ScriptRunner:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.close()

    def _deploy(
        self, files: dict[str, bytes], resources: Mapping[str, dict[str, Any] | None], settings: dict[str, Any] | None
    ) -> None:
        scripts = [name for name in files if not name.startswith("_")]
        plan = Plan(self._engine.generation + 1, files, [], scripts, settings, dict(resources))
        self._engine.prepare(plan)
        self._engine.commit()
        while self._engine.close_retired():
            pass
