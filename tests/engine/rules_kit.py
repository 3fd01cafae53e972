"""A lane with rules and scripts in both languages, and beside it what its rows and held events make of another one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from trimtab.engine.batch import Batch, SourceSpec
from trimtab.engine.engine import Engine, Plan
from trimtab.engine.result import BatchResult, FailedEvent
from trimtab.engine.rules import RuleCount
from trimtab.engine.script import LogEntry, ScriptHost
from trimtab.engine.state import StateRow, StateStore
from trimtab.errors import ChangeRefused, Fault
from trimtab.plugins.log import LogBinding
from trimtab.plugins.state.binding import StateBinding
from trimtab.plugins.state.timers import TimerBinding
from trimtab.sandbox.javascript import JavaScriptEngine
from trimtab.sandbox.limits import SignalLimits
from trimtab.sandbox.python import PythonEngine
from trimtab.sandbox.tasks import EventLoopTasks

SOURCES = {
    "gps": SourceSpec(key="key", timestamp="ts"),
    "plain": SourceSpec(key="key"),
    "alarms": SourceSpec(internal=True),
}
SINKS = frozenset({"out", "matches", "late", "timeouts"})

Files = Mapping[str, Any]
"""Texts of scripts, documents of rules; None for what goes."""


class Rows:
    """What a host stores of a lane: the last value of each row."""

    def __init__(self, rows: Iterable[StateRow] = ()) -> None:
        self._rows = {(row.script, row.key, row.name): row for row in rows}

    def take(self, rows: Iterable[StateRow]) -> None:
        for row in rows:
            if not row.name:
                self._rows = {place: each for place, each in self._rows.items() if place[0] != row.script}
            elif row.value is None:
                self._rows.pop((row.script, row.key, row.name), None)
            else:
                self._rows[(row.script, row.key, row.name)] = row

    @property
    def all(self) -> list[StateRow]:
        return list(self._rows.values())


class Lane:
    """One lane. ``rows`` and ``held`` are what a host would keep of it.

    ``before``: go on from what was kept of another lane. ``missed``: changes that were made since.
    """

    def __init__(self, before: Lane | None = None, missed: Sequence[Files] = ()) -> None:
        self.rows: Rows = Rows([] if before is None else before.rows.all)
        self.held: list[tuple[int, Batch]] = [] if before is None else list(before.held)
        self.files: dict[str, bytes] = {} if before is None else before.files
        self.clocks: dict[str, int] = {} if before is None else dict(before.clocks)
        self.log: list[LogEntry] = []
        self.counts: dict[str, RuleCount] = {}
        self.late: dict[str, int] = {}
        self.now: int = 0 if before is None else before.now
        self._start: int = 0 if before is None else before._start
        self.tasks = EventLoopTasks()
        host = ScriptHost(
            sources=frozenset(SOURCES),
            sinks=SINKS,
            limits=SignalLimits(),
            log=self.log.append,
            bindings=[LogBinding(), StateBinding(), TimerBinding()],
            state=StateStore(),
            tasks=self.tasks,
        )
        self.engine = Engine([PythonEngine(), JavaScriptEngine()], host, SOURCES, lambda: self.now)
        if before is not None:
            self._go_on(before, missed)

    def _go_on(self, before: Lane, missed: Sequence[Files]) -> None:
        earlier: dict[str, list[bytes | None]] = {}
        for files in missed:
            for name in files:
                earlier.setdefault(name, []).append(self.files.get(name))
            self.files = changed(self.files, files)
        earlier = {name: documents for name, documents in earlier.items() if name in self.files}
        self.engine.load_state(self.rows.all)
        plan = Plan(before.engine.generation + len(missed), self.files, [], _loaded(self.files))
        faults, changes = self.engine.restore(plan, clocks=self.clocks, earlier=earlier)
        assert faults == {}
        self.rows.take(changes)
        for _latest, batch in self.held:
            self.engine.hold(batch)

    def deploy(self, files: Files, *, keeps_state: bool = False) -> None:
        """Commit a change. Raises :class:`ChangeRefused`."""
        self.engine.prepare(self.plan(files, keeps_state=keeps_state))
        self.rows.take(self.engine.commit())
        self.files = changed(self.files, files)
        while self.engine.close_retired() is not None:
            pass

    def refused(self, files: Files) -> dict[str, Fault]:
        """Why a change is refused; nothing has changed then."""
        try:
            self.engine.prepare(self.plan(files))
        except ChangeRefused as refusal:
            return dict(refusal.faults)
        self.engine.abort()
        raise AssertionError("expected a refusal, got none")

    def plan(self, files: Files, *, keeps_state: bool = False) -> Plan:
        deletes = [name for name, text in files.items() if text is None]
        upserts = texts(files)
        return Plan(self.engine.generation + 1, upserts, deletes, _loaded(upserts), keeps_state=keeps_state)

    def process(self, *events: Any, watermark: int | None = None, source: str = "gps", **fields: Any) -> BatchResult:
        """Hand events to scripts and rules; ``watermark``: how far event time of ``gps`` has come."""
        lines = [msgspec.json.encode(event) for event in events]
        data = b"\n".join(lines)
        batch = Batch(0, self.engine.generation, source, data, len(events), self.now, "p", self._start)
        batch = msgspec.structs.replace(batch, **fields)
        self._start += len(data) + 1
        if watermark is not None:
            batch.watermarks = {"gps": watermark}
            self.clocks["gps"] = max(watermark, self.clocks.get("gps", watermark))
        result = self.engine.process(batch)
        self._note(batch, result)
        return result

    def _note(self, batch: Batch, result: BatchResult) -> None:
        """Keep what a host keeps: rows, counts, and batches with events that wait for their time."""
        self.rows.take(result.changes)
        if result.latest is not None:
            self.held.append((result.latest, batch))
        reached = self.clocks.get("gps")
        self.held = [each for each in self.held if reached is None or each[0] > reached] if result.holds else []
        for name, count in result.rules.items():
            known = self.counts.setdefault(name, RuleCount())
            known.matches += count.matches
            known.timeouts += count.timeouts
            known.condition_errors += count.condition_errors
            known.stopped += count.stopped
            known.open, known.last_error = count.open, count.last_error
        for source, number in result.late.items():
            self.late[source] = self.late.get(source, 0) + number

    def out(self, *events: Any, sink: str = "out", **fields: Any) -> list[Any]:
        """What comes out of events. None may fail."""
        result = self.process(*events, **fields)
        assert result.failed == []
        return emitted(result, sink)

    def failed(self, *events: Any, **fields: Any) -> list[FailedEvent]:
        return self.process(*events, **fields).failed

    def again(self) -> Lane:
        """Another lane that goes on from what a host has kept of this one."""
        other = Lane(self)
        self.close()
        return other

    def close(self) -> None:
        self.engine.close()
        self.tasks.close()


def changed(before: Mapping[str, bytes], files: Files) -> dict[str, bytes]:
    """What is there after a change."""
    return {name: text for name, text in {**before, **texts(files)}.items() if files.get(name, "") is not None}


def texts(files: Files) -> dict[str, bytes]:
    return {
        name: text.encode() if isinstance(text, str) else msgspec.json.encode(text)
        for name, text in files.items()
        if text is not None
    }


def _loaded(files: Mapping[str, bytes]) -> list[str]:
    return [name for name in files if not name.startswith("_")]


def emitted(result: BatchResult, sink: str = "out") -> list[Any]:
    if sink not in result.emitted:
        return []
    return [msgspec.json.decode(line) for line in result.emitted[sink].data.splitlines()]


def taken(matches: Iterable[Any]) -> list[Any]:
    """The events of matches, by their numbers ``n``."""
    return [{stage: [event["n"] for event in events] for stage, events in match["events"].items()} for match in matches]
