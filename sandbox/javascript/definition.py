"""What a script says of itself: its functions and options."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from trimtab.api import HandlerSpec, parse_duration
from trimtab.engine.script import DEFAULT_BACKOFF, DEFAULT_CONCURRENCY, DEFAULT_TIMEOUT
from trimtab.errors import Fault, ScriptError

HANDLE, ON_TIMER = "handle", "onTimer"
DISCARD = "discard"
_STATES = ("keep", DISCARD)


class _Names(msgspec.Struct):
    """As ``adopt`` in prelude.js tells it."""

    functions: dict[str, bool]
    """Those that there are, and whether they are asynchronous."""
    source: str | None = None
    where: str | None = None
    timeout: str | int | float | None = None
    attempts: int | float | None = None
    backoff: str | int | float | None = None
    concurrency: int | float | None = None
    state: str | None = None
    pattern: dict[str, Any] | None = None


class Definition:
    """The names of a script that concern the host. Raises :class:`ScriptError` for options that cannot be meant."""

    def __init__(self, script: str, value: Any) -> None:
        self._script = script
        self._names = names = msgspec.convert(value, _Names)
        self.discards_state = names.state == DISCARD
        self.migrates = "migrate" in names.functions
        if names.state not in (None, *_STATES):
            raise self._error(f'state: expected "keep" or "discard", got {names.state!r}')
        if self.is_async("migrate"):
            raise self._error("migrate: expected a function that is not async; it gets values and returns values")
        shared = self._shared()
        handlers = []
        if HANDLE in names.functions:
            handlers.append(
                HandlerSpec(
                    HANDLE,
                    names.source,
                    names.where,
                    asynchronous=self.is_async(HANDLE),
                    match=names.pattern is not None,
                    **shared,
                )
            )
        if ON_TIMER in names.functions:
            handlers.append(HandlerSpec(ON_TIMER, timer=True, asynchronous=self.is_async(ON_TIMER), **shared))
        self.handlers = tuple(handlers)
        self.pattern = names.pattern
        """The JSON of the pattern that the script looks for, where it has one."""
        if names.pattern is not None:
            self._check_pattern(names.pattern)
        self.timeout: float = shared["timeout"]
        """Seconds that one event may take."""

    def of_function(self, name: str, *, asynchronous: bool) -> HandlerSpec:
        """Return what a function asks for that gets what rules find."""
        return HandlerSpec(name, match=True, asynchronous=asynchronous, **self._shared())

    def is_async(self, function: str) -> bool:
        """Whether there is such a function, and it is asynchronous."""
        return self._names.functions.get(function, False)

    def _check_pattern(self, pattern: dict[str, Any]) -> None:
        from trimtab.cep import RuleError  # with what most scripts do not need
        from trimtab.cep.reading import read_pattern

        try:
            read_pattern(pattern, "pattern")
        except RuleError as error:
            raise ScriptError(Fault("RuleError", str(error), self._script)) from None

    def _shared(self) -> Mapping[str, Any]:
        """Return the options that all handlers have."""
        return {
            "timeout": self._seconds("timeout", DEFAULT_TIMEOUT),
            "attempts": self._count("attempts", 1),
            "backoff": self._seconds("backoff", DEFAULT_BACKOFF),
            "concurrency": self._count("concurrency", DEFAULT_CONCURRENCY),
        }

    def _seconds(self, name: str, default: float) -> float:
        value = getattr(self._names, name)
        if value is None:
            return default
        try:
            seconds = parse_duration(value)
            if seconds == 0:
                raise ValueError("expected more than 0, got 0")
        except ValueError as error:
            raise self._error(f"{name}: {error}") from None
        return seconds

    def _count(self, name: str, default: int) -> int:
        value = getattr(self._names, name)
        if value is None:
            return default
        if value < 1 or value != int(value):
            raise self._error(f"{name}: expected a whole number from 1, got {value:g}")
        return int(value)

    def _error(self, message: str) -> ScriptError:
        return ScriptError(Fault("ValueError", message, self._script))
