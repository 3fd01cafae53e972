"""The script engine for Python: loads scripts and calls their handlers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import FunctionType
from typing import Any

from trimtab.api import Events, HandlerRun, Script, ScriptEngine, ScriptError, ScriptHost, ScriptInstance
from trimtab.sandbox.python.coroutines import Coroutines
from trimtab.sandbox.python.facade import context_type, facade
from trimtab.sandbox.python.guard import Guard
from trimtab.sandbox.python.handlers import Handler, find_handlers, is_async
from trimtab.sandbox.python.modules import Modules
from trimtab.sandbox.python.sources import Sources


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
        self._texts = sources.texts
        self._guard = Guard(script.name, self._texts, host.limits)
        self._hand = host.hand
        self._coroutines = Coroutines(host.limits)
        self._context = context_type(script)
        self.libraries = self._guard.call(lambda: sources.closure(script.name))
        self._modules = Modules(script, sources, self._guard.call(lambda: facade(script, host)))
        with self._modules.registered():
            self._namespace, self._handlers = self._guard.call(lambda: self._run(script.name))
        self.libraries |= self._modules.files
        self.handlers = [handler.spec for handler in self._handlers]

    def open(self) -> None:
        """See :class:`ScriptInstance`."""
        self._call_hook("open")

    def process(self, handler: int, events: Events, selection: Sequence[int], run: HandlerRun) -> None:
        """See :class:`ScriptInstance`."""
        if not selection:
            return
        chosen = self._handlers[handler]
        self._hand.run = run
        with self._modules.registered():
            call, values = self._values(chosen, events, selection)
            self._guard.each(call, self._context, events, selection, values, run, chosen.spec.timeout)
        self._hand.run = None

    def settings_changed(self) -> None:
        """Nothing to do: scripts look at the host's settings themselves."""

    def close(self) -> None:
        """See :class:`ScriptInstance`."""
        try:
            self._call_hook("close")
        finally:
            with self._modules.registered():
                self._guard.call(self._coroutines.close)
            self._modules.forget()
            self._namespace, self._handlers = {}, []

    def _run(self, name: str) -> tuple[dict[str, Any], list[Handler]]:
        namespace = self._modules.run(name)
        return namespace, find_handlers(name, namespace, self._coroutines, self._texts)

    def _call_hook(self, name: str) -> None:
        """Call ``open`` or ``close``, if the script defines it (and did not import a builtin of that name)."""
        hook = self._namespace.get(name)
        if isinstance(hook, FunctionType):
            with self._modules.registered():
                self._guard.call(self._coroutines.finished(hook) if is_async(hook) else hook)

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
