"""A host for Python scripts under test: the real engine, bindings and limits, with its log kept in a list."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import msgspec

from trimtab.api import Events, Fault, HandlerRun, Script, ScriptError, ScriptHost, ScriptInstance
from trimtab.engine.batch import Batch, SourceSpec
from trimtab.engine.script import LogEntry, Settings
from trimtab.plugins.log import LogBinding
from trimtab.sandbox.limits import SignalLimits
from trimtab.sandbox.python import PythonEngine


class Kit:
    """Loads scripts and runs events through them."""

    def __init__(self) -> None:
        self.log: list[LogEntry] = []
        self.settings = Settings({"max_speed": 100, "mail": {"to": ["a", "b"]}})
        self.engine = PythonEngine()
        self.instances: list[ScriptInstance] = []
        self.host = ScriptHost(
            sources=frozenset({"gps"}),
            sinks=frozenset({"out", "alarms"}),
            limits=SignalLimits(),
            log=self.log.append,
            bindings=[LogBinding()],
            settings=self.settings,
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
        run = HandlerRun(self.host.sinks)
        batch = batch_of(events)
        instance.process(handler, batch, range(len(events)) if selection is None else selection, run)
        return run

    def out(self, source: str, *events: Any, **libraries: str) -> list[Any]:
        """Load a script, run events, and return what it emitted to ``out``. Nothing may fail."""
        run = self.run(self.load(source, **libraries), *(events or ({},)))
        assert run.faults == {}
        return emitted(run)


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
