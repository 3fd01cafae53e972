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
    """The interpreter's memory was full."""
    emitted: list[dict[str, list[str]]] = []
    """Lines by sink, in parts."""


class _Report(msgspec.Struct):
    ended: list[_Ended]
    due: list[int]
    """Tickets with callbacks that were put off until an entry for their own; 0: those of no ticket."""
    awaited: str
    """As a stack, the place of a call that the event waited for that was given up."""


_DECODER = msgspec.json.Decoder(_Report)


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
        self._in_hand: Ticket | None = None
        """The event whose command was given last."""
        self._unread = False
        """What came of the last command is to be asked for."""
        self._full = False
        """The interpreter's memory was full: it is to be replaced."""
        self._scheduled = self._working = False
        self._awaited: tuple[str, int] | None = None
        """The place of a call that the event waited for that was given up last."""

    def start(self, spec: HandlerSpec, run: HandlerRun, done: Callable[[], None]) -> None:
        """Begin to handle the event ``run.index``; see :class:`ScriptInstance`."""
        ticket = Ticket(next(self._numbers), spec, run, self._tasks, done, self._answered)
        self._flying[ticket.number] = ticket
        self._give(ticket, self._start_command(ticket))

    def cancel(self, run: HandlerRun) -> tuple[str, int] | None:
        """Give an event up; see :class:`ScriptInstance`."""
        self._awaited = None
        for ticket in [each for each in self._flying.values() if each.run is run]:
            self._give_up(ticket)
        return self._awaited

    def restart(self) -> None:
        """Begin anew with every event in flight: the session that knew of them is gone."""
        tickets, self._flying = self._flying, {}
        self._entries.clear()
        self._unread = False
        for ticket in tickets.values():
            ticket.live = False
            ticket.run.undo(ticket.run.index)
            self.start(ticket.spec, ticket.run, ticket.done)

    def catch_up(self) -> None:
        """Have what came of the last command reported: something else is about to enter the interpreter, or nothing."""
        if self._unread:
            self._enter(None, _COLLECT)

    def report(self, body: bytes) -> None:
        """Take the report on what came of the last command; see tickets.js."""
        session, ticket = self._session(), self._in_hand
        session.take_turn(ticket or Turn())  # so that the limit does not strike in the middle
        self._take(session, _DECODER.decode(body))
        if ticket is not None and not ticket.live:
            session.release(ticket)

    def more(self) -> bytes | None:
        """Return another command for the interpreter. What comes of it is reported when it is entered once more."""
        if not self._working or self._full or not self._entries:
            return None
        ticket, text = self._entries[0]
        if ticket is None or not ticket.live:
            return None
        self._entries.popleft()
        self._in_hand = ticket
        self._unread = True
        self._session().take_turn(ticket)
        return text

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
            parameters=events.parameters(index),
        )
        line = events.lines[index]
        return b'%b,"event":%b}' % (head[:-1], msgspec.json.encode(line.decode()) if self._texts else line)

    def _answered(self, ticket: Ticket, number: int, answer: bytes) -> None:
        self._give(ticket, b'{"do":"settle","number":%d,"answer":%b}' % (number, answer))

    # --- entries ---

    def _give(self, ticket: Ticket | None, text: bytes) -> None:
        """Have a command given, in the event loop: those that come together need fewer entries."""
        self._entries.append((ticket, text))
        self._schedule()

    def _schedule(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            self._tasks.loop.call_soon(self._work)

    def _work(self) -> None:
        """Give all commands; tell of all ends."""
        self._scheduled = False
        while self._entries or self._ended or self._unread:
            while self._ended:
                self._ended.popleft()()
            if self._entries:
                self._working = True
                self._enter(*self._entries.popleft())
                self._working = False
            else:
                self.catch_up()
        if self._stuck():
            self._tasks.loop.call_soon(self._give_up_stuck)

    def _enter(self, ticket: Ticket | None, text: bytes) -> None:
        if ticket is not None and not ticket.live:
            return
        try:
            session = self._session()
        except ScriptError as error:
            self._entries.clear()
            self._unread = False
            for each in list(self._flying.values()):
                self._fail(each, error.fault)
        else:
            self._go_on(good=self._entered(session, ticket, text))

    def _go_on(self, *, good: bool) -> None:
        if not good:
            self._drop()
            self.restart()

    def _entered(self, session: Session, ticket: Ticket | None, text: bytes) -> bool:
        """Give one command, and what :meth:`more` returns. Returns whether the session is still good."""
        turn, seconds = (Turn(), DEFAULT_TIMEOUT) if ticket is None else (ticket, ticket.spec.timeout)
        self._in_hand = ticket
        self._unread = self._full = False
        try:
            session.enter(text, seconds, turn)
        except ScriptError as error:
            return self._cope(session, text, error.fault)
        return not self._full

    def _cope(self, session: Session, text: bytes, fault: Fault) -> bool:
        """Have the session tell what it did before the fault. Returns whether it is still good."""
        if not spoils(fault):
            session.log("error", f"a promise was rejected and nothing handled it: {fault}")
            done = text is _COLLECT and not self._unread
            return not done and self._entered(session, None, _COLLECT)
        ticket = self._in_hand
        if ticket is None:
            session.log("error", f"what events have left behind failed: {fault}")
        if ticket is None or not ticket.live:
            return False
        self._fail(ticket, fault)
        return fault.name == TIME_LIMIT and self._entered(session, ticket, _cancel_command(ticket))

    # --- reports ---

    def _take(self, session: Session, report: _Report) -> None:
        for each in report.ended:
            ticket = self._flying.get(each.ticket)
            if ticket is not None:
                self._record(session, ticket, each)
        self._full = self._full or any(each.full for each in report.ended)
        for number in report.due:
            if number == 0 or number in self._flying:
                self._give(self._flying.get(number), command("resume", ticket=number))
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
            self._go_on(good=self._entered(self._session(), ticket, _cancel_command(ticket)))
        self._schedule()

    def _stuck(self) -> bool:
        idle = not (self._entries or self._ended)
        return idle and bool(self._flying) and not any(ticket.waiting for ticket in self._flying.values())

    def _give_up_stuck(self) -> None:
        """Fail what waits for a promise that nothing can settle: everything that can has run by now."""
        if not self._stuck():
            return
        for ticket in list(self._flying.values()):
            if ticket.live:
                self._fail(ticket, _NOT_SETTLED)
                self._give_up(ticket)


def _cancel_command(ticket: Ticket) -> bytes:
    fault = {"name": TIME_LIMIT, "message": "the time of the event is up"}
    return command("cancel", ticket=ticket.number, fault=fault)
