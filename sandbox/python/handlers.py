"""Finds the handlers of a loaded script, and what each asks for."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import CodeType, SimpleNamespace
from typing import Any, NoReturn, get_origin, get_type_hints

import msgspec

from trimtab.durations import parse_duration
from trimtab.engine.script import DEFAULT_TIMEOUT, HandlerSpec
from trimtab.errors import Fault, ScriptError
from trimtab.sandbox.python.coroutines import Coroutines
from trimtab.sandbox.python.faults import Place, sendable
from trimtab.scripting import HANDLER_MARK

PLAIN = "handle"


@dataclass(frozen=True, slots=True)
class Handler:
    """One handler: what it asks for, how to call it, and how its events are decoded (None: to plain values)."""

    spec: HandlerSpec
    call: Callable[[Any, Any], object]
    decoder: msgspec.json.Decoder[Any] | None
    place: Place
    """Where it is defined."""
    label: str
    """Begins the message of a fault that only the name tells from those of other handlers."""

    def decoding(self, decode: Callable[[bytes], Any]) -> Callable[[bytes, Any], object]:
        """Return a call that takes an event as JSON text. An event that does not fit is a fault of the definition."""

        def call(line: bytes, context: Any) -> object:
            try:
                event = decode(line)
            except msgspec.ValidationError as error:
                fault = Fault("ValidationError", sendable(f"{self.label}{error}"), *self.place)
                raise ScriptError(fault) from None
            return self.call(event, context)

        return call


def find_handlers(
    script: str, namespace: Mapping[str, Any], coroutines: Coroutines, texts: Mapping[str, str]
) -> list[Handler]:
    """Return the marked functions in the order of their definition, else plain ``handle``.

    ``texts`` are the script's own files by name. Raises :class:`ScriptError` when there is no handler, or when one
    cannot be what it says.
    """
    marked = {name: value for name, value in namespace.items() if _mark(value) is not None}
    if marked:
        return [
            _Candidate(script, name, value, coroutines, texts).handler(
                _mark(value) or {}, f"handler {name}: " if len(marked) > 1 else ""
            )
            for name, value in marked.items()
        ]
    plain = namespace.get(PLAIN)
    if not callable(plain):
        message = f"expected a function {PLAIN}(event, ctx) or one marked with @handler, got none"
        raise ScriptError(Fault("ScriptError", message, script))
    options = {name: namespace.get(name) for name in ("source", "where", "timeout")}
    return [_Candidate(script, PLAIN, plain, coroutines, texts).handler(options, "")]


def is_async(function: Callable[..., Any]) -> bool:
    """Tell whether a call gives a coroutine, also through decorators made with ``functools.wraps``."""
    inner = inspect.unwrap(function)
    return inspect.iscoroutinefunction(inner) or inspect.iscoroutinefunction(type(inner).__call__)


def _mark(value: object) -> dict[str, Any] | None:
    """Return what ``@handler`` left. Looks only into the instance: ``__getattr__`` is user code."""
    attributes = getattr(value, "__dict__", None)
    return attributes.get(HANDLER_MARK) if callable(value) and isinstance(attributes, Mapping) else None


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A function that is to be a handler."""

    script: str
    name: str
    function: Callable[..., Any]
    coroutines: Coroutines
    texts: Mapping[str, str]

    def handler(self, options: Mapping[str, Any], label: str) -> Handler:
        spec = HandlerSpec(
            self.name,
            self._text("source", options["source"]),
            self._text("where", options["where"]),
            self._timeout(options["timeout"]),
        )
        inner = inspect.unwrap(self.function)
        if inspect.isgeneratorfunction(inner) or inspect.isasyncgenfunction(inner):
            self._refuse("a function that runs to its end", "a generator", "use emit() instead of yield")
        return Handler(spec, self._call(), self._decoder(), self._place(), label)

    def _call(self) -> Callable[[Any, Any], object]:
        function = self.coroutines.finished(self.function) if is_async(self.function) else self.function
        if self._takes(None, None):
            return function
        if self._takes(None):
            return lambda event, _ctx: function(event)
        return self._refuse(f"{self.name}(event, ctx)", f"{self.name}{self._signature()}", "take these two arguments")

    def _takes(self, *arguments: None) -> bool:
        try:
            self._signature().bind(*arguments)
        except TypeError:
            return False
        return True

    def _signature(self) -> inspect.Signature:
        return inspect.signature(self.function)

    def _decoder(self) -> msgspec.json.Decoder[Any] | None:
        """Decode to the annotation of the first parameter, where it says more than 'any JSON object'."""
        annotation = next(iter(self._signature().parameters.values())).annotation
        if annotation is inspect.Parameter.empty:
            return None
        try:
            wanted = self._resolved(annotation)
            if wanted in (Any, object) or _is_mapping(get_origin(wanted) or wanted):
                return None
            return msgspec.json.Decoder(wanted)
        except (NameError, AttributeError, TypeError) as error:
            return self._refuse(
                "an annotation of event that can be decoded to", f"{annotation!r} ({error})", "name a type known here"
            )

    def _resolved(self, annotation: Any) -> Any:
        """Evaluate an annotation that is text, as ``from __future__ import annotations`` makes them."""
        known = getattr(inspect.unwrap(self.function), "__globals__", {})
        carrier: Any = SimpleNamespace(__annotations__={"event": annotation})
        return get_type_hints(carrier, known, include_extras=True)["event"]

    def _text(self, option: str, value: object) -> str | None:
        if value is None or isinstance(value, str):
            return value
        return self._refuse(f"{option} to be text", repr(value), f"write {option} as a string or leave it out")

    def _timeout(self, value: Any) -> float:
        if value is None:
            return DEFAULT_TIMEOUT
        try:
            seconds = parse_duration(value)
        except ValueError as error:
            raise self._error(f"timeout: {error}") from None
        return seconds or self._refuse("timeout to be longer than zero", repr(value), "leave it out for 1 s")

    def _refuse(self, expected: str, got: str, advice: str) -> NoReturn:
        raise self._error(f"expected {expected}, got {got}; {advice}")

    def _error(self, message: str) -> ScriptError:
        return ScriptError(Fault("ScriptError", f"handler {self.name}: {message}", *self._place()))

    def _place(self) -> Place:
        """Return where the ``def`` is: the first line of the code is that of the first decorator."""
        code = getattr(inspect.unwrap(self.function), "__code__", None)
        if not isinstance(code, CodeType):
            return Place(self.script)
        first = code.co_firstlineno
        lines = self.texts.get(code.co_filename, "").split("\n")[first - 1 :]
        definition = re.compile(rf"[ \t]*(async[ \t]+)?def[ \t]+{re.escape(code.co_name)}\b")
        numbers = (number for number, line in enumerate(lines, first) if definition.match(line))
        return Place(code.co_filename, next(numbers, first))


def _is_mapping(kind: object) -> bool:
    return isinstance(kind, type) and issubclass(kind, Mapping) and not hasattr(kind, "__required_keys__")
