"""The names that Python scripts import from ``trimtab``, with their types: what an editor completes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Literal, NoReturn, Protocol, TypeVar, overload

from trimtab.bindings.http import Http
from trimtab.bindings.mongo import Mongo
from trimtab.bindings.redis import RedisResources
from trimtab.bindings.sql import Sql

if TYPE_CHECKING:
    from trimtab.cep.builder import PatternBuilder

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
    def parameters(self) -> Mapping[str, Any]:
        """The ``parameters`` of the rule that the script is called for; none where it is called for no rule."""

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
    *,
    source: str | None = None,
    where: str | None = None,
    timeout: str | float | None = None,
    attempts: int | None = None,
    backoff: str | float | None = None,
    concurrency: int | None = None,
    state: Literal["keep", "discard"] | None = None,
) -> Callable[[Function], Function]: ...
def handler(
    function: Function | None = None,
    /,
    *,
    source: str | None = None,
    where: str | None = None,
    timeout: str | float | None = None,
    attempts: int | None = None,
    backoff: str | float | None = None,
    concurrency: int | None = None,
    state: Literal["keep", "discard"] | None = None,
) -> Function | Callable[[Function], Function]:
    """Mark a function ``(event, ctx)`` as an event handler. A file may hold several; they run in their order.

    An ``async def`` is handled beside others: while it waits, the lane goes on with events of other keys. In it every
    call to the outside (``http``, ``sql``, ``redis``, ``mongo``) is to be awaited.

    ``source``: only events of this source; None: of every source.
    ``where``: only events for which this expression is true, evaluated before the script is entered.
    ``timeout``: what one event may take, waiting included: seconds, or text such as ``"200ms"``; None: 1 s.
    ``attempts``: how often an event is tried before it goes to the dead letters; None: once.
    ``backoff``: the pause before the second attempt, at most, and twice as much before each further one; None: 100 ms.
    ``concurrency``: how many events may be under way in one lane, where the function is async; None: 100.
    ``state``: ``"discard"`` has a new version of the script start with empty state; None: it keeps what is stored.
    """
    options = {"source": source, "where": where, "timeout": timeout}
    options |= {"attempts": attempts, "backoff": backoff, "concurrency": concurrency, "state": state}

    def mark(marked: Function) -> Function:
        setattr(marked, HANDLER_MARK, options)
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


class State(Protocol):
    """JSON values by name that outlive the event, the lane and the host: those of this script and the event's key.

    What an event changes counts when its handler has ended without error. Only while an event is handled.
    """

    def get(self, name: str, default: Any = None) -> Any:
        """Return a value, or ``default`` where there is none. It is a copy."""

    def set(self, name: str, value: Any, *, ttl: str | float | None = None) -> None:
        """Store a value; after ``ttl`` (seconds, or text such as ``"1h"``) it is gone.

        Raises ``TypeError`` for what JSON cannot hold, ``ValueError`` for more than ``[sandbox] state_value`` bytes.
        """

    def delete(self, name: str) -> bool:
        """Drop a value; return whether there was one."""

    def incr(self, name: str, by: float = 1) -> Any:
        """Add to a number, 0 where there is none, and return the sum. It keeps the time at which it expires."""

    def items(self) -> dict[str, Any]:
        """Return all values by name."""


class TimerSetter(Protocol):
    """Calls ``on_timer(timer, ctx)`` of this script later, for the key of the event. Only while an event is handled.

    ``timer`` is then a dict with ``name``, ``at`` and ``data``. What an event sets and cancels counts when its handler
    has ended without error.
    """

    def at(
        self,
        when: float,
        data: Any = None,
        *,
        name: str | None = None,
        time: Literal["event", "processing"] | None = None,
    ) -> str:
        """Call it when a time has come, in ms since the epoch. Returns the timer's name.

        ``time``: ``"event"``, when the watermark of the event's source has passed it, or ``"processing"``, by the
        clock; None: event time where the source has a timestamp. A timer of the same ``name`` is replaced; without a
        name each is another one. ``data``: what comes back, a value that JSON can hold.
        """

    def after(
        self,
        delay: str | float,
        data: Any = None,
        *,
        name: str | None = None,
        time: Literal["event", "processing"] | None = None,
    ) -> str:
        """Call it after a while: seconds, or text such as ``"5m"``. In event time that counts from the timestamp of the
        event, else from now. See :meth:`at`.
        """

    def cancel(self, name: str) -> bool:
        """Cancel a timer; return whether there was one."""


class Patterns:
    """Where patterns begin. A script with a variable ``pattern`` gets the matches of that in ``handle(match, ctx)``:
    ``pattern = begin("low").where("fuel < 10").next("lower").where("fuel < last('low').fuel").within("1h")``.
    """

    def begin(self, stage: str | PatternBuilder, *, name: str | None = None) -> PatternBuilder:
        """Begin a pattern. ``stage``: the name of its first stage, or a group: a pattern of its own; ``name``: of that.

        What stages may be is said with the methods of what this returns. Raises ``RuleError``.
        """
        from trimtab.cep.builder import pattern  # with what most scripts do not need

        return pattern.begin(stage, name=name)


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
pattern = Patterns()
begin = pattern.begin
redis: RedisResources = _unbound("redis")
settings: Settings = _unbound("settings")
sql: Sql = _unbound("sql")
state: State = _unbound("state")
timer: TimerSetter = _unbound("timer")


def _needs_host(name: str, *_arguments: Any) -> NoReturn:
    raise RuntimeError(f"{name} works only in a script that a trimtab host runs; try: trimtab try SCRIPT --events F")
