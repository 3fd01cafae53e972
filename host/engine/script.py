"""What a script is to the engine, and what the engine's runner gives to scripts."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from trimtab.engine.resources import Resources

if TYPE_CHECKING:
    from trimtab.api import Binding

DEFAULT_TIMEOUT = 1.0
"""Seconds that one event may take in a handler, and ``open``, ``close`` and a top level as a whole."""


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


@dataclass(slots=True)
class Settings:
    """The ``[settings]`` of the running generation."""

    tree: Mapping[str, Any] = field(default_factory=dict)

    def get(self, path: str, default: Any = None) -> Any:
        """Return the value at a dotted path, or ``default`` where there is none."""
        value: Any = self.tree
        for part in path.split("."):
            if not isinstance(value, Mapping) or part not in value:
                return default
            value = value[part]
        return value


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
