"""Batches whose results are not complete yet."""

from __future__ import annotations

from collections.abc import Iterable

from trimtab.engine.batch import Batch, Events
from trimtab.engine.result import BatchResult, FailedEvent, ScriptCount, merge
from trimtab.engine.run import HandlerRun
from trimtab.engine.state import StateRow
from trimtab.engine.steps import Step, failed_event


class Pending:
    """One batch: what came out of it so far, and how many of its flights are still under way."""

    def __init__(self, batch: Batch) -> None:
        self.batch = batch
        self.max_timestamp: int | None = None
        self.latest: int | None = None
        self.failed: list[FailedEvent] = []
        self.flying = 0
        self._groups: dict[int, tuple[Events, list[HandlerRun]]] = {}
        """By the identity of the events, which lasts as long as they are kept here."""
        self._scripts: dict[str, ScriptCount] = {}
        self._changes: list[StateRow] = []

    @property
    def complete(self) -> bool:
        """Whether nothing of it is under way any more."""
        return not self.flying

    def begin(self, events: Events) -> None:
        """Take note of events that handlers get: what comes of them follows what came of those before."""
        self._groups.setdefault(id(events), (events, []))

    def change(self, rows: Iterable[StateRow]) -> None:
        """Take note of what is different in the state."""
        self._changes.extend(rows)

    def emit(self, run: HandlerRun) -> None:
        """Take what was emitted in no script's name."""
        self._groups[id(run.events)][1].append(run)

    def add(self, step: Step, run: HandlerRun, handled: int, tries: int = 1) -> None:
        """Take what a handler has recorded for ``handled`` events."""
        script = step.active.script
        self._groups[id(run.events)][1].append(run)
        self._changes.extend(run.changes())
        count = self._scripts.setdefault(script.name, ScriptCount(0, 0, []))
        count.handled += handled - len(run.faults)
        count.failed += len(run.faults)
        count.retried += tries - 1
        count.samples += run.samples
        for index in sorted(run.faults):
            fault = run.faults[index]
            self.failed.append(failed_event(run.events, index, script, fault, tries=tries))

    def result(self) -> BatchResult:
        """Return what came out of it."""
        emitted = merge(*(runs for _events, runs in self._groups.values()))
        return BatchResult(
            emitted, self.failed, self._scripts, self.max_timestamp, changes=self._changes, latest=self.latest
        )
