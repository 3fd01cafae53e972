"""Has scripts in both languages make the calls of a case, and hands back what they got."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import psutil

from tests.bindings.binding_cases import Case, Place
from tests.servers.programs import until
from trimtab.engine.calls import Call
from trimtab.testing import Handled, ScriptRunner

_OPEN = {psutil.CONN_ESTABLISHED, psutil.CONN_CLOSE_WAIT}

HASTY, PATIENT = 0.3, 5.0
"""Seconds that an event may take."""

_PYTHON = """
from trimtab import emit, {kind}

timeout = {timeout}
where = "to == '{name}'"
CALLS = {{{calls}}}


def plain(error):
    named = f"{{type(error).__module__}}.{{type(error).__qualname__}}" == "trimtab.errors.CallError"
    return named and error.__cause__ is None and (error.__suppress_context__ or error.__context__ is None)


def handle(event):
    if event["do"] == "nothing":
        return emit("out", None)
    it = {kind}("it")
    try:
        value = CALLS[event["do"]](it, event["n"])
    except Exception as error:
        if not event["caught"]:
            raise
        facts = dict(name=error.name, message=error.message, code=error.code, retryable=error.retryable)
        value = dict(facts, is_plain=plain(error) and str(error) == error.message)
    emit("out", value)
"""
_JAVASCRIPT = """
import {{ emit, {kind} }} from "trimtab";

export const timeout = {timeout};
export const where = "to == '{name}'";
const calls = {{{calls}}};

export function handle(event) {{
  if (event.do === "nothing") return emit("out", null);
  const it = {kind}("it");
  let value;
  try {{
    value = calls[event.do](it, event.n) ?? null;
  }} catch (error) {{
    if (!event.caught) throw error;
    const {{ name, message, code, retryable }} = error;
    value = {{ name, message, code: code ?? null, retryable, is_plain: error instanceof Error && !error.cause }};
  }}
  emit("out", value);
}}
"""


@dataclass(frozen=True, slots=True)
class Caught:
    """The error that a script has caught."""

    name: str
    message: str
    code: str | int | None
    retryable: bool
    is_plain: bool
    """It is an error of trimtab's, and no other hangs on it."""


@dataclass
class Talk:
    """Two scripts of one language beside one resource, ``it``: one has little time for an event, the other much."""

    case: Case
    language: str
    options: Mapping[str, Any]
    rehearsed: list[Call] | None = None
    runner: ScriptRunner = field(init=False)

    def __post_init__(self) -> None:
        self.runner = ScriptRunner({f"{self.case.kind}.it": dict(self.options)}, rehearsed=self.rehearsed)
        ending = {"python": "py", "javascript": "js"}[self.language]
        scripts = {"hasty": HASTY, "patient": PATIENT}
        self.runner.load(**{f"{name}__{ending}": self._script(name, timeout) for name, timeout in scripts.items()})

    def handle(self, do: str, *markers: str, to: str = "patient", caught: bool = False) -> Handled:
        """Hand over an event for each marker, as one batch."""
        return self.runner.handle(*({"to": to, "do": do, "n": n, "caught": caught} for n in markers))

    def ask(self, do: str, marker: str = "m") -> Any:
        """Return what a call gives."""
        handled = self.handle(do, marker)
        assert handled.faults == []
        (value,) = handled.emitted
        return value

    def error(self, do: str, marker: str = "m") -> Caught:
        """Return the error that a call gives."""
        handled = self.handle(do, marker, caught=True)
        assert handled.faults == []
        return Caught(**handled.emitted[0])

    def persist(self, do: str, marker: str) -> tuple[Any, list[Caught]]:
        """Return what a call gives at last, and the errors that it has given before. Each may be retried."""
        values: list[Any] = []
        errors: list[Caught] = []

        def works() -> bool:
            (value,) = self.handle(do, marker, caught=True).emitted
            if isinstance(value, dict) and "retryable" in value:
                errors.append(Caught(**value))
                assert errors[-1].retryable, value
            else:
                values.append(value)
            return values != []

        until(works, "a call to get through")
        return values[0], errors

    def declare(self, options: Mapping[str, Any]) -> None:
        """Replace the resource."""
        self.runner.declare(**{f"{self.case.kind}__it": dict(options)})

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        assert list(self.runner.close()) == []

    def _script(self, name: str, timeout: float) -> str:
        case, is_python = self.case, self.language == "python"
        calls = {"write": case.write, "read": case.read, "refused": case.refused}
        calls |= {extra.name: extra.python if is_python else extra.javascript for extra in case.extras}
        form = '"{}": lambda it, n: {},' if is_python else '"{}": (it, n) => {},'
        lines = "\n".join(form.format(do, call) for do, call in calls.items())
        template = _PYTHON if is_python else _JAVASCRIPT
        return template.format(kind=case.kind, name=name, timeout=timeout, calls=lines)


@contextmanager
def paused(place: Place) -> Iterator[None]:
    """Inside the block, the server takes connections and says nothing."""
    place.process.pause()
    try:
        yield
    finally:
        place.process.resume()


def connections(place: Place) -> set[tuple[int, int]]:
    """Return the connections that the server has from this process: ports of the client and of the server."""
    mine = {local for local, _remote, _status in _ends(psutil.Process().net_connections("tcp"))}
    return {pair for pair in open_in_server(place) if pair[0] in mine}


def open_in_server(place: Place) -> set[tuple[int, int]]:
    """Return the connections that the server has open, also those that the client has closed."""
    ends = _ends(psutil.net_connections("tcp"))
    return {(remote, local) for local, remote, status in ends if local in place.ports and status in _OPEN}


def _ends(found: Iterable[Any]) -> Iterator[tuple[int, int, str]]:
    """Yield the local port, the remote port and the status of each connection."""
    return ((each.laddr.port, each.raddr.port, each.status) for each in found if each.raddr)
