"""One version of one script in JavaScript, ready for events."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from trimtab.api import Events, HandlerRun, HandlerSpec, ScriptInstance
from trimtab.engine.script import DEFAULT_TIMEOUT
from trimtab.errors import Fault, ScriptError
from trimtab.sandbox.javascript.batches import Batch
from trimtab.sandbox.javascript.faults import TIME_LIMIT, spoils
from trimtab.sandbox.javascript.interpreter import Answer, plain
from trimtab.sandbox.javascript.session import Program, Session, command
from trimtab.sandbox.javascript.tickets import Tickets
from trimtab.sandbox.javascript.turns import Turn
from trimtab.sandbox.javascript.values import Kind

_PROCEED = command("proceed")
_SILENT = Fault("InternalError", "the interpreter did not tell what became of the event")


class JavaScriptInstance(ScriptInstance):
    """Has one session at a time: a new one when the memory is full or a stopped promise job has spoiled the old one.

    Raises :class:`ScriptError` when the script cannot be loaded.
    """

    decodes = False

    def __init__(self, program: Program) -> None:
        self.libraries = frozenset(program.sources) - {program.script.name}
        self._program = program
        self._limits = program.host.limits
        self._tickets = Tickets(self._get_session, self._drop, program.host.tasks, texts=program.texts)
        self._batch: Batch | None = None
        self._turn = 0
        self._opened = False
        self._functions: dict[str, int] = {}
        """Numbers of the handlers that are functions which get matches."""
        self._session: Session | None = self._new_session()
        definition = self._session.definition
        self.handlers: tuple[HandlerSpec, ...] = definition.handlers
        self._functions |= {spec.name: number for number, spec in enumerate(self.handlers) if spec.match}
        self.pattern = definition.pattern
        self.discards_state, self.migrates = definition.discards_state, definition.migrates

    def open(self) -> None:
        """Run the script's ``open()``."""
        if self._session is not None:
            self._session.call("open")
            self._opened = True

    def settings_changed(self) -> None:
        """Hand the new settings over."""
        self._tickets.catch_up()
        text = command("settings", tree=self._program.host.settings.tree)
        if self._session is not None and self._try(self._session, text, Turn(), DEFAULT_TIMEOUT) is not None:
            self._replace()  # spoiled: the next one starts with the new settings

    def close(self) -> None:
        """Run the script's ``close()`` if it is open, and free the interpreter."""
        if self._session is None:
            return
        try:
            if self._opened:
                self._session.call("close")
        finally:
            self._drop()

    def start(self, handler: int, run: HandlerRun, done: Callable[[], None]) -> None:
        """See :class:`ScriptInstance`."""
        self._tickets.start(self.handlers[handler], run, done)

    def cancel(self, run: HandlerRun) -> tuple[str, int] | None:
        """See :class:`ScriptInstance`."""
        return self._tickets.cancel(run)

    def migrate(self, states: Sequence[tuple[dict[str, Any], str]]) -> Sequence[dict[str, Any] | Fault]:
        """See :class:`ScriptInstance`."""
        return [self._migrated(values, version) for values, version in states]

    def function(self, name: str) -> int:
        """See :class:`ScriptInstance`."""
        if name not in self._functions:
            self._tickets.catch_up()
            spec = self._get_session().make_callable(name)
            self._functions[name] = len(self.handlers)
            self.handlers = (*self.handlers, spec)
        return self._functions[name]

    def ask(self, function: str, event: Any, partial: Mapping[str, list[Any]]) -> bool:
        """See :class:`ScriptInstance`."""
        self._tickets.catch_up()
        try:
            return self._get_session().ask(function, event, partial)
        except ScriptError as error:
            if spoils(error.fault):
                self._replace()
            raise

    def _migrated(self, values: dict[str, Any], version: str) -> dict[str, Any] | Fault:
        self._tickets.catch_up()
        try:
            return self._get_session().migrate(values, version)
        except ScriptError as error:
            if spoils(error.fault):
                self._replace()
            return error.fault

    def process(self, handler: int, events: Events, selection: Sequence[int], run: HandlerRun) -> None:
        """Send the events to the loop in the interpreter. If something spoils it, a new one does what is left."""
        self._tickets.catch_up()
        self._turn += 1
        spec, texts = self.handlers[handler], self._program.texts
        batch = self._batch = Batch(spec, events, selection, run, self._turn, texts=texts)
        single = False
        while not batch.finished:
            try:
                session = self._get_session()
            except ScriptError as error:
                batch.fail_rest(error.fault)
            else:
                if not self._send(session, batch, single=single):
                    self._replace()
                    single = True

    def _send(self, session: Session, batch: Batch, *, single: bool) -> bool:
        """Send what is left, or one event. Returns False if the session is spoiled."""
        text = batch.command(single=single)
        while not batch.idle:
            before = batch.done
            fault = self._try(session, text, batch, batch.timeout)
            if batch.full:
                return False
            spoiled = fault is not None and not self._cope(session, batch, fault)
            if spoiled or before == batch.done:
                if single:
                    batch.fail(fault or _SILENT)
                return False
            text = _PROCEED
        return True

    def _cope(self, session: Session, batch: Batch, fault: Fault) -> bool:
        """Let the session report what it did before the fault. Returns False if it cannot."""
        if not spoils(fault):
            session.log("error", f"a promise was rejected and nothing handled it: {fault}")
            return True
        if fault.name != TIME_LIMIT:
            return False
        if batch.idle:
            batch.fail_last(fault)
            return True
        stop = command("stop", fault={"name": fault.name, "message": fault.message})
        return self._try(session, stop, batch, batch.timeout) is None

    def _try(self, session: Session, text: bytes, turn: Turn, seconds: float) -> Fault | None:
        try:
            session.enter(text, seconds, turn)
        except ScriptError as error:
            return error.fault
        return None

    def _new_session(self) -> Session:
        session = Session(self._program, {"mark": self._mark, "report": self._report, **self._facts()})
        for name in self._functions:
            session.make_callable(name)
        return session

    def _get_session(self) -> Session:
        """Return the session, a new one where there is none. Raises :class:`ScriptError`."""
        if self._session is None:
            session = self._new_session()
            try:
                if self._opened:
                    session.call("open")
            except ScriptError:
                session.free()
                raise
            self._session = session
        return self._session

    def _replace(self) -> None:
        self._drop()
        self._tickets.restart()

    def _drop(self) -> None:
        if self._session is not None:
            self._session.free()
        self._session = None

    # --- what the prelude says and asks ---

    def _mark(self, _body: bytes) -> None:
        self._limits.mark = object()

    def _report(self, body: bytes) -> None:
        self._mark(body)  # so that the limit does not strike in the middle
        if self._batch is not None and self._session is not None:
            self._batch.record(body, self._session.fault)

    def _undo(self, body: bytes) -> None:
        if self._batch is not None:
            self._batch.undo(int(body))

    def _left(self, body: bytes) -> bytes | None:
        self._tickets.report(body)
        text = self._tickets.more()
        return None if text is None else b"[%d,[%b]]" % (Kind.RESULT, text)

    def _facts(self) -> dict[str, Answer]:
        return {
            "undo": self._undo,
            "ended": self._tickets.report,
            "left": self._left,
            "id": plain(lambda body: self._current(body).ids()),
            "key": plain(lambda body: self._current(body).keys()),
            "timestamp": plain(lambda body: self._current(body).timestamps()),
            "parameters": plain(lambda body: self._current(body).parameters()),
        }

    def _current(self, turn: bytes) -> Batch:
        if self._batch is None or self._batch.turn != int(turn):
            raise LookupError("ctx can be read only while its event is handled; keep what you need of it, not ctx")
        return self._batch
