"""The script engine for Python: loads scripts and calls their handlers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from types import FunctionType
from typing import TYPE_CHECKING, Any

import msgspec

from trimtab.api import (
    Events,
    Fault,
    HandlerRun,
    HandlerSpec,
    Script,
    ScriptEngine,
    ScriptError,
    ScriptHost,
    ScriptInstance,
)
from trimtab.sandbox.python.facade import context_type, facade
from trimtab.sandbox.python.functions import ScriptFunction
from trimtab.sandbox.python.guard import Guard
from trimtab.sandbox.python.handlers import Entries, Handler, find_entries, function_for_rules, functions_of
from trimtab.sandbox.python.modules import Modules
from trimtab.sandbox.python.patterns import under_limits
from trimtab.sandbox.python.sources import Sources

if TYPE_CHECKING:
    from trimtab.sandbox.python.coroutines import Coroutines


class PythonEngine(ScriptEngine):
    """Runs ``.py`` scripts in this process, on its main thread, each version as modules of its own."""

    name = "python"
    suffixes = (".py",)

    def load(self, script: Script, libraries: Mapping[str, bytes], host: ScriptHost) -> PythonInstance:
        """See :class:`ScriptEngine`."""
        return PythonInstance(script, libraries, host)


class PythonInstance(ScriptInstance):
    """One loaded version of one Python script."""

    def __init__(self, script: Script, libraries: Mapping[str, bytes], host: ScriptHost) -> None:
        sources = Sources(script, libraries)
        self._script, self._host = script, host
        self._texts = sources.texts
        self._guard = Guard(script.name, self._texts, host.limits)
        self._coroutines: Coroutines | None = None
        self._context = context_type(script)
        self.libraries = self._guard.call(lambda: sources.closure(script.name))
        self._modules = Modules(script, sources, self._guard.call(lambda: facade(script, host)))
        with self._modules.registered():
            self._namespace, entries = self._guard.call(lambda: self._run(script.name))
        self.libraries |= self._modules.files
        self._handlers, self._migrate = entries.handlers, entries.migrate
        self.handlers: list[HandlerSpec] = [handler.spec for handler in self._handlers]
        self._functions = {spec.name: number for number, spec in enumerate(self.handlers) if spec.match}
        """Numbers of the handlers that are functions which get matches."""
        self.pattern = None if entries.pattern is None else under_limits(entries.pattern, self._condition)
        self.discards_state, self.migrates = entries.discards_state, entries.migrate is not None

    def open(self) -> None:
        """See :class:`ScriptInstance`."""
        try:
            self._call_hook("open")
        except ScriptError:
            if self._coroutines is not None:
                with suppress(ScriptError):  # the first error tells more
                    self._coroutines.close()
            raise

    def process(self, handler: int, events: Events, selection: Sequence[int], run: HandlerRun) -> None:
        """See :class:`ScriptInstance`."""
        if not selection:
            return
        chosen, hand = self._handlers[handler], self._host.hand
        hand.run = run
        with self._modules.registered():
            call, values = self._values(chosen, events, selection)
            self._guard.each(call, self._context, events, selection, values, run, chosen.spec.timeout)
        hand.run = None

    def start(self, handler: int, run: HandlerRun, done: Callable[[], None]) -> None:
        """See :class:`ScriptInstance`."""
        chosen, events, index = self._handlers[handler], run.events, run.index
        decode = msgspec.json.decode if chosen.decoder is None else chosen.decoder.decode
        call, line, context = chosen.decoding(decode), events.lines[index], self._context(events, index)
        self._tasks().start(lambda: call(line, context), chosen.spec.timeout, run, done)

    def cancel(self, run: HandlerRun) -> tuple[str, int] | None:
        """See :class:`ScriptInstance`."""
        return self._tasks().cancel(run)

    def migrate(self, states: Sequence[tuple[dict[str, Any], str]]) -> Sequence[dict[str, Any] | Fault]:
        """See :class:`ScriptInstance`."""
        with self._modules.registered():
            return [self._migrated(values, version) for values, version in states]

    def function(self, name: str) -> int:
        """See :class:`ScriptInstance`."""
        if name not in self._functions:
            with self._modules.registered():
                made = function_for_rules(self._script.name, name, self._namespace, self._texts)
            self._functions[name] = len(self._handlers)
            self._handlers.append(made)
            self.handlers.append(made.spec)
        return self._functions[name]

    def ask(self, function: str, event: Any, partial: Mapping[str, list[Any]]) -> bool:
        """See :class:`ScriptInstance`."""
        if function not in functions_of(self._script.name, self._namespace):
            raise LookupError(f"{self._script.name} has no function {function}")
        call = self._namespace[function]
        with self._modules.registered():
            return bool(self._guard.call(lambda: call(event, partial)))

    def _condition(self, call: Callable[[], Any]) -> Any:
        with self._modules.registered():
            return self._guard.call(call)

    def settings_changed(self) -> None:
        """Nothing to do: scripts look at the host's settings themselves."""

    def close(self) -> None:
        """See :class:`ScriptInstance`."""
        try:
            self._call_hook("close")
        finally:
            if self._coroutines is not None:
                self._coroutines.close()
            self._namespace, self._handlers, self._migrate, self._functions = {}, [], None, {}
            self._guard.call(self._modules.forget)

    def _run(self, name: str) -> tuple[dict[str, Any], Entries]:
        namespace = self._modules.run(name)
        return namespace, find_entries(name, namespace, self._texts)

    def _tasks(self) -> Coroutines:
        if self._coroutines is None:
            from trimtab.sandbox.python.coroutines import Coroutines  # with asyncio, which most scripts do not need

            self._coroutines = Coroutines(self._script, self._host, self._guard, self._modules.registered)
        return self._coroutines

    def _call_hook(self, name: str) -> None:
        """Call ``open`` or ``close``, if the script defines it (and did not import a builtin of that name)."""
        hook = self._namespace.get(name)
        if not isinstance(hook, FunctionType):
            return
        if ScriptFunction(self._script.name, name, hook, self._texts).is_async:
            self._tasks().finish(hook)
        else:
            with self._modules.registered():
                self._guard.call(hook)

    def _migrated(self, values: dict[str, Any], version: str) -> dict[str, Any] | Fault:
        migrate = self._migrate
        if migrate is None:
            return values
        try:
            returned = self._guard.call(lambda: migrate(values, version))
        except ScriptError as error:
            return error.fault
        if returned is None:
            return values
        if isinstance(returned, dict):
            return returned
        place = ScriptFunction(self._script.name, "migrate", migrate, self._texts).place()
        got = type(returned).__name__
        return Fault(
            "ScriptError", f"migrate: expected a dict of values by name, got {got}; return one or nothing", *place
        )

    def _values(self, handler: Handler, events: Events, selection: Sequence[int]) -> tuple[Any, Sequence[Any]]:
        """Return what to call for each selected event, and with what value."""
        call, decoder = handler.call, handler.decoder
        if decoder is None:
            return call, events.fresh(selection)
        try:
            lines = events.joined(selection, b"\n")
            return call, self._guard.call(lambda: decoder.decode_lines(lines), handler.spec.timeout)
        except ScriptError:
            # Some event is not valid: each is decoded in its own call, and fails alone.
            return handler.decoding(decoder.decode), [events.lines[i] for i in selection]
