"""One rule over recorded events, as ``trimtab match`` and ``trimtab explain`` run it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import msgspec

from trimtab.cep.bindings import as_key
from trimtab.cep.matcher import as_match
from trimtab.cep.placed import Placed
from trimtab.cep.stream import Incoming, KeyedStream, Result
from trimtab.values import INVALID, LATEST, read_path

_decode = msgspec.json.Decoder().decode
_decode_lines = msgspec.json.Decoder().decode_lines


class BadLine(NamedTuple):
    """A line that is no event. ``number``: in the file, from 1."""

    number: int
    reason: str


class EventReader:
    """Reads events from lines of JSON. Blank lines are none; the others are counted from 0: an event's position.

    ``timestamp``, ``key``: dotted paths; without ``key`` all events have one key. ``event_time``: every event needs its
    time; else one without has that of the clock ``now``, ms. ``bad``: lines that were left out.
    """

    def __init__(self, timestamp: str, key: str | None, *, event_time: bool, now: Callable[[], int]) -> None:
        self.bad: list[BadLine] = []
        self.count = 0
        self._read_time, self._path = read_path(timestamp), timestamp
        self.keyed = key is not None
        self._read_key = None if key is None else read_path(key)
        self._event_time, self._now = event_time, now
        self._lines = 0

    def read(self, lines: Sequence[bytes]) -> list[Incoming]:
        """Return the events of the next lines."""
        try:
            data = b"".join(lines)
            values = _decode_lines(data)
        except INVALID:
            values = []
        # A line with two values and a blank one must not shift the others.
        if len(values) != len(lines) or data.rfind(b"\n\n") >= 0 or data[:1] == b"\n":
            return [event for line in lines for event in self._alone(line)]
        first, position = self._lines, self.count
        self._lines += len(lines)
        self.count += len(lines)
        return [
            Incoming(time, position + number, None if self._read_key is None else as_key(self._read_key(value)), value)
            for number, value in enumerate(values)
            if (time := self._time(value, first + number + 1)) is not None
        ]

    def _alone(self, line: bytes) -> Iterator[Incoming]:
        self._lines += 1
        if not line.strip():
            return
        position = self.count
        self.count += 1
        try:
            value = _decode(line)
        except INVALID as error:
            self.bad.append(BadLine(self._lines, f"expected JSON, got {error}"))
            return
        time = self._time(value, self._lines)
        if time is not None:
            yield Incoming(time, position, None if self._read_key is None else as_key(self._read_key(value)), value)

    def _time(self, value: Any, line: int) -> int | None:
        time = self._read_time(value)
        if type(time) is int and -LATEST < time < LATEST:
            return time
        if type(time) is float and -LATEST < time < LATEST:
            return int(time)
        if not self._event_time:
            return self._now()
        got = msgspec.json.encode(time).decode()[:60] if time is not None else "none"
        self.bad.append(BadLine(line, f"expected a time in ms in the field {self._path}, got {got}"))
        return None


def find(stream: KeyedStream, batches: Iterable[Sequence[Incoming]]) -> Iterator[Result]:
    """Yield what the rules of a stream find in events; when these have ended, time goes to its end.

    In event time all events are taken in the order of their times, so nothing comes too late.
    """
    for batch in batches:
        yield from stream.feed(batch, [])
    yield from stream.advance(LATEST)


def stream_of(placed: Placed, *, event_time: bool) -> KeyedStream:
    """Return a stream with one rule."""
    stream = KeyedStream(event_time=event_time)
    stream.add(placed)
    return stream


def as_line(result: Result, *, indexes: bool) -> dict[str, Any]:
    """Return what was found as one line of JSON. ``indexes``: the positions of its events in their place."""
    match = as_match(result)
    what: dict[str, Any] = {"positions": match.positions} if indexes else {"events": match.events}
    return {"kind": match.kind, "rule": match.rule, "key": match.key, "timestamp": match.timestamp, **what}
