"""An engine with both languages, state and timers, and beside it what its rows make of an empty store."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from trimtab.engine.batch import Batch, SourceSpec
from trimtab.engine.engine import Engine, Plan
from trimtab.engine.result import BatchResult
from trimtab.engine.script import LogEntry, ScriptHost
from trimtab.engine.state import StateRow, StateStore, Values
from trimtab.plugins.log import LogBinding
from trimtab.plugins.state.binding import StateBinding
from trimtab.plugins.state.timers import TimerBinding
from trimtab.sandbox.javascript import JavaScriptEngine
from trimtab.sandbox.limits import SignalLimits
from trimtab.sandbox.python import PythonEngine
from trimtab.sandbox.tasks import EventLoopTasks

SOURCES = {"gps": SourceSpec(key="key", timestamp="ts"), "plain": SourceSpec()}


def stored(store: StateStore) -> dict[str, dict[str, Values]]:
    """All that a store holds: by script, key and name."""
    return {
        script: {key: dict(values) for key, values in keys.items()} for script, keys in store._scripts.items() if keys
    }


class Keyed:
    """One lane. Whatever its results say has changed is put into :attr:`mirror`, which must never differ."""

    def __init__(self, rows: Iterable[StateRow] = ()) -> None:
        self.mirror = StateStore()
        self.log: list[LogEntry] = []
        self.tasks = EventLoopTasks()
        self.store = StateStore()
        rows = list(rows)
        self.store.load(rows)
        self.mirror.load(rows)
        host = ScriptHost(
            sources=frozenset(SOURCES),
            sinks=frozenset({"out"}),
            limits=SignalLimits(),
            log=self.log.append,
            bindings=[LogBinding(), StateBinding(), TimerBinding()],
            state=self.store,
            tasks=self.tasks,
        )
        self.engine = Engine([PythonEngine(), JavaScriptEngine()], host, SOURCES, lambda: 1000)
        self._start = 0

    def deploy(self, *, keeps_state: bool = False, **files: str | None) -> None:
        """Commit a change; ``__`` stands for the dot, None for a file that goes."""
        named = {name.replace("__", "."): text for name, text in files.items()}
        self.deploy_files(named, keeps_state=keeps_state)

    def deploy_files(self, files: Mapping[str, str | None], *, keeps_state: bool = False) -> None:
        plan = self.plan(files)
        plan.keeps_state = keeps_state
        self.engine.prepare(plan)
        self.mirror.load(self.engine.commit())
        while self.engine.close_retired() is not None:
            pass

    def plan(self, files: Mapping[str, str | None]) -> Plan:
        upserts = {name: text.encode() for name, text in files.items() if text is not None}
        scripts = [name for name in upserts if not name.startswith("_")]
        deletes = [name for name, text in files.items() if text is None]
        return Plan(self.engine.generation + 1, upserts, deletes, scripts)

    def batch(self, *events: Any, now: int = 0, source: str = "gps", **fields: Any) -> Batch:
        """The events as a batch that has arrived at a processing time, in ms."""
        data = b"\n".join(msgspec.json.encode(event) for event in events)
        batch = Batch(0, self.engine.generation, source, data, len(events), now, "p", self._start)
        self._start += len(data) + 1
        return msgspec.structs.replace(batch, **fields)

    def process(self, *events: Any, watermark: int | None = None, **fields: Any) -> BatchResult:
        """Hand events to the scripts; ``watermark``: how far event time has come."""
        batch = self.batch(*events, **fields)
        batch.watermarks = {} if watermark is None else {"gps": watermark}
        result = self.engine.process(batch)
        self.seen(result)
        return result

    def seen(self, result: BatchResult) -> None:
        self.mirror.load(result.changes)
        assert stored(self.mirror) == stored(self.store)

    def out(self, *events: Any, **fields: Any) -> list[Any]:
        """What comes out of events. None may fail."""
        result = self.process(*events, **fields)
        assert result.failed == []
        return values(result)

    def close(self) -> None:
        self.engine.close()
        self.tasks.close()


def values(result: BatchResult) -> list[Any]:
    """What was emitted."""
    return [msgspec.json.decode(line) for line in result.emitted["out"].data.splitlines()] if result.emitted else []
