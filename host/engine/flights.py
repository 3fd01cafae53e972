"""Events in flight: handlers that wait, or are tried again, while the lane goes on with other events."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from trimtab.engine.deadlines import Deadlines
from trimtab.engine.run import HandlerRun
from trimtab.engine.script import HandlerSpec, Tasks
from trimtab.errors import Fault

if TYPE_CHECKING:
    from trimtab.api import ScriptInstance


@dataclass(eq=False, slots=True)
class Flight:
    """One event on its way through one handler."""

    instance: ScriptInstance
    handler: int
    make_run: Callable[[], HandlerRun | None]
    """Makes what an attempt records into; None: there is nothing left to do."""
    gate: Hashable
    """Flights of one gate share the handler's limit."""
    order: Hashable | None
    """Flights with the same order come one after the other; None: in any order."""
    tried: Callable[[HandlerRun], None]
    """Told what became of each attempt."""
    landed: Callable[[Flight], None]
    """Told once, when it is done for good."""
    run: HandlerRun | None = None
    attempts: int = 0

    @property
    def spec(self) -> HandlerSpec:
        """What its handler asks for."""
        return self.instance.handlers[self.handler]


@dataclass(slots=True)
class _Gate:
    flying: int = 0
    waiting: deque[Flight] = field(default_factory=deque)


def waited_too_long(seconds: float, place: tuple[str, int] | None) -> Fault:
    """Return the fault of what was still waiting when its time was up. ``place``: file and line where it waited."""
    message = f"expected to end within {seconds:g} s, was still waiting; do less at once or ask for a longer timeout"
    return Fault("TimeLimitExceeded", message, *(place or ()))


class Flights:
    """Starts flights, keeps their order and their limits, and tries again what failed."""

    def __init__(self, tasks: Tasks) -> None:
        self._tasks = tasks
        self._orders: dict[Hashable, deque[Flight]] = {}
        """What waits behind the flight that has the turn."""
        self._gates: dict[Hashable, _Gate] = {}
        self._next: deque[Flight] = deque()
        self._starting = False
        self._deadlines = Deadlines(tasks, self._expire)

    def submit(self, flight: Flight) -> None:
        """Start a flight, now or when it is its turn."""
        if flight.order is not None:
            behind = self._orders.get(flight.order)
            if behind is not None:
                behind.append(flight)
                return
            self._orders[flight.order] = deque()
        self._come_to_gate(flight)

    def _come_to_gate(self, flight: Flight) -> None:
        gate = self._gates.setdefault(flight.gate, _Gate())
        if gate.flying < flight.spec.concurrency:
            gate.flying += 1
            self._start(flight)
        else:
            gate.waiting.append(flight)

    def _start(self, flight: Flight) -> None:
        """Start a flight; one that lands at once starts others, which must not nest ever deeper."""
        self._next.append(flight)
        if self._starting:
            return
        self._starting = True
        try:
            while self._next:
                self._attempt(self._next.popleft())
        finally:
            self._starting = False

    def _attempt(self, flight: Flight) -> None:
        flight.attempts += 1
        run = flight.run = flight.make_run()
        if run is None:
            self._leave_gate(flight)
            self._land(flight)
            return
        spec = flight.spec
        if run.faults:
            self._done(flight, run)
        elif spec.asynchronous:
            self._deadlines.start(flight, spec.timeout)
            flight.instance.start(flight.handler, run, lambda: self._done(flight, run))
        else:
            flight.instance.process(flight.handler, run.events, [run.index], run)
            self._done(flight, run)

    def _expire(self, flight: Flight) -> None:
        run = flight.run
        assert run is not None  # noqa: S101 - tells the type checker
        place = flight.instance.cancel(run)
        run.fail(run.index, waited_too_long(flight.spec.timeout, place))
        self._done(flight, run)

    def _done(self, flight: Flight, run: HandlerRun) -> None:
        if run.ended:
            return
        run.ended = True
        self._deadlines.stop(flight)
        flight.tried(run)
        if run.faults and flight.attempts < flight.spec.attempts:
            self._leave_gate(flight)
            pause = random.uniform(0, flight.spec.backoff * 2 ** (flight.attempts - 1))
            self._tasks.loop.call_later(pause, self._come_to_gate, flight)
        else:
            self._leave_gate(flight)
            self._land(flight)

    def _leave_gate(self, flight: Flight) -> None:
        gate = self._gates[flight.gate]
        gate.flying -= 1
        if gate.waiting:
            gate.flying += 1
            self._start(gate.waiting.popleft())
        elif not gate.flying:
            del self._gates[flight.gate]

    def _land(self, flight: Flight) -> None:
        flight.landed(flight)
        self._tasks.wake()
        if flight.order is None:
            return
        behind = self._orders[flight.order]
        if behind:
            self._come_to_gate(behind.popleft())
        else:
            del self._orders[flight.order]
