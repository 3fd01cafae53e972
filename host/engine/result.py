"""What became of a batch."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain
from operator import itemgetter

import msgspec

from trimtab.engine.calls import CallCount
from trimtab.engine.run import Emitted, HandlerRun
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


class ScriptCount(msgspec.Struct):
    """What one script did with a batch."""

    handled: int
    failed: int
    samples: list[int]
    """Nanoseconds that some of the events took."""


class BatchResult(msgspec.Struct):
    """Everything that came out of one batch."""

    emitted: dict[str, Lines]
    failed: list[FailedEvent]
    scripts: dict[str, ScriptCount]
    max_timestamp: int | None
    calls: list[CallCount] = []


def merge(runs: Iterable[HandlerRun]) -> dict[str, Lines]:
    """Bring what several handlers emitted into the order of the events, handlers in their order for each."""
    by_sink: dict[str, list[Emitted]] = {}
    for run in runs:
        for sink, emitted in run.emitted.items():
            if emitted.lines:
                by_sink.setdefault(sink, []).append(emitted)
    return {sink: _lines(parts) for sink, parts in by_sink.items()}


def _lines(parts: Sequence[Emitted]) -> Lines:
    if len(parts) == 1:
        lines = parts[0].lines
    else:
        pairs = chain.from_iterable(zip(part.indexes, part.lines, strict=True) for part in parts)
        lines = [line for _index, line in sorted(pairs, key=itemgetter(0))]
    return Lines(b"\n".join(lines) + b"\n", len(lines))
