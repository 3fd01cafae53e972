"""Batches of events: as they travel to a lane, and as handlers see them."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from itertools import accumulate
from typing import Any, Literal

import msgspec

from trimtab.engine.state import DueTimer


class SourceSpec(msgspec.Struct, frozen=True):
    """What a lane must know of a source: dotted paths of the key and of the event time (ms) in its events."""

    key: str | None = None
    timestamp: str | None = None
    internal: bool = False
    """Its events are matches of rules. They have the keys and times of these."""


class Batch(msgspec.Struct, tag=True):
    """Consecutive events of one source for one lane, all handled by one generation."""

    id: int
    generation: int
    source: str
    data: bytes
    """JSON texts, separated by newlines."""
    count: int
    arrival: int
    """When the host took them, ms since the epoch."""
    partition: str = ""
    start: int = 0
    positions: list[int] | None = None
    """One a record; None: byte offsets from ``start``."""
    only: str | None = None
    """Only this script handles them (replay of dead letters)."""
    skip: tuple[str, ...] = ()
    """These scripts do not (they took a lane down with these events before)."""
    isolated: bool = False
    """The lane says which script it is about to enter: something in this batch took a lane down before."""
    watermarks: dict[str, int] = {}
    """How far event time has come since the last batch, by source, in ms: timers up to there are due."""
    timers: bool = False
    """The records are :class:`DueTimer` of dead letters: ``only`` handles them again."""
    matches: bool = False
    """The records are :class:`CalledMatch` of dead letters: ``only`` handles them again."""
    rekeyed: str | None = None
    """For rules with this key of their own alone: their events have come here by it."""

    def positions_of(self, lines: Sequence[bytes]) -> list[int]:
        """Return the position of each record. ``lines``: the records."""
        if self.positions is not None:
            return self.positions
        return list(accumulate((len(line) + 1 for line in lines[:-1]), initial=self.start))

    def event_id(self, position: int) -> str:
        """Return the identity of the event at a position: the same when the same record is read again."""
        return event_id(self.source, self.partition, position)


LATEST = 1 << 53
"""What lies beyond is no time, in ms: the integers that JavaScript can hold end there."""


EventKind = Literal["event", "timer", "match"]
"""What a handler gets: an event of a source, a timer of its own, or what a rule has found."""


class InvalidRecordsError(ValueError):
    """Some record of a batch is not valid JSON."""


INVALID = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What decoding raises for bytes that are not JSON, or that nest deeper than Python goes."""

_DECODE_ANY = msgspec.json.Decoder()
_DECODE_RAW = msgspec.json.Decoder(msgspec.Raw)


