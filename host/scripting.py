"""The names that Python scripts import from ``trimtab``, with their types: what an editor completes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn, Protocol, TypeVar, overload

from trimtab.bindings.http import Http
from trimtab.bindings.mongo import Mongo
from trimtab.bindings.redis import RedisResources
from trimtab.bindings.sql import Sql

Function = TypeVar("Function", bound=Callable[..., Any])

HANDLER_MARK = "__trimtab_handler__"
"""The attribute in which :func:`handler` leaves its arguments on the function."""


class Context(Protocol):
    """What a handler gets beside the event."""

    @property
    def id(self) -> str:
        """Identity of the event: the same each time it is handled again. Makes outside calls idempotent."""

    @property
    def source(self) -> str:
        """Name of the source."""

    @property
    def key(self) -> Any:
        """The event's key, or None."""

    @property
    def timestamp(self) -> int:
        """Event time in ms since the epoch; arrival time where the event has none."""

    @property
    def generation(self) -> int:
        """Number of the generation that handles the event."""

    @property
    def script(self) -> str:
        """Name of this script."""

    @property
    def version(self) -> str:
        """Version of this script: the first 12 hex digits of the SHA-256 of its bytes."""


@overload
def handler(function: Function, /) -> Function: ...
@overload
def handler(
    *, source: str | None = None, where: str | None = None, timeout: str | float | None = None
) -> Callable[[Function], Function]: ...
def handler(
    function: Function | None = None,
    /,
    *,
    source: str | None = None,
    where: str | None = None,
    timeout: str | float | None = None,
) -> Function | Callable[[Function], Function]:
    """Mark a function ``(event, ctx)`` as an event handler. A file may hold several; they run in their order.

    ``source``: only events of this source; None: of every source.
    ``where``: only events for which this expression is true, evaluated before the script is entered.
    ``timeout``: what one event may take: seconds, or text such as ``"200ms"``; None: 1 s.
    """

    def mark(marked: Function) -> Function:
        setattr(marked, HANDLER_MARK, {"source": source, "where": where, "timeout": timeout})
        return marked

    return mark if function is None else mark(function)


def emit(sink: str, value: Any) -> None:
    """Send a value (anything that JSON can hold) to a sink. It goes out when the handler has ended without error.

    Raises ``LookupError`` for a sink that is not configured, ``TypeError`` for a value that JSON cannot hold.
    """
    _needs_host("emit", sink, value)


class Settings(Protocol):
    """The ``[settings]`` of the configuration, always of the running generation."""

    def get(self, path: str, default: Any = None) -> Any:
        """Return the value at a dotted path, or ``default`` where there is none."""


class Log(Protocol):
    """Writes to the host's log, with the script and its version."""

    def info(self, message: str, **fields: Any) -> None:
        """Log what is good to know."""

    def warn(self, message: str, **fields: Any) -> None:
        """Log what somebody should look at."""

    def error(self, message: str, **fields: Any) -> None:
        """Log what went wrong."""


class _Unbound:
    """Stands for a name that only the host can give."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, attribute: str) -> NoReturn:
        if attribute.startswith("__"):
            raise AttributeError(attribute)
        _needs_host(f"{self._name}.{attribute}")

    def __call__(self, *_arguments: Any) -> NoReturn:
        _needs_host(self._name)


def _unbound(name: str) -> Any:
    """What has every type: the host puts the real thing in its place."""
    return _Unbound(name)


http: Http = _unbound("http")
log: Log = _unbound("log")
mongo: Mongo = _unbound("mongo")
redis: RedisResources = _unbound("redis")
settings: Settings = _unbound("settings")
sql: Sql = _unbound("sql")


def _needs_host(name: str, *_arguments: Any) -> NoReturn:
    raise RuntimeError(f"{name} works only in a script that a trimtab host runs; try: trimtab try SCRIPT --events F")
