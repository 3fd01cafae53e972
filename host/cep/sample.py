"""One rule over recorded events, as ``trimtab match`` and ``trimtab explain`` run it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import msgspec

from trimtab.cep.bindings import as_key
from trimtab.cep.matcher import as_match
from trimtab.cep.placed import Placed
from trimtab.cep.stream import Incoming, KeyedStream, Result
from trimtab.values import INVALID, LATEST, Decoded, Lines, Values, are_times, fields_of, read_path

_decode = msgspec.json.Decoder().decode
_decode_lines = msgspec.json.Decoder().decode_lines


class BadLine(NamedTuple):
    """A line that is no event. ``number``: in the file, from 1."""

    number: int
    reason: str


class Readings(NamedTuple):
    """Events, as :meth:`KeyedStream.feed_batch` takes them."""

    times: list[int]
    keys: list[Any]
    values: Values
    positions: Sequence[int]

    def one_by_one(self) -> Iterator[Incoming]:
        """Yield each event."""
        for time, key, value, position in zip(*self, strict=True):
            yield Incoming(time, position, as_key(key), value)


class EventReader:
    """Reads events from lines of JSON. Blank lines are none; the others are counted from 0: an event's position.

    ``timestamp``, ``key``: dotted paths; without ``key`` all events have one key. ``event_time``: every event needs its
    time; else one without has that of the clock ``now``, ms. ``fields``: those that the rules look at first, if they do
    not look at whole events. ``bad``: lines that were left out.
    """

    def __init__(
        self,
        timestamp: str,
        key: str | None,
        *,
        event_time: bool,
        now: Callable[[], int],
        fields: frozenset[str] | None = None,
    ) -> None:
        self.bad: list[BadLine] = []
        self.count = 0
        self._timestamp = timestamp
        self._read_time, self._read_key = read_path(timestamp), None if key is None else read_path(key)
        self.keyed = key is not None
        self._event_time, self._now = event_time, now
        self._lines = 0
        is_nested = "." in timestamp + (key or "")
        self._fields = None if fields is None or is_nested else fields_of(key, timestamp, fields)

    def read(self, lines: Sequence[bytes]) -> Readings:
        """Return the events of the next lines."""
        return self._together(lines) or self._each_alone(lines)

    def _together(self, lines: Sequence[bytes]) -> Readings | None:
        """Read lines at once; None: something in them is unusual."""
        data = b"".join(lines)
        try:
            if not data.isascii():
                data.decode()
            values: Values
            plain = False
            if self._fields is None:
                values = Decoded(_decode_lines(data))
                times = list(map(self._read_time, values))
                keys = [None] * len(lines) if self._read_key is None else list(map(self._read_key, values))
            else:
                rows, plain = self._fields.read(data)
                values = Lines(lines, rows, self._fields)
                times = self._fields.times(rows) or []
                keys = self._fields.keys(rows) or [None] * len(lines)
        except INVALID:
            return None
        if len(times) != len(lines) or not all(map(bytes.strip, lines)):
            return None
        if not (plain or are_times(times)):
            return None
        first = self.count
        self._lines += len(lines)
        self.count += len(lines)
        return Readings(times, keys, values, range(first, self.count))

    def _each_alone(self, lines: Sequence[bytes]) -> Readings:
        found = [event for line in lines for event in self._alone(line)]
        times, keys, values, positions = (list(column) for column in zip(*found, strict=True)) if found else ([],) * 4
        return Readings(times, keys, Decoded(values), positions)

    def _alone(self, line: bytes) -> Iterator[tuple[int, Any, Any, int]]:
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
            yield time, None if self._read_key is None else self._read_key(value), value, position

    def _time(self, value: Any, line: int) -> int | None:
        time = self._read_time(value)
        if type(time) is int and -LATEST < time < LATEST:
            return time
        if type(time) is float and -LATEST < time < LATEST:
            return int(time)
        if not self._event_time:
            return self._now()
        got = msgspec.json.encode(time).decode()[:60] if time is not None else "none"
        self.bad.append(BadLine(line, f"expected a time in ms in the field {self._timestamp}, got {got}"))
        return None


def find(stream: KeyedStream, batches: Iterable[Readings]) -> Iterator[Result]:
    """Yield what the rules of a stream find in events; when these have ended, time goes to its end.

    In event time all events are taken in the order of their times, so nothing comes too late.
    """
    ends: set[int] = set()
    for batch in batches:
        yield from stream.feed_batch(*batch, [])
        ends.add(max(batch.times, default=-LATEST))
    # Step by step: then few events are of keys of which something has begun, and the others need no second look.
    for end in sorted(ends) if stream.event_time else ():
        yield from stream.advance(end)
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
