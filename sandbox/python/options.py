"""What handlers ask for: the keywords of ``@handler``, or variables of a plain script."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from trimtab.durations import parse_duration
from trimtab.engine.script import DEFAULT_BACKOFF, DEFAULT_CONCURRENCY, DEFAULT_TIMEOUT, HandlerSpec
from trimtab.errors import Fault, ScriptError
from trimtab.sandbox.python.functions import ScriptFunction

ROUTING = ("source", "where")
RUNNING = ("timeout", "attempts", "backoff", "concurrency")
KEEP, DISCARD = "keep", "discard"


@dataclass(frozen=True, slots=True)
class Options:
    """The options of one handler, as the script gives them; None: it does not."""

    function: ScriptFunction
    given: Mapping[str, Any]

    def spec(self, name: str, *, timer: bool) -> HandlerSpec:
        """Return what the handler asks for. Raises :class:`ScriptError` for what cannot be meant."""
        return HandlerSpec(
            name,
            source=self._text("source"),
            where=self._text("where"),
            timeout=self._duration("timeout", DEFAULT_TIMEOUT),
            attempts=self._number("attempts", 1),
            backoff=self._duration("backoff", DEFAULT_BACKOFF),
            concurrency=self._number("concurrency", DEFAULT_CONCURRENCY),
            asynchronous=self.function.is_async,
            timer=timer,
        )

    def _text(self, option: str) -> str | None:
        value = self.given.get(option)
        if value is None or isinstance(value, str):
            return value
        return self.function.refuse(f"{option} to be text", repr(value), f"write {option} as a string or leave it out")

    def _duration(self, option: str, default: float) -> float:
        value = self.given.get(option)
        if value is None:
            return default
        try:
            seconds = parse_duration(value)
        except ValueError as error:
            raise self.function.error(f"{option}: {error}") from None
        return seconds or self.function.refuse(
            f"{option} to be longer than zero", repr(value), f"leave it out for {default:g} s"
        )

    def _number(self, option: str, default: int) -> int:
        value = self.given.get(option)
        if value is None:
            return default
        if isinstance(value, int) and not isinstance(value, bool) and value >= 1:
            return value
        return self.function.refuse(
            f"{option} to be a whole number from 1 on", repr(value), f"leave it out for {default}"
        )


def discards_state(script: str, given: object) -> bool:
    """Whether a script starts with empty state in the place of another version. ``given``: its option ``state``.

    Anything but text is something else of that name: the object that scripts import from ``trimtab``, say.
    """
    if not isinstance(given, str) or given == KEEP:
        return False
    if given != DISCARD:
        message = f'expected state to be "{KEEP}" or "{DISCARD}", got {given!r}; leave it out to keep what is stored'
        raise ScriptError(Fault("ScriptError", message, script))
    return True
