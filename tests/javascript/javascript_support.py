"""Loads real scripts in real interpreters, and looks at what they did."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from trimtab.api import Binding, Events, Fault, HandlerRun, Script, ScriptHost, ScriptInstance
from trimtab.engine.batch import Batch, SourceSpec
from trimtab.engine.run import ScriptState
from trimtab.engine.script import LogEntry, Settings
from trimtab.engine.state import StateStore
from trimtab.sandbox.javascript import JavaScriptEngine
from trimtab.sandbox.limits import SignalLimits

SINKS = frozenset({"alarms", "out"})
ENGINE = JavaScriptEngine()


class Lab:
    """A host for scripts, and the scripts' log."""

    def __init__(
        self,
        *,
        bindings: Sequence[Binding] = (),
        roots: tuple[Path, ...] = (),
        settings: dict[str, Any] | None = None,
        cache: Path | None = None,
        engine: JavaScriptEngine = ENGINE,
    ) -> None:
        self.log: list[LogEntry] = []
        self.engine = engine
        self.host = ScriptHost(
            sources=frozenset({"gps"}),
            sinks=SINKS,
            limits=SignalLimits(),
            log=self.log.append,
            bindings=bindings,
            roots=roots,
            cache=cache,
            settings=Settings(settings or {}),
        )

    def load(self, source: str, libraries: Mapping[str, str] | None = None, name: str = "script.js") -> ScriptInstance:
        files = {library: text.encode() for library, text in (libraries or {}).items()}
        return self.engine.load(Script.of(name, source.encode()), files, self.host)


def load(source: str, libraries: Mapping[str, str] | None = None, name: str = "script.js") -> ScriptInstance:
    return Lab().load(source, libraries, name)


def events(values: Sequence[Any], spec: SourceSpec | None = None) -> Events:
    data = "\n".join(json.dumps(value) for value in values).encode()
    batch = Batch(id=1, generation=7, source="gps", data=data, count=len(values), arrival=1234, partition="p")
    return Events(batch, spec or SourceSpec(), decoded=False)


def handle(
    script: ScriptInstance,
    *values: Any,
    spec: SourceSpec | None = None,
    selection: Sequence[int] | None = None,
) -> HandlerRun:
    """Hand some events to a script."""
    batch = events(values, spec)
    run = new_run(batch)
    script.process(0, batch, range(len(values)) if selection is None else selection, run)
    return run


def new_run(batch: Events) -> HandlerRun:
    """What a handler records into, for a script whose state nobody else looks at."""
    return HandlerRun(SINKS, batch, ScriptState(StateStore(), "script.js", b'"1"'))


def emitted(run: HandlerRun, sink: str = "out") -> list[tuple[int, Any]]:
    """What went to a sink: event index and value."""
    if sink not in run.emitted:
        return []
    found = run.emitted[sink]
    return [(index, json.loads(line)) for index, line in zip(found.indexes, found.lines, strict=True)]


def place(fault: Fault) -> tuple[str | None, int | None, int | None]:
    return fault.file, fault.line, fault.column
