"""What a script is to the engine, and what the engine's runner gives to scripts."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import msgspec

from trimtab.engine.breaker import Breakers
from trimtab.engine.resources import Resources
from trimtab.engine.run import Hand
from trimtab.engine.state import StateStore

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop, Future

    from trimtab.api import Binding

Result = TypeVar("Result")

DEFAULT_TIMEOUT = 1.0
"""Seconds that one event may take in a handler, and ``open``, ``close`` and a top level as a whole."""
DEFAULT_BACKOFF = 0.1
DEFAULT_CONCURRENCY = 100


class Script(msgspec.Struct, frozen=True):
    """One version of one script."""

    name: str
    """Path below the scripts folder, with ``/``: ``alarms/overspeed.js``."""
    source: bytes
    version: str
    """SHA-256 of the source, in hex."""

    @classmethod
    def of(cls, name: str, source: bytes) -> Script:
        """Make a script from its bytes."""
        return cls(name, source, hashlib.sha256(source).hexdigest())


class HandlerSpec(msgspec.Struct, frozen=True):
    """What one handler of a script asks for."""

    name: str
    """Of the function."""
    source: str | None = None
    """Only events of this source; None: of every source."""
    where: str | None = None
    """Only events for which this expression is true."""
    timeout: float = DEFAULT_TIMEOUT
    """Seconds one event may take."""
    attempts: int = 1
    """How often an event is tried before it is a dead letter."""
    backoff: float = DEFAULT_BACKOFF
    """Seconds until the second attempt, at most; twice as long before each further one. The pause is random."""
    concurrency: int = DEFAULT_CONCURRENCY
    """How many events may be in flight in one lane, where the handler is asynchronous."""
    asynchronous: bool = False
    """It waits: :meth:`ScriptInstance.start` begins with an event, and others go on meanwhile."""
    timer: bool = False
    """It handles timers, not events."""
    match: bool = False
    """It handles matches of patterns, not events."""


class LogEntry(msgspec.Struct, frozen=True):
    """One call of ``log.info/warn/error`` or ``console.*`` in a script."""

    level: str
    script: str
    version: str
    message: str
    fields: dict[str, Any]


class Limits(Protocol):
    """Stops user code that takes too long. Given by the runner, because it needs a clock."""

    mark: object
    """Set to another value whenever the next piece of work begins: the time limit starts anew."""

    def running(self, seconds: float) -> AbstractContextManager[None]:
        """Inside the block, each piece of work may take this long; then an exception is raised into it.

        The exception is a ``BaseException`` (so that user code does not catch it by accident) named
        ``TimeLimitExceeded``; it comes again while user code swallows it and goes on.
        """

    def is_exceeded(self, error: BaseException) -> bool:
        """Tell whether an error is that exception."""


class Tasks(Protocol):
    """What waits in this process while events are in flight. Given by the runner; main thread only."""

    @property
    def loop(self) -> AbstractEventLoop:
        """The event loop, made when it is first asked for. It runs only while something is waited for."""

    def call(self, function: Callable[[], Result]) -> Future[Result]:
        """Call a function in a thread. Cancelling the future does not end the call, only the interest in it."""

    def wake(self) -> None:
        """Have :meth:`run` look at its condition again: called in the loop, whenever something has ended."""

    def turn(self) -> None:
        """Run what is ready in the event loop, and wait for nothing."""

    def run(self, until: Callable[[], bool], readable: int | None = None) -> bool:
        """Run the event loop until a condition holds, or a file descriptor can be read: whether it was that."""


class NoTasks:
    """Where nothing ever waits: no handler is asynchronous, and none is tried again."""

    @property
    def loop(self) -> AbstractEventLoop:
        """See :class:`Tasks`."""
        raise RuntimeError("nothing can wait here")

    def call(self, function: Callable[[], Result]) -> Future[Result]:
        """See :class:`Tasks`."""
        raise RuntimeError(f"nothing can wait here: {function}")

    def wake(self) -> None:
        """See :class:`Tasks`."""

    def turn(self) -> None:
        """See :class:`Tasks`."""

    def run(self, until: Callable[[], bool], readable: int | None = None) -> bool:
        """See :class:`Tasks`."""
        if not until():
            raise RuntimeError(f"nothing can wait here, also not for {readable}")
        return False


class Settings:
    """The ``[settings]`` of the running generation."""

    def __init__(self, tree: Mapping[str, Any] | None = None) -> None:
        self._tree = tree or {}

    @property
    def tree(self) -> Mapping[str, Any]:
        """All of them."""
        prepared = _prepared.get()
        return self._tree if prepared is None else prepared

    @tree.setter
    def tree(self, tree: Mapping[str, Any]) -> None:
        self._tree = tree

    @contextmanager
    def prepared(self, tree: Mapping[str, Any] | None) -> Iterator[None]:
        """Inside the block, and in tasks that begin there, these are the settings; None: those that there are."""
        before = _prepared.set(self.tree if tree is None else tree)
        try:
            yield
        finally:
            _prepared.reset(before)

    def get(self, path: str, default: Any = None) -> Any:
        """Return the value at a dotted path, or ``default`` where there is none."""
        value: Any = self.tree
        for part in path.split("."):
            if not isinstance(value, Mapping) or part not in value:
                return default
            value = value[part]
        return value


_prepared: ContextVar[Mapping[str, Any] | None] = ContextVar("prepared", default=None)
"""The settings of the generation that is being prepared, for what is loaded and opened."""


@dataclass(frozen=True, slots=True)
class ScriptHost:
    """What script engines and bindings get from the runner."""

    sources: frozenset[str]
    sinks: frozenset[str]
    limits: Limits
    log: Callable[[LogEntry], None]
    bindings: Sequence[Binding] = ()
    roots: tuple[Path, ...] = ()
    """The scripts folders, for packages that lie beside the scripts (``node_modules``); nothing else is read there."""
    cache: Path | None = None
    """A folder for what is costly to compute and can be computed again (transpiled sources); None: memory alone."""
    settings: Settings = field(default_factory=Settings)
    resources: Resources = field(default_factory=lambda: Resources({}, Path(), lambda: 0))
    confined: bool | None = None
    """Whether scripts reach only what the configuration declares; None: as the language has it."""
    state: StateStore = field(default_factory=StateStore)
    hand: Hand = field(default_factory=Hand)
    tasks: Tasks = field(default_factory=NoTasks)
    timer: Callable[[], int] | None = None
    """Nanoseconds, for what rules cost; None: it is not measured."""
    breakers: Breakers = field(default_factory=Breakers)
    """Of scripts, and of resources."""
