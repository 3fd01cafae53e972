"""Finds the handlers of a loaded script, and what each asks for."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import FunctionType, SimpleNamespace
from typing import TYPE_CHECKING, Any, get_origin, get_type_hints

import msgspec

from trimtab.engine.script import HandlerSpec
from trimtab.errors import Fault, ScriptError
from trimtab.sandbox.python.faults import Place, sendable
from trimtab.sandbox.python.functions import ScriptFunction
from trimtab.sandbox.python.options import ROUTING, RUNNING, Options, discards_state
from trimtab.sandbox.python.patterns import find_pattern
from trimtab.scripting import HANDLER_MARK

if TYPE_CHECKING:
    from trimtab.cep.pattern import Pattern

PLAIN = "handle"
PROCESS = "process"
TIMER = "on_timer"
MIGRATE = "migrate"


@dataclass(frozen=True, slots=True)
class Handler:
    """One handler: what it asks for, how to call it, and how its events are decoded (None: to plain values)."""

    spec: HandlerSpec
    call: Callable[[Any, Any], Any]
    decoder: msgspec.json.Decoder[Any] | None
    place: Place
    """Where it is defined."""
    label: str
    """Begins the message of a fault that only the name tells from those of other handlers."""

    def decoding(self, decode: Callable[[bytes], Any]) -> Callable[[bytes, Any], Any]:
        """Return a call that takes an event as JSON text. An event that does not fit is a fault of the definition."""

        def call(line: bytes, context: Any) -> Any:
            try:
                event = decode(line)
            except msgspec.ValidationError as error:
                fault = Fault("ValidationError", sendable(f"{self.label}{error}"), *self.place)
                raise ScriptError(fault) from None
            return self.call(event, context)

        return call


@dataclass(frozen=True, slots=True)
class Entries:
    """What the engine calls in a script, beside ``open`` and ``close``."""

    handlers: list[Handler]
    migrate: Callable[[dict[str, Any], str], Any] | None
    discards_state: bool
    pattern: Pattern | None


def find_entries(script: str, namespace: Mapping[str, Any], texts: Mapping[str, str]) -> Entries:
    """Find the marked functions in the order of their definition, else plain ``handle``; then ``on_timer``.

    In a script with a pattern, ``handle`` is beside them, and gets matches.

    ``texts`` are the script's own files by name. Raises :class:`ScriptError` when there is neither a handler nor a
    function for rules, or when one cannot be what it says.
    """
    pattern = find_pattern(script, namespace)
    found = _Finder(script, namespace, texts)
    handlers = found.handlers() if pattern is None else found.handlers_beside_pattern()
    return Entries(handlers, found.migrate(), found.discards_state(), pattern)


def function_for_rules(script: str, name: str, namespace: Mapping[str, Any], texts: Mapping[str, str]) -> Handler:
    """Return the handler that a function of a script is when a rule names it.

    Raises ``LookupError`` where there is none of this name, :class:`ScriptError` where it cannot be called.
    """
    own = functions_of(script, namespace)
    if name not in own:
        raise LookupError(f"{script} has no function {name}; it has {', '.join(own) or 'none'}")
    return _Finder(script, namespace, texts).function(name)


def functions_of(script: str, namespace: Mapping[str, Any]) -> list[str]:
    """Return the names of the functions that a script itself defines."""
    return [
        name
        for name, value in namespace.items()
        if isinstance(value, FunctionType) and inspect.unwrap(value).__code__.co_filename == script
    ]


def _is_for_rules(function: FunctionType) -> bool:
    """Whether a function is one that rules call: it takes a match, or a partial match, or is called ``process``."""
    parameters = list(inspect.signature(function).parameters)
    return parameters[:1] == ["match"] or parameters[1:2] == ["partial"] or function.__name__ == PROCESS


def _mark(value: object) -> dict[str, Any] | None:
    """Return what ``@handler`` left. Looks only into the instance: ``__getattr__`` is user code."""
    attributes = getattr(value, "__dict__", None)
    return attributes.get(HANDLER_MARK) if callable(value) and isinstance(attributes, Mapping) else None


@dataclass(frozen=True, slots=True)
class _Finder:
    script: str
    namespace: Mapping[str, Any]
    texts: Mapping[str, str]

    def handlers(self) -> list[Handler]:
        names = self._marked() or [PLAIN]
        if not callable(self.namespace.get(names[0])):
            own = [self.namespace[name] for name in functions_of(self.script, self.namespace)]
            if not any(map(_is_for_rules, own)):
                message = f"expected a function {PLAIN}(event, ctx) or one marked with @handler, got none"
                raise ScriptError(Fault("ScriptError", message, self.script))
            names = []
        return self._handlers(names)

    def handlers_beside_pattern(self) -> list[Handler]:
        """Return the handlers of a script with a pattern: ``handle`` is the one of its matches."""
        if not callable(self.namespace.get(PLAIN)):
            message = f"expected a function {PLAIN}(match, ctx), as the script has a pattern, got none"
            raise ScriptError(Fault("ScriptError", message, self.script))
        names = self._marked()
        return [
            replace(found, spec=msgspec.structs.replace(found.spec, match=True)) if found.spec.name == PLAIN else found
            for found in self._handlers(names if PLAIN in names else [PLAIN, *names])
        ]

    def _marked(self) -> list[str]:
        return [name for name, value in self.namespace.items() if _mark(value) is not None and name != TIMER]

    def _handlers(self, names: list[str]) -> list[Handler]:
        if callable(self.namespace.get(TIMER)):
            names = [*names, TIMER]
        return [self._handler(name, f"handler {name}: " if len(names) > 1 else "") for name in names]

    def function(self, name: str) -> Handler:
        """Return a function as a handler of what rules find. It gets no events of sources by itself."""
        found = self._handler(name, f"{name}: ")
        return replace(found, spec=msgspec.structs.replace(found.spec, source=None, where=None, match=True))

    def migrate(self) -> Callable[[dict[str, Any], str], Any] | None:
        """A builtin of that name that the script has imported is not its own."""
        value = self.namespace.get(MIGRATE)
        if not isinstance(value, FunctionType):
            return None
        function = ScriptFunction(self.script, MIGRATE, value, self.texts)
        if function.is_async or function.is_generator:
            function.refuse("a plain function", "an async function or a generator", "write it as def")
        if not function.takes(None, None):
            got = f"{MIGRATE}{function.signature}"
            function.refuse(f"{MIGRATE}(state, from_version)", got, "take these two arguments")
        return value

    def discards_state(self) -> bool:
        marks = [mark for value in self.namespace.values() if (mark := _mark(value)) is not None]
        given = [self.namespace.get("state"), *(mark["state"] for mark in marks)]
        return True in {discards_state(self.script, each) for each in given}  # a wrong one is refused in any case

    def _handler(self, name: str, label: str) -> Handler:
        function = ScriptFunction(self.script, f"handler {name}", self.namespace[name], self.texts)
        given = _mark(function.function)
        if given is None:
            given = {option: self.namespace.get(option) for option in (RUNNING if name == TIMER else ROUTING + RUNNING)}
        elif name == TIMER and (given["source"] or given["where"]):
            function.refuse("no source and no where", "a handler of timers with one", "leave them out")
        spec = Options(function, given).spec(name, timer=name == TIMER)
        if function.is_generator:
            function.refuse("a function that runs to its end", "a generator", "use emit() instead of yield")
        return Handler(spec, _call(function, name), _decoder(function), function.place(), label)


def _call(function: ScriptFunction, name: str) -> Callable[[Any, Any], Any]:
    call = function.function
    if function.takes(None, None):
        return call
    if function.takes(None):
        return lambda event, _ctx: call(event)
    wanted = f"{name}({'timer' if name == TIMER else 'event'}, ctx)"
    return function.refuse(wanted, f"{name}{function.signature}", "take these two arguments")


def _decoder(function: ScriptFunction) -> msgspec.json.Decoder[Any] | None:
    """Decode to the annotation of the first parameter, where it says more than 'any JSON object'."""
    annotation = next(iter(function.signature.parameters.values())).annotation
    if annotation is inspect.Parameter.empty:
        return None
    try:
        wanted = _resolved(function, annotation)
        if wanted in (Any, object) or _is_mapping(get_origin(wanted) or wanted):
            return None
        return msgspec.json.Decoder(wanted)
    except (NameError, AttributeError, TypeError) as error:
        return function.refuse(
            "an annotation of event that can be decoded to", f"{annotation!r} ({error})", "name a type known here"
        )


def _resolved(function: ScriptFunction, annotation: Any) -> Any:
    """Evaluate an annotation that is text, as ``from __future__ import annotations`` makes them."""
    known = getattr(inspect.unwrap(function.function), "__globals__", {})
    carrier: Any = SimpleNamespace(__annotations__={"event": annotation})
    return get_type_hints(carrier, known, include_extras=True)["event"]


def _is_mapping(kind: object) -> bool:
    return isinstance(kind, type) and issubclass(kind, Mapping) and not hasattr(kind, "__required_keys__")
