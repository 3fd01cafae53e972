"""The scripts that run, and the way of a batch through their handlers."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import msgspec

from trimtab.api import ScriptInstance
from trimtab.engine.batch import Batch, Events
from trimtab.engine.result import NO_KEY, FailedEvent
from trimtab.engine.script import HandlerSpec, Script
from trimtab.errors import Fault
from trimtab.values import INVALID

_NAMED = re.compile(rb"(?:(?<![\w.])|\btrimtab\.)(?:state|timer)\b")
"""Where a text mentions what it would import from ``trimtab`` to keep state."""
_WHOLE = re.compile(
    rb"""\bimport\s+trimtab\b|\*\s*as\s+\w+\s+from\s*["']trimtab["']|\brequire\(\s*["']trimtab["']\s*\)"""
)
_PART = re.compile(rb"[.\]]\s*(?:state|timer)\b")
"""Where it imports all of ``trimtab`` under some name, and then takes these of something."""


class Where(Protocol):
    """Chooses events: an expression, as a rule."""

    def test(self, event: Any, /) -> bool:
        """Tell of one event whether it is chosen."""


@dataclass(frozen=True, slots=True)
class Active:
    """A script that is loaded. ``stateful``: it may use ``state`` or ``timer``, as far as its text tells."""

    script: Script
    instance: ScriptInstance
    filters: tuple[Where | None, ...]
    stateful: bool = False

    @property
    def handles_timers(self) -> bool:
        """Whether some handler of its is for timers."""
        return any(spec.timer for spec in self.instance.handlers)

    @property
    def flies(self) -> bool:
        """Whether its events are handled one by one, because some handler waits or tries again."""
        return any(spec.asynchronous or spec.attempts > 1 for spec in self.instance.handlers)


@dataclass(frozen=True, slots=True)
class Step:
    """One handler on the way of a source's events."""

    active: Active
    handler: int
    where: Where | None

    @property
    def spec(self) -> HandlerSpec:
        """What the handler asks for."""
        return self.active.instance.handlers[self.handler]

    def concerns(self, source: str) -> bool:
        """Whether the handler gets the events of a source."""
        return not (self.spec.timer or self.spec.match) and self.spec.source in (None, source)

    def select(self, events: Events) -> Sequence[int]:
        """Return the indexes of the events that the handler gets."""
        if self.where is None:
            return range(events.count)
        test = self.where.test
        return [index for index, event in enumerate(events.objects) if test(event)]


def steps_of(active: Active) -> list[Step]:
    """Return every handler of a script."""
    return [Step(active, number, where) for number, where in enumerate(active.filters)]


def mentions_state(texts: Iterable[bytes]) -> bool:
    """Whether a script, or a library that it uses, may use ``state`` or ``timer``."""
    return any(_NAMED.search(text) or (_WHOLE.search(text) and _PART.search(text)) for text in texts)


def failed_event(events: Events, index: int, script: Script, fault: Fault, *, tries: int) -> FailedEvent:
    """Return what is kept of an event that a script failed on."""
    return FailedEvent(
        payload=events.payload(index),
        position=events.position(index),
        event_id=events.id(index),
        key=msgspec.json.encode(events.key(index)),
        script=script.name,
        version=script.version,
        fault=fault,
        kind=events.kind,
        tries=tries,
    )


def without_invalid(batch: Batch) -> tuple[Batch, list[FailedEvent]]:
    """Take the records that are not valid JSON out of a batch; blank lines are no records at all."""
    lines = batch.data.split(b"\n")
    positions = batch.positions_of(lines)
    valid: list[tuple[bytes, int]] = []
    failed: list[FailedEvent] = []
    for line, position in zip(lines, positions, strict=True):
        if not line.strip():
            continue
        try:
            msgspec.json.decode(line)
            valid.append((line, position))
        except INVALID as error:
            fault = Fault("CodecError", f"expected one JSON value a record: {error}")
            failed.append(FailedEvent(line, position, batch.event_id(position), NO_KEY, None, None, fault))
    data = b"\n".join(line for line, _position in valid)
    kept = [position for _line, position in valid]
    return msgspec.structs.replace(batch, data=data, count=len(valid), positions=kept), failed
