"""Takes batches through the handlers of the running scripts."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import msgspec

from trimtab.engine.batch import Batch, Events, InvalidRecordsError, SourceSpec, TimerEvents
from trimtab.engine.breaker import OUTSIDE
from trimtab.engine.flights import Flight, Flights
from trimtab.engine.matching import Matching
from trimtab.engine.pending import Pending
from trimtab.engine.result import BatchResult
from trimtab.engine.rules import Rules
from trimtab.engine.run import HandlerRun, ScriptState
from trimtab.engine.script import ScriptHost
from trimtab.engine.state import TIMER, DueTimer, StateRow
from trimtab.engine.steps import Active, Step, failed_event, steps_of, without_invalid
from trimtab.engine.transaction import Transaction
from trimtab.errors import Fault

CIRCUIT_OPEN = "CircuitOpen"
"""Name of the fault of events that a script did not get."""


class Entering(Protocol):
    """Is told what is about to be run: a script, or one of its timers."""

    def __call__(self, script: str, timer: DueTimer | None = None, /) -> None: ...


class Dispatcher:
    """Hands the events of batches to handlers and rules.

    ``active``: the running scripts, by name; they and the rules change from outside.
    """

    def __init__(
        self, host: ScriptHost, sources: Mapping[str, SourceSpec], active: Mapping[str, Active], rules: Rules
    ) -> None:
        self._host, self._sources, self._active, self._rules = host, sources, active, rules
        self._matching = Matching(host, sources, rules, active, self._handle_internal)
        self._state = host.state
        self._steps: dict[str, list[Step]] = {}
        self._flights = Flights(host.tasks)
        self._in_flight: Counter[int] = Counter()
        """Flights by the identity of the instance that they belong to."""
        self._in_script: Counter[str] = Counter()
        """Flights by the name of the script, whatever version."""
        self._pending: deque[Pending] = deque()
        self._watermarks: dict[str, int] = {}

    @property
    def flying(self) -> bool:
        """Whether any batch is not complete."""
        return any(not pending.complete for pending in self._pending)

    @property
    def has_finished(self) -> bool:
        """See ``Engine.has_finished``."""
        return bool(self._pending) and self._pending[0].complete

    def flies(self, active: Active) -> bool:
        """Whether events are in flight in a script."""
        return self._in_flight[id(active.instance)] > 0

    def forget_steps(self) -> None:
        """Other scripts run from now on."""
        self._steps.clear()

    def finished(self) -> Iterator[tuple[Batch, BatchResult]]:
        """See ``Engine.finished``."""
        while self.has_finished:
            pending = self._pending.popleft()
            result = pending.result()
            result.calls = self._host.resources.counted()
            result.next_due = 0 if self._is_due() else _earliest(self._state.next_due(), self._rules.next_alarm)
            result.breakers = self._host.breakers.not_closed()
            result.awaits_watermark = self._rules.awaits_watermark or any(map(self._state.awaits, self._sources))
            if not self._rules.empty:
                result.holds = self._rules.holds
                result.rules, result.late = self._rules.take_counts(), self._rules.take_late()
            yield pending.batch, result

    def submit(self, batch: Batch, entering: Entering | None) -> None:
        """See ``Engine.submit``."""
        if batch.timers:
            self._run_timers(self._active, batch, entering)
        elif batch.matches:
            self._run_matches(self._active, batch, entering)
        else:
            self._run_batch(self._steps_of(batch), batch, entering)

    def submit_to(self, active: Active, batch: Batch) -> None:
        """Hand a batch to one script that need not be one of the running ones."""
        if batch.timers:
            self._run_timers({active.script.name: active}, batch, None)
            return
        if batch.matches:
            self._run_matches({active.script.name: active}, batch, None)
            return
        self._run_batch([step for step in steps_of(active) if step.concerns(batch.source)], batch, None)

    def _run_timers(self, scripts: Mapping[str, Active], batch: Batch, entering: Entering | None) -> None:
        """Handle timers of dead letters again. One that no script handles any more fails again."""
        self._pending.append(pending := Pending(batch))
        for line in batch.data.split(b"\n"):
            due = msgspec.json.decode(line, type=DueTimer)
            active = scripts.get(due.script)
            if active is not None and active.handles_timers:
                self._fire(pending, scripts, [due], entering)
            elif active is not None:
                events = TimerEvents(batch, [due])
                fault = Fault("TypeError", "expected a function that handles timers, got none", due.script)
                pending.failed.append(failed_event(events, 0, active.script, fault, tries=1))

    def _run_matches(self, scripts: Mapping[str, Active], batch: Batch, entering: Entering | None) -> None:
        """Handle matches of dead letters again."""
        self._pending.append(pending := Pending(batch))
        self._matching.hand_again(pending, scripts, self._hand(entering))

    def _run_batch(self, steps: Sequence[Step], batch: Batch, entering: Entering | None) -> None:
        self._pending.append(pending := Pending(batch))
        self._state.now = max(self._state.now, batch.arrival)
        self._pending[0].change(self._state.take_expired())  # before what is in flight may set it anew
        if batch.count:
            self._handle(pending, steps, entering)
        self._watermarks.update(batch.watermarks)
        if batch.only is None and not (batch.isolated and batch.count):
            if not self._rules.empty:
                self._matching.advance(pending, self._watermarks, self._hand(entering))
            self._fire(pending, self._active, self._state.take_due(self._watermarks), entering)
        if not self._rules.empty:
            self._matching.settle(pending)

    def _handle(self, pending: Pending, steps: Sequence[Step], entering: Entering | None) -> None:
        batch = pending.batch
        matched = batch.only is None and not self._rules.empty
        if batch.rekeyed is not None:
            steps = []
        fields = self._rules.fields(batch.source, batch.rekeyed) if matched else frozenset()
        decoded = any(s.where is not None or s.active.instance.decodes for s in steps)
        events = self._events(pending, fields, decoded=decoded)
        if events is None:
            return
        pending.max_timestamp = events.max_timestamp
        self._hand_out(pending, steps, events, entering)
        if matched:
            pending.latest = None if events.timestamps is None else max(events.timestamps)
            self._matching.feed(pending, events, self._hand(entering))

    def _handle_internal(self, pending: Pending, events: Events) -> None:
        """Hand what rules have found, as events of an internal source, to its handlers."""
        self._hand_out(pending, self._steps_for(events.source), events, None)

    def _hand_out(self, pending: Pending, steps: Sequence[Step], events: Events, entering: Entering | None) -> None:
        # Every filter looks at the events before any handler can change them.
        selections = [step.select(events) for step in steps]
        for step, selection in zip(steps, selections, strict=True):
            if selection:
                self._run(pending, step, events, selection, entering)

    def _hand(self, entering: Entering | None) -> Callable[[Pending, Step, Events, Sequence[int]], None]:
        def hand(pending: Pending, step: Step, events: Events, selection: Sequence[int]) -> None:
            self._run(pending, step, events, selection, entering)

        return hand

    def _events(self, pending: Pending, fields: frozenset[str] | None, *, decoded: bool) -> Events | None:
        batch = pending.batch
        spec = self._sources[batch.source]
        try:
            return Events(batch, spec, decoded=decoded, fields=fields)
        except InvalidRecordsError:
            batch, pending.failed = without_invalid(batch)
            return Events(batch, spec, decoded=decoded, fields=fields) if batch.count else None

    def _fire(
        self, pending: Pending, scripts: Mapping[str, Active], due: Sequence[DueTimer], entering: Entering | None
    ) -> None:
        """Have timers handled by the scripts that have set them; one by one where each is to be told."""
        for group in _groups(due, alone=entering is not None):
            active = scripts.get(group[0].script)
            step = None if active is None else next((s for s in steps_of(active) if s.spec.timer), None)
            timers = [timer for timer in group if self._still_fires(pending, timer)]
            if step is not None and timers:
                events = TimerEvents(pending.batch, timers)
                self._run(pending, step, events, range(events.count), entering)

    def _run(
        self, pending: Pending, step: Step, events: Events, selection: Sequence[int], entering: Entering | None
    ) -> None:
        """Hand the selected events to one handler."""
        active = step.active
        pending.begin(events)
        if entering is not None:
            entering(active.script.name, events.due(0) if isinstance(events, TimerEvents) else None)
        if active.flies or self._in_script[active.script.name]:  # also behind what another version has under way
            for index in selection:
                self._launch(pending, step, events, index)
            if entering is not None:  # what takes the lane down now is what was told
                self._host.tasks.run(lambda: pending.complete)
            return
        run = self._new_run(step, events, [])
        if isinstance(events, TimerEvents):
            run.settled += [row for index in selection for row in self._drop(events.due(index))]
        ready = self._migrated(step, selection, run)
        self._process(step, ready, run)
        pending.add(step, run, len(selection))

    def _process(self, step: Step, selection: Sequence[int], run: HandlerRun) -> None:
        """Have a handler called for events, as far as its circuit breaker lets it."""
        breaker = self._host.breakers.of(step.active.script.name)
        while selection:
            era = breaker.admit()
            if era is None:
                for index in selection:
                    run.fail(index, _circuit_open(step.active.script.name))
                return
            tried = selection if breaker.state == "closed" else selection[:1]
            step.active.instance.process(step.handler, run.events, tried, run)
            failed = sum(run.faults[index].name in OUTSIDE for index in tried if index in run.faults)
            breaker.record(era, len(tried) - failed, failed)
            selection = selection[len(tried) :]

    def _new_run(self, step: Step, events: Events, settled: list[StateRow]) -> HandlerRun:
        script = step.active.script
        version = msgspec.json.encode(script.version[:12])
        state = ScriptState(self._state, script.name, version, step.active.handles_timers)
        return HandlerRun(self._host.sinks, events, state, settled)

    # --- events one by one ---

    def _launch(self, pending: Pending, step: Step, events: Events, index: int) -> None:
        """Let one event fly through one handler."""
        pending.flying += 1
        instance, script = step.active.instance, step.active.script.name
        breaker = self._host.breakers.of(script)
        self._in_flight[id(instance)] += 1
        self._in_script[script] += 1
        settled: list[StateRow] = []  # of all attempts
        era: int | None = None

        def make_run() -> HandlerRun | None:
            nonlocal era
            run = self._new_run(step, events, settled)
            run.index = index
            if isinstance(events, TimerEvents) and not settled:
                if not self._still_fires(pending, events.due(index)):
                    return None
                settled.extend(self._drop(events.due(index)))
            era = breaker.admit() if self._migrated(step, [index], run) else None
            if era is None and not run.faults:
                run.fail(index, _circuit_open(script))
            return run

        def tried(run: HandlerRun) -> None:
            fault = run.faults.get(index)
            if era is not None:
                is_bad = fault is not None and fault.name in OUTSIDE
                breaker.record(era, not is_bad, is_bad)

        def landed(flight: Flight) -> None:
            pending.flying -= 1
            _subtract(self._in_flight, id(instance))
            _subtract(self._in_script, script)
            if flight.run is not None:
                pending.add(step, flight.run, 1, flight.attempts)

        keyed = isinstance(events, TimerEvents) or events.keys is not None or step.active.stateful
        order = (script, events.key_text(index)) if keyed else None
        gate = (id(instance), step.handler)
        self._flights.submit(Flight(instance, step.handler, make_run, gate, order, tried, landed))

    # --- state ---

    def _still_fires(self, pending: Pending, due: DueTimer) -> bool:
        """Whether a timer was not cancelled by what came before; one that is replayed was dropped when it failed."""
        return pending.batch.timers or self._state.holds(due)

    def _drop(self, due: DueTimer) -> list[StateRow]:
        """Drop a timer that fires; one that is replayed may have been set anew meanwhile."""
        if not self._state.holds(due):
            return []
        return self._state.drop(due.script, due.key, TIMER + due.name) if self._state.holds(due) else []

    def _is_due(self) -> bool:
        """Whether a timer of event time is due already: it was set for a time that has passed."""
        return any(self._state.is_due(source, at) for source, at in self._watermarks.items())

    def _migrated(self, step: Step, selection: Sequence[int], run: HandlerRun) -> Sequence[int]:
        """Have the script make its own what another version has left of the keys of some events.

        Returns the events whose keys are ready; the others fail.
        """
        if not step.active.instance.migrates:
            return selection
        keys = {index: run.events.key_text(index) for index in selection}
        faults = self._migrate(step.active, sorted(set(keys.values())), run)
        for index, key in keys.items():
            if key in faults:
                run.fail(index, faults[key])
        return [index for index in selection if index not in run.faults]

    def _migrate(self, active: Active, keys: Sequence[str], run: HandlerRun) -> dict[str, Fault]:
        script, own = active.script.name, active.script.version[:12]
        left = {key: version for key in keys if (version := self._state.version(script, key)) not in (None, own)}
        if not left:
            return {}
        transactions = {key: Transaction(self._state, script, run.state.version, key) for key in left}
        states = [(transactions[key].items(), version) for key, version in left.items()]
        faults: dict[str, Fault] = {}
        for key, values in zip(left, active.instance.migrate(states), strict=True):
            fault = values if isinstance(values, Fault) else _replaced(transactions[key], values, script)
            if fault is not None:
                faults[key] = fault
            else:
                run.settled.extend(transactions[key].rows())
        return faults

    # --- steps ---

    def _steps_of(self, batch: Batch) -> Sequence[Step]:
        steps = self._steps_for(batch.source)
        if batch.only is None and not batch.skip:
            return steps
        return [
            s for s in steps if batch.only in (None, s.active.script.name) and s.active.script.name not in batch.skip
        ]

    def _steps_for(self, source: str) -> Sequence[Step]:
        steps = self._steps.get(source)
        if steps is None:
            steps = self._steps[source] = [
                step for name in sorted(self._active) for step in steps_of(self._active[name]) if step.concerns(source)
            ]
        return steps


def _earliest(*times: int | None) -> int | None:
    return min((time for time in times if time is not None), default=None)


def _groups(due: Sequence[DueTimer], *, alone: bool) -> Iterator[list[DueTimer]]:
    """Split timers, in their order, into those that are handled together: one a key, as it may cancel the next."""
    group: list[DueTimer] = []
    keys: set[str] = set()
    for each in due:
        if group and (alone or _kind_of(each) != _kind_of(group[0]) or each.key in keys):
            yield group
            group, keys = [], set()
        group.append(each)
        keys.add(each.key)
    if group:
        yield group


def _circuit_open(script: str) -> Fault:
    return Fault(
        CIRCUIT_OPEN,
        "expected what the script calls to answer in time, got too many failures of late; its events are dead letters "
        f"until one of them succeeds; then: trimtab dead-letters replay --script {script}",
        script,
    )


def _kind_of(due: DueTimer) -> object:
    return due.script, due.timer.source, due.timer.time


def _replaced(transaction: Transaction, values: dict[str, Any], script: str) -> Fault | None:
    """Store what ``migrate`` has returned. Returns why that cannot be."""
    try:
        transaction.replace(values)
    except (TypeError, ValueError, RecursionError) as error:
        transaction.undo()
        return Fault(type(error).__name__, f"migrate: {error}", script)
    return None


def _subtract(counter: Counter[Any], key: object) -> None:
    counter[key] -= 1
    if not counter[key]:
        del counter[key]
