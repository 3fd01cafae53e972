"""``trimtab match``: a rule on sample events, one line of JSON for each match."""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from trimtab.cep.conditions import Conditions
from trimtab.cep.placed import place
from trimtab.cep.sample import EventReader, Readings, as_line, find, stream_of
from trimtab.cli.rule_files import STDIN, RuleFiles
from trimtab.errors import UsageError

_CHUNK = 1 << 16
"""Bytes of lines that are read at once."""
_SHOWN = 20
"""Lines that are no events, of which each is told."""


@dataclass(frozen=True, slots=True)
class Events:
    """The file of events (``-``: stdin), and where they carry their time and key; None: as the rule says."""

    path: Path
    timestamp: str
    key: str | None
    time: str | None

    def __iter__(self) -> Iterator[list[bytes]]:
        """Read the lines, some at once."""
        try:
            with closing(sys.stdin.buffer if self.path == STDIN else self.path.open("rb")) as file:
                while lines := file.readlines(_CHUNK):
                    yield lines
        except OSError as error:
            expected = "expected a file of events, one JSON value a line"
            raise UsageError(f"{expected}, got {self.path}: {error.strerror}") from None


def match(config: Path, rule: Path, events: Events, *, indexes: bool, timeouts: bool) -> int:
    """Print what the rule finds. 1 if some line is no event, or there were too many partial matches."""
    gc.disable()  # a million events take as long to be looked through again and again as to be matched
    if rule == events.path == STDIN:
        raise UsageError("expected one of RULE and --events from stdin, got both")
    files = RuleFiles(config, rule)
    document = files.read().rule
    placed = place(document, Conditions(now), files.function)
    event_time = (events.time or document.time or "event") == "event"
    stream = stream_of(placed, event_time=event_time)
    key = events.key or document.key
    reader = EventReader(events.timestamp, key, event_time=event_time, now=now, fields=stream.fields)
    output = _Output()
    for result in find(stream, read_all(reader, events)):
        if timeouts or result.found.kind == "match":
            output.write(as_line(result, indexes=indexes))
    output.flush()
    for _placed, key in stream.stopped:
        most = document.partial_matches
        text = f"expected at most {most} partial matches, got more; the rule is stopped for the key {key!r}"
        print(f"error: {text}", file=sys.stderr)
    if placed.condition_errors:
        print(
            f"warning: {placed.condition_errors} times a condition was false because it could not work with an event; "
            f"one of the last: {placed.last_condition_error}",
            file=sys.stderr,
        )
    counts = f"{placed.matches} matches, {placed.timeouts} time-outs in {reader.count} events"
    print(counts, file=sys.stderr)
    return 1 if reader.bad or stream.stopped else 0


def read_all(reader: EventReader, events: Events) -> Iterator[Readings]:
    """Read the events, and tell of lines that are none."""
    told = 0
    name = "stdin" if events.path == STDIN else str(events.path)
    for lines in events:
        yield reader.read(lines)
        for bad in reader.bad[told:_SHOWN]:
            print(f"error: {name}:{bad.number}: {bad.reason}", file=sys.stderr)
        told = len(reader.bad)
    if told > _SHOWN:
        print(f"error: {name}: {told - _SHOWN} more lines that are no events", file=sys.stderr)


def now() -> int:
    return time.time_ns() // 1_000_000


class _Output:
    """Lines for stdout, many at once."""

    def __init__(self) -> None:
        self._lines: list[bytes] = []
        self._encode = msgspec.json.Encoder().encode

    def write(self, value: Any) -> None:
        self._lines.append(self._encode(value))
        if len(self._lines) >= 1000:
            self.flush()

    def flush(self) -> None:
        if self._lines:
            sys.stdout.buffer.write(b"\n".join(self._lines) + b"\n")
            sys.stdout.buffer.flush()
            self._lines.clear()