class Events:
    """One batch as the handlers of one lane see it. Indexes count from 0 within the batch.

    ``decoded``: some handler or filter wants the events as Python values; else they are only checked.
    Raises :class:`InvalidRecordsError` when a record is not valid JSON.
    """

    kind: EventKind = "event"

    def __init__(self, batch: Batch, spec: SourceSpec, *, decoded: bool) -> None:
        self.batch = batch
        self.source = batch.source
        self.generation = batch.generation
        self.count = batch.count
        self._lines: list[bytes] | None = None
        self._positions: Sequence[int] | None = batch.positions
        self._objects: list[Any] | None = None
        self._handed_out = False
        self._parameters: Mapping[str, Any] = {}
        self.has_event_time = spec.timestamp is not None
        self.keys: list[Any] | None = None
        """The key of each event (None where it lacks one), or None for an unkeyed source."""
        self.timestamps: list[int] | None = None
        """Event time of each event in ms, or None where the source has no event time: :meth:`timestamp` tells."""
        self.max_timestamp: int | None = None
        """The highest event time of the batch; None without one."""
        self._load(spec, decoded=decoded)

    # --- what engines use ---

    @property
    def lines(self) -> list[bytes]:
        """The JSON text of each event."""
        if self._lines is None:
            self._lines = self.batch.data.split(b"\n")
        return self._lines

    @property
    def objects(self) -> list[Any]:
        """The events decoded. Only to look at: handlers get :meth:`fresh` ones, which they may change."""
        if self._objects is None or self._handed_out:
            self._objects, self._handed_out = _DECODE_ANY.decode_lines(self.batch.data), False
        return self._objects

    def fresh(self, selection: Sequence[int]) -> list[Any]:
        """The selected events decoded, for the caller to keep and change."""
        if self._handed_out and len(selection) < self.count:  # for events that are handled one by one
            return [_DECODE_ANY.decode(self.lines[i]) for i in selection]
        objects, self._handed_out = self.objects, True
        return objects if len(selection) == self.count else [objects[i] for i in selection]

    def joined(self, selection: Sequence[int], separator: bytes) -> bytes:
        """The JSON texts of the selected events with a separator between: ``b","`` makes the inside of an array."""
        if len(selection) == self.count:
            return self.batch.data.replace(b"\n", separator) if separator != b"\n" else self.batch.data
        lines = self.lines
        return separator.join([lines[i] for i in selection])

    def id(self, index: int) -> str:
        """The stable identity of an event: the same when the same record is read again."""
        return self.batch.event_id(self.position(index))

    def key(self, index: int) -> Any:
        """The key of an event, or None."""
        return None if self.keys is None else self.keys[index]

    def key_text(self, index: int) -> str:
        """The key of an event as JSON text: what its state belongs to."""
        return msgspec.json.encode(self.key(index)).decode()

    def payload(self, index: int) -> bytes:
        """What is kept of an event that failed, to be handled again."""
        return self.lines[index]

    def timestamp(self, index: int) -> int:
        """Event time in ms, where the source has one and the event carries it; else when the event arrived."""
        return self.batch.arrival if self.timestamps is None else self.timestamps[index]

    def parameters(self, index: int) -> Mapping[str, Any]:  # noqa: ARG002 - matches have those of their rules
        """The parameters of the rule that an event is handled for; none where it is handled for no rule."""
        return self._parameters

    def with_parameters(self, parameters: Mapping[str, Any]) -> Events:
        """Return the same events as they are handled for a rule."""
        same = copy.copy(self)
        same._parameters = parameters  # noqa: SLF001 - it is one of these
        return same

    def position(self, index: int) -> int:
        """Where the event stood in its partition."""
        if self._positions is None:
            self._positions = self.batch.positions_of(self.lines)
        return self._positions[index]

    # --- loading ---

    def _load(self, spec: SourceSpec, *, decoded: bool) -> None:
        data = self.batch.data
        try:
            if decoded:
                rows = self._objects = _DECODE_ANY.decode_lines(data)
                read_key, read_time = _reader(spec.key), _reader(spec.timestamp)
            elif _flat(spec.key) and _flat(spec.timestamp):
                rows, read_key, read_time = self._routing(spec)
            else:
                rows, read_key, read_time = (
                    _DECODE_ANY.decode_lines(data),
                    _reader(spec.key),
                    _reader(spec.timestamp),
                )
        except INVALID as error:
            raise InvalidRecordsError(str(error)) from None
        # A line with two values and a blank one must not shift the others: each line is exactly one event.
        # (rfind takes a third of the time that ``in`` takes here.)
        if len(rows) != self.count or data.rfind(b"\n\n") >= 0 or data[:1] == b"\n" or data[-1:] == b"\n":
            raise InvalidRecordsError("a line does not hold exactly one JSON value")
        if spec.key is not None:
            self.keys = [read_key(row) for row in rows]
        if spec.timestamp is not None:
            self._take_timestamps([read_time(row) for row in rows])

    def _routing(self, spec: SourceSpec) -> tuple[list[Any], Callable[[Any], Any], Callable[[Any], Any]]:
        data = self.batch.data
        if not data.isascii():
            data.decode()  # the decoders below skip most of the text without looking at its encoding
        if spec.key is None and spec.timestamp is None:
            return _DECODE_RAW.decode_lines(data), _nothing, _nothing
        decoder = _routing_decoder(spec.key or "", spec.timestamp or "")
        try:
            return decoder.decode_lines(data), _routing_key, _routing_time
        except msgspec.ValidationError:  # some event is not an object
            return _DECODE_ANY.decode_lines(data), _reader(spec.key), _reader(spec.timestamp)

    def _take_timestamps(self, values: list[Any]) -> None:
        arrival = self.batch.arrival
        present = [v for v in values if type(v) is int]
        if len(present) == len(values) and max(present) < LATEST and min(present) > -LATEST:
            self.timestamps = values
        else:
            present = [int(v) for v in values if _is_time(v)]
            self.timestamps = [int(v) if _is_time(v) else arrival for v in values]
        self.max_timestamp = max(present, default=None)


