"""What became of a batch."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain
from operator import itemgetter

import msgspec

from trimtab.engine.batch import EventKind
from trimtab.engine.calls import CallCount
from trimtab.engine.rules import RuleCount
from trimtab.engine.run import Emitted, HandlerRun
from trimtab.engine.state import StateRow
from trimtab.errors import Fault


class Lines(msgspec.Struct, frozen=True):
    """Values for one sink: JSON texts, each ended by a newline."""

    data: bytes
    count: int


NO_KEY = b"null"


class FailedEvent(msgspec.Struct, frozen=True):
    """An event that one script could not handle, or (``script`` None) that is not valid in its codec."""

    payload: bytes
    position: int
    event_id: str
    key: bytes
    """As JSON text, which holds any number."""
    script: str | None
    version: str | None
    fault: Fault
    kind: EventKind = "event"
    """A timer is a :class:`DueTimer`, a match a :class:`CalledMatch`."""
    tries: int = 1


class ScriptCount(msgspec.Struct):
    """What one script did with a batch."""

    handled: int
    failed: int
    samples: list[int]
    """Nanoseconds that some of the events took."""
    retried: int = 0
    """How often an event was tried again."""


class BatchResult(msgspec.Struct):
    """Everything that came out of one batch."""

    emitted: dict[str, Lines]
    failed: list[FailedEvent]
    scripts: dict[str, ScriptCount]
    max_timestamp: int | None
    calls: list[CallCount] = []
    changes: list[StateRow] = []
    """What is different in the state, in the order in which it changed."""
    next_due: int | None = None
    """When a timer of processing time, or an expiry, is due next, in ms; 0: at once."""
    awaits_watermark: bool = False
    """Whether timers wait for event time."""
    holds: bool = False
    """Whether rules hold events until their event time has come."""
    latest: int | None = None
    """The highest time of an event of the batch, ms: also where that is when it came."""
    rules: dict[str, RuleCount] = {}
    """What rules have done, by name."""
    late: dict[str, int] = {}
    """Events that came too late for rules, by source."""
    breakers: dict[str, str] = {}
    """The circuit breakers that are not closed, by script or resource, with their state."""


def merge(*groups: Iterable[HandlerRun]) -> dict[str, Lines]:
    """Bring what several handlers emitted into the order of the events, handlers in their order for each.

    Each group has events of its own; what they emitted follows what those of the group before did.
    """
    by_sink: dict[str, list[bytes]] = {}
    for runs in groups:
        parts: dict[str, list[Emitted]] = {}
        for run in runs:
            for sink, emitted in run.emitted.items():
                if emitted.lines:
                    parts.setdefault(sink, []).append(emitted)
        for sink, several in parts.items():
            lines = _lines(several)
            by_sink[sink] = by_sink[sink] + lines if sink in by_sink else lines
    return {sink: Lines(b"\n".join(lines) + b"\n", len(lines)) for sink, lines in by_sink.items()}


def _lines(parts: Sequence[Emitted]) -> list[bytes]:
    if len(parts) == 1:
        return parts[0].lines
    pairs = chain.from_iterable(zip(part.indexes, part.lines, strict=True) for part in parts)
    return [line for _index, line in sorted(pairs, key=itemgetter(0))]
