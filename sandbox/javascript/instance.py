"""One version of one script in JavaScript, ready for events."""

from __future__ import annotations

from collections.abc import Sequence

from trimtab.api import Events, HandlerRun, ScriptInstance
from trimtab.errors import Fault, ScriptError
from trimtab.sandbox.javascript.batches import Batch
from trimtab.sandbox.javascript.faults import MEMORY_LIMIT, UNUSABLE
from trimtab.sandbox.javascript.interpreter import Answer, plain
from trimtab.sandbox.javascript.session import Program, Session, command
from trimtab.sandbox.limits import TimeLimitExceeded

_RESUME = command("resume")
_SILENT = Fault("InternalError", "the interpreter did not tell what became of the event")
_TIME_LIMIT = TimeLimitExceeded.__name__


class JavaScriptInstance(ScriptInstance):
    """Has one session at a time: a new one when the memory is full or a stopped promise job has spoiled the old one.

    Raises :class:`ScriptError` when the script cannot be loaded.
    """

    decodes = False

    def __init__(self, program: Program) -> None:
        self.libraries = frozenset(program.sources) - {program.script.name}
        self._program = program
        self._limits = program.host.limits
        self._batch: Batch | None = None
        self._turn = 0
        self._opened = False
        self._session: Session | None = self._new_session()
        self.handlers = (self._session.handler,)
        self._timeout = self._session.handler.timeout

    def open(self) -> None:
        """Run the script's ``open()``."""
        if self._session is not None:
            self._session.call("open")
            self._opened = True

    def settings_changed(self) -> None:
        """Hand the new settings over."""
        text = command("settings", tree=self._program.host.settings.tree)
        if self._session is not None and self._try(self._session, text) is not None:
            self._drop()  # spoiled: the next one starts with the new settings

    def close(self) -> None:
        """Run the script's ``close()`` if it is open, and free the interpreter."""
        if self._session is None:
            return
        try:
            if self._opened:
                self._session.call("close")
        finally:
            self._drop()

    def process(self, handler: int, events: Events, selection: Sequence[int], run: HandlerRun) -> None:  # noqa: ARG002
        """Send the events to the loop in the interpreter. If something spoils it, a new one does what is left."""
        self._turn += 1
        batch = self._batch = Batch(events, selection, run, self._turn, texts=self._program.texts)
        single = False
        while not batch.finished:
            try:
                session = self._session or self._reopened()
            except ScriptError as error:
                batch.fail_rest(error.fault)
            else:
                if not self._send(session, batch, single=single):
                    self._drop()
                    single = True

    def _send(self, session: Session, batch: Batch, *, single: bool) -> bool:
        """Send what is left, or one event, and go on until it is done. Returns False if the session is spoiled."""
        text = batch.command(self._timeout, single=single)
        while not batch.idle:
            before = batch.done, batch.awaiting
            fault = self._try(session, text)
            spoiled = fault is not None and not self._cope(session, batch, fault)
            if spoiled or before == (batch.done, batch.awaiting):
                if batch.awaiting or single:
                    batch.fail(fault or _SILENT)
                return False
            if batch.full:
                return False
            text = _RESUME
        return True

    def _cope(self, session: Session, batch: Batch, fault: Fault) -> bool:
        """Let the session report what it did before the fault. Returns False if it cannot."""
        if fault.name == _TIME_LIMIT and batch.idle:
            batch.fail_last(fault)
            return True
        if fault.name == _TIME_LIMIT:
            stop = command("stop", fault={"name": fault.name, "message": fault.message})
            return self._try(session, stop) is None
        if fault.name == MEMORY_LIMIT or UNUSABLE in fault.message:
            return False
        session.log("error", f"a promise was rejected and nothing handled it: {fault}")
        return True

    def _try(self, session: Session, text: bytes) -> Fault | None:
        try:
            session.enter(text, self._timeout)
        except ScriptError as error:
            return error.fault
        return None

    def _new_session(self) -> Session:
        return Session(self._program, {"mark": self._mark, "report": self._report, **self._facts()})

    def _reopened(self) -> Session:
        session = self._new_session()
        try:
            if self._opened:
                session.call("open")
        except ScriptError:
            session.free()
            raise
        self._session = session
        return session

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

    def _facts(self) -> dict[str, Answer]:
        return {
            "ids": plain(lambda body: self._current(body).ids()),
            "keys": plain(lambda body: self._current(body).keys()),
            "timestamps": plain(lambda body: self._current(body).timestamps()),
        }

    def _current(self, turn: bytes) -> Batch:
        if self._batch is None or self._batch.turn != int(turn):
            raise LookupError("ctx can be read only while its event is handled; keep what you need of it, not ctx")
        return self._batch