def _is_time(value: Any) -> bool:
    return (type(value) is int or type(value) is float) and -LATEST < value < LATEST


class TimerEvents(Events):
    """Timers of one script, source and kind of time that are due, as its ``on_timer`` handles them: like events."""

    kind: EventKind = "timer"

    def __init__(self, batch: Batch, due: Sequence[DueTimer]) -> None:
        self._due = due
        texts = [{"name": each.name, "at": each.timer.at, "data": each.timer.data} for each in due]
        data = b"\n".join(msgspec.json.encode(text) for text in texts)
        source = due[0].timer.source
        batch = msgspec.structs.replace(batch, source=source, data=data, count=len(due), positions=[0] * len(due))
        super().__init__(batch, SourceSpec(), decoded=True)
        self.has_event_time = due[0].timer.time == "event"
        self.keys = [msgspec.json.decode(each.key) for each in due]
        self.timestamps = [each.timer.at for each in due]

    def id(self, index: int) -> str:
        """See :class:`Events`."""
        return self._due[index].id

    def payload(self, index: int) -> bytes:
        """See :class:`Events`."""
        return msgspec.json.encode(self._due[index])

    def due(self, index: int) -> DueTimer:
        """The timer itself."""
        return self._due[index]


def event_id(source: str, partition: str, position: int) -> str:
    """Return the identity of the event that stands at a position of a partition of a source."""
    return f"{source}:{partition}:{position}"


def read_keys(data: bytes, count: int, path: str) -> list[Any]:
    """Return the key of each record (one a line); None where there is none, or the record is not valid JSON."""
    try:
        rows = _routing_decoder(path, "").decode_lines(data) if _flat(path) else []
        if len(rows) == count:
            return [row.key for row in rows]
    except INVALID:
        pass  # some record is not an object: look at each by itself
    read = read_path(path)
    return [read(_decoded(line)) for line in data.split(b"\n")]


def _decoded(line: bytes) -> Any:
    try:
        return _DECODE_ANY.decode(line)
    except INVALID:
        return None


def read_path(path: str) -> Callable[[Any], Any]:
    """Return a function that reads a dotted path in an event, and None where it is not there."""
    parts = path.split(".")

    def read(event: Any) -> Any:
        for part in parts:
            if type(event) is not dict:
                return None
            event = event.get(part)
        return event

    return read


def _reader(path: str | None) -> Callable[[Any], Any]:
    return _nothing if path is None else read_path(path)


def _nothing(_row: Any) -> Any:
    return None


def _flat(path: str | None) -> bool:
    return path is None or "." not in path


def _routing_key(row: Any) -> Any:
    return row.key


def _routing_time(row: Any) -> Any:
    return row.timestamp


@cache
def _routing_decoder(key: str, timestamp: str) -> msgspec.json.Decoder[Any]:
    """A decoder that reads only two fields and skips the rest, which takes half the time of decoding all."""
    names = {name: field for name, field in (("key", key), ("timestamp", timestamp)) if field}
    struct = msgspec.defstruct("Routing", [(name, Any, None) for name in ("key", "timestamp")], rename=names, gc=False)
    return msgspec.json.Decoder(struct)
