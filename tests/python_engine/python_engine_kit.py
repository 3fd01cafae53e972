"""A host for Python scripts under test: the real engine, bindings and limits, with its log kept in a list."""

from __future__ import annotations

import textwrap
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

import msgspec

from trimtab.api import (
    Binding,
    CallError,
    Events,
    Fault,
    HandlerRun,
    Script,
    ScriptError,
    ScriptHost,
    ScriptInstance,
    ScriptObject,
)
from trimtab.engine.batch import Batch, SourceSpec
from trimtab.engine.flights import Flight, Flights
from trimtab.engine.run import ScriptState
from trimtab.engine.script import LogEntry, Settings
from trimtab.plugins.log import LogBinding
from trimtab.plugins.state.binding import StateBinding
from trimtab.plugins.state.timers import TimerBinding
from trimtab.sandbox.limits import SignalLimits
from trimtab.sandbox.python import PythonEngine
from trimtab.sandbox.tasks import EventLoopTasks


class Echo(ScriptObject):
    """``echo`` in a script: what takes a while somewhere else, in which thread is written down."""

    methods = frozenset({"ask"})
    outside = frozenset({"ask"})

    def __init__(self) -> None:
        self.threads: list[threading.Thread] = []

    def ask(self, value: Any) -> Any:
        self.threads.append(threading.current_thread())
        if value == "fail":
            raise CallError("TestError", "no")
        return value


class EchoBinding(Binding):
    """Gives scripts ``echo``."""

    name = "echo"

    def __init__(self) -> None:
        self.echo = Echo()

    def bind(self, _script: Script, _host: ScriptHost) -> Echo:
        return self.echo


class Kit:
    """Loads scripts and runs events through them."""

    def __init__(self) -> None:
        self.log: list[LogEntry] = []
        self.settings = Settings({"max_speed": 100, "mail": {"to": ["a", "b"]}})
        self.engine = PythonEngine()
        self.tasks = EventLoopTasks()
        binding = EchoBinding()
        self.echo = binding.echo
        self.instances: list[ScriptInstance] = []
        self.host = ScriptHost(
            sources=frozenset({"gps"}),
            sinks=frozenset({"out", "alarms"}),
            limits=SignalLimits(),
            log=self.log.append,
            bindings=[LogBinding(), StateBinding(), TimerBinding(), binding],
            settings=self.settings,
            tasks=self.tasks,
        )

    def load(self, source: str | bytes, name: str = "script.py", **libraries: str) -> ScriptInstance:
        """Load a script. Libraries: their paths as keywords, given as ``**{"_lib/geo.py": "..."}``."""
        return self.load_with(source, {path: dedented(text) for path, text in libraries.items()}, name)

    def load_with(self, source: str | bytes, libraries: Mapping[str, bytes], name: str = "script.py") -> ScriptInstance:
        instance = self.engine.load(Script.of(name, dedented(source)), libraries, self.host)
        self.instances.append(instance)
        return instance

    def close(self) -> None:
        """Close all instances, also those whose ``close()`` fails, and those closed before."""
        for instance in self.instances:
            with suppress(ScriptError):
                instance.close()
        self.tasks.close()

    def refusal(self, source: str | bytes, name: str = "script.py", **libraries: str) -> Fault:
        """Load a script that must not load, and return why."""
        try:
            self.load(source, name, **libraries)
        except ScriptError as error:
            return error.fault
        raise AssertionError("it was loaded")

    def run(
        self, instance: ScriptInstance, *events: Any, handler: int = 0, selection: Sequence[int] | None = None
    ) -> HandlerRun:
        """Hand events to a handler. One that is asynchronous has them all in flight at the same time."""
        batch = batch_of(events)
        selection = range(len(events)) if selection is None else selection
        run = self.new_run(batch)
        if instance.handlers[handler].asynchronous:
            for one in self._fly(instance, batch, handler, selection):
                for sink, those in one.emitted.items():
                    run.extend(sink, those.indexes, those.lines)
                run.faults |= one.faults
                run.samples += one.samples
        else:
            instance.process(handler, batch, selection, run)
        return run

    def new_run(self, events: Events) -> HandlerRun:
        return HandlerRun(self.host.sinks, events, ScriptState(self.host.state, "script.py", b'"v1"', True))

    def _fly(
        self, instance: ScriptInstance, events: Events, handler: int, selection: Sequence[int]
    ) -> list[HandlerRun]:
        flights = Flights(self.host.tasks)
        landed: list[HandlerRun] = []

        def run_of(index: int) -> HandlerRun:
            run = self.new_run(events)
            run.index = index
            return run

        for index in selection:
            make_run = partial(run_of, index)
            flights.submit(
                Flight(instance, handler, make_run, handler, None, lambda _run: None, partial(_landed, landed))
            )
        self.host.tasks.run(lambda: len(landed) == len(selection))
        return sorted(landed, key=lambda run: run.index)

    def out(self, source: str, *events: Any, **libraries: str) -> list[Any]:
        """Load a script, run events, and return what it emitted to ``out``. Nothing may fail."""
        run = self.run(self.load(source, **libraries), *(events or ({},)))
        assert run.faults == {}
        return emitted(run)


def _landed(landed: list[HandlerRun], flight: Flight) -> None:
    assert flight.run is not None
    landed.append(flight.run)


def costs_one_event(kit: Kit, source: str, name: str, lines: set[int]) -> None:
    """Check that the script fails on event 1 of 4, twice, with a fault of that name on one of these lines."""
    instance = kit.load(source)
    for _ in range(2):
        run = kit.run(instance, *range(4))
        assert emitted(run) == [0, 2, 3]
        fault = run.faults.pop(1)
        assert (fault.name, fault.file) == (name, "script.py")
        assert fault.line in lines
        assert run.faults == {}


def emitted(run: HandlerRun, sink: str = "out") -> list[Any]:
    """Return what was emitted to a sink, as values."""
    lines = run.emitted[sink].lines if sink in run.emitted else []
    return [msgspec.json.decode(line) for line in lines]


def batch_of(events: Sequence[Any]) -> Events:
    data = b"\n".join(msgspec.json.encode(event) for event in events)
    batch = Batch(id=1, generation=7, source="gps", data=data, count=len(events), arrival=1_700_000_000_000)
    return Events(batch, SourceSpec(key="key"), decoded=True)


def dedented(source: str | bytes) -> bytes:
    return source if isinstance(source, bytes) else textwrap.dedent(source).lstrip("\n").encode()
