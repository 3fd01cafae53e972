"""Takes events through asynchronous handlers, as far as Python knows: see tickets.js."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from contextlib import suppress
from itertools import count

import msgspec

from trimtab.api import HandlerRun, HandlerSpec
from trimtab.engine.script import DEFAULT_TIMEOUT, Tasks
from trimtab.errors import Fault, ScriptError
from trimtab.sandbox.javascript.faults import TIME_LIMIT, JsError, spoils
from trimtab.sandbox.javascript.session import Session, command
from trimtab.sandbox.javascript.turns import Ticket, Turn

_COLLECT = command("collect")
_NOT_SETTLED = Fault("Error", "the promise that the handler returned was never settled; nothing can settle it")


class _Ended(msgspec.Struct):
    ticket: int
    fault: JsError | None
    full: bool
    """The interpreter's memory was full: it is to be replaced."""
    emitted: list[dict[str, list[str]]] = []
    """Lines by sink, in parts."""


class _Report(msgspec.Struct):
    ended: list[_Ended]
    due: list[int]
    """Tickets with callbacks that were put off until an entry for their own; 0: those of no ticket."""
    awaited: str
    """As a stack, the place of a call that the event waited for that was given up."""


class Tickets:
    """The events in flight of one script instance.

    ``session``: returns the session, a new one where there is none, or raises :class:`ScriptError`. ``drop``: drops it.
    ``texts``: the handler gets the JSON text of each event.
    """

    def __init__(self, session: Callable[[], Session], drop: Callable[[], None], tasks: Tasks, *, texts: bool) -> None:
        self._session = session
        self._drop = drop
        self._tasks = tasks
        self._texts = texts
        self._numbers = count(1)
        self._flying: dict[int, Ticket] = {}
        self._entries: deque[tuple[Ticket | None, bytes]] = deque()
        """Commands that are still to be given, and for which event."""
        self._ended: deque[Callable[[], None]] = deque()
        """Who is still to be told."""
        self._working = False
        self._awaited: tuple[str, int] | None = None
        """The place of a call that the event waited for that was given up last."""

    def start(self, spec: HandlerSpec, run: HandlerRun, done: Callable[[], None]) -> None:
        """Begin to handle the event ``run.index``; see :class:`ScriptInstance`."""
        self._add(spec, run, done)
        self._work()

    def cancel(self, run: HandlerRun) -> tuple[str, int] | None:
        """Give an event up; see :class:`ScriptInstance`."""
        ticket = next(each for each in self._flying.values() if each.run is run)
        self._awaited = None
        self._give_up(ticket)
        self._work()
        return self._awaited

    def restart(self) -> None:
        """Begin anew with every event in flight: the session that knew of them is gone."""
        tickets, self._flying = self._flying, {}
        for ticket in tickets.values():
            ticket.live = False
            ticket.run.undo(ticket.run.index)
            self._add(ticket.spec, ticket.run, ticket.done)
        self._work()

    def _add(self, spec: HandlerSpec, run: HandlerRun, done: Callable[[], None]) -> None:
        ticket = Ticket(next(self._numbers), spec, run, self._tasks, done, self._answered)
        self._flying[ticket.number] = ticket
        self._entries.append((ticket, self._start_command(ticket)))

    def _start_command(self, ticket: Ticket) -> bytes:
        events, index = ticket.run.events, ticket.run.index
        head = command(
            "start",
            ticket=ticket.number,
            handler=ticket.spec.name,
            source=events.source,
            generation=events.generation,
            id=events.id(index),
            key=events.key(index),
            timestamp=events.timestamp(index),
        )
        line = events.lines[index]
        return b'%b,"event":%b}' % (head[:-1], msgspec.json.encode(line.decode()) if self._texts else line)

    def _answered(self, ticket: Ticket, number: int, answer: bytes) -> None:
        head = command("settle", ticket=ticket.number, number=number)
        self._entries.append((ticket, b'%b,"answer":%b}' % (head[:-1], answer)))
        self._work()

    # --- entries ---

    def _work(self) -> None:
        """Give all commands. What is told of an end may start other events, which must not nest."""
        if self._working:
            return
        self._working = True
        try:
            while self._entries or self._ended:
                if self._ended:
                    self._ended.popleft()()
                else:
                    self._enter(*self._entries.popleft())
        finally:
            self._working = False
        if self._stuck():
            self._tasks.loop.call_soon(self._give_up_stuck)

    def _enter(self, ticket: Ticket | None, text: bytes) -> None:
        if ticket is not None and not ticket.live:
            return
        try:
            session = self._session()
        except ScriptError as error:
            for each in list(self._flying.values()):
                self._fail(each, error.fault)
        else:
            self._go_on(self._entered(session, ticket, text))

    def _go_on(self, good: bool) -> None:
        if not good:
            self._drop()
            self.restart()

    def _entered(self, session: Session, ticket: Ticket | None, text: bytes) -> bool:
        """Give one command. Returns whether the session is still good."""
        turn, seconds = (Turn(), DEFAULT_TIMEOUT) if ticket is None else (ticket, ticket.spec.timeout)
        try:
            report = msgspec.convert(session.enter(text, seconds, turn), _Report)
        except ScriptError as error:
            return self._cope(session, ticket, error.fault)
        self._take(session, report)
        if ticket is not None and not ticket.live:
            session.release(ticket)
        return not any(each.full for each in report.ended)

    def _cope(self, session: Session, ticket: Ticket | None, fault: Fault) -> bool:
        if not spoils(fault):
            session.log("error", f"a promise was rejected and nothing handled it: {fault}")
            return self._entered(session, None, _COLLECT)
        if ticket is None or not ticket.live:
            session.log("error", f"what events have left behind failed: {fault}")
            return False
        self._fail(ticket, fault)
        return fault.name == TIME_LIMIT and self._entered(session, ticket, _cancel_command(ticket))

    def _take(self, session: Session, report: _Report) -> None:
        for each in report.ended:
            ticket = self._flying.get(each.ticket)
            if ticket is not None:
                self._record(session, ticket, each)
        for number in report.due:
            if number == 0 or number in self._flying:
                self._entries.append((self._flying.get(number), command("resume", ticket=number)))
        if report.awaited:
            place = session.fault(JsError("", "", report.awaited))
            self._awaited = (place.file, place.line) if place.file and place.line else None

    # --- ends ---

    def _record(self, session: Session, ticket: Ticket, ended: _Ended) -> None:
        run = ticket.run
        if ended.fault is not None:
            self._fail(ticket, session.fault(ended.fault))
        else:
            for part in ended.emitted:
                for sink, lines in part.items():
                    run.extend(sink, [run.index] * len(lines), [line.encode() for line in lines])
            run.samples.append(ticket.age())
            self._end(ticket)
        session.release(ticket)

    def _fail(self, ticket: Ticket, fault: Fault) -> None:
        ticket.run.fail(ticket.run.index, fault)
        self._end(ticket)

    def _end(self, ticket: Ticket) -> None:
        self._forget(ticket)
        self._ended.append(ticket.done)

    def _forget(self, ticket: Ticket) -> None:
        ticket.live = False
        del self._flying[ticket.number]

    def _give_up(self, ticket: Ticket) -> None:
        """Let an event that does not count any more clean up."""
        if ticket.live:
            self._forget(ticket)
        with suppress(ScriptError):  # there is no session, so nothing to clean up
            self._go_on(self._entered(self._session(), ticket, _cancel_command(ticket)))

    def _stuck(self) -> bool:
        return bool(self._flying) and not any(ticket.waiting for ticket in self._flying.values())

    def _give_up_stuck(self) -> None:
        """Fail what waits for a promise that nothing can settle: everything that can has run by now."""
        if not self._stuck():
            return
        for ticket in list(self._flying.values()):
            if ticket.live:
                self._fail(ticket, _NOT_SETTLED)
                self._give_up(ticket)
        self._work()


def _cancel_command(ticket: Ticket) -> bytes:
    fault = {"name": TIME_LIMIT, "message": "the time of the event is up"}
    return command("cancel", ticket=ticket.number, fault=fault)
