"""Batches of events: as they travel to a lane, and as handlers see them."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any, Literal, TypeAlias

import msgspec

from trimtab.engine.state import DueTimer
from trimtab.values import INVALID, LATEST, Decoded, Lines, Values, are_times, fields_of, has_blank, read_path


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


EventKind = Literal["event", "timer", "match"]
"""What a handler gets: an event of a source, a timer of its own, or what a rule has found."""


class InvalidRecordsError(ValueError):
    """Some record of a batch is not valid JSON."""


_Routing: TypeAlias = tuple[list[Any] | None, list[Any] | None, int, bool]
"""The keys and the event times of events, where their source has such, how many these are, and if they are plain."""

_DECODE_ANY = msgspec.json.Decoder()
_DECODE_RAW = msgspec.json.Decoder(msgspec.Raw)


class Events:
    """One batch as the handlers of one lane see it. Indexes count from 0 within the batch.

    ``decoded``: some handler or filter wants the events as Python values; else they are only checked.
    ``fields``: what rules look at, and :attr:`values` have columns of; None: whole events, which are decoded then.
    Raises :class:`InvalidRecordsError` when a record is not valid JSON.
    """

    kind: EventKind = "event"

    def __init__(
        self, batch: Batch, spec: SourceSpec, *, decoded: bool, fields: frozenset[str] | None = frozenset()
    ) -> None:
        self.batch = batch
        self.source = batch.source
        self.generation = batch.generation
        self.count = batch.count
        self._lines: list[bytes] | None = None
        self._positions: Sequence[int] | None = batch.positions
        self._objects: list[Any] | None = None
        self._handed_out = False
        self._values: Lines | None = None
        self._parameters: Mapping[str, Any] = {}
        self.has_event_time = spec.timestamp is not None
        self.keys: list[Any] | None = None
        """The key of each event (None where it lacks one), or None for an unkeyed source."""
        self.timestamps: list[int] | None = None
        """Event time of each event in ms, or None where the source has no event time: :meth:`timestamp` tells."""
        self.max_timestamp: int | None = None
        """The highest event time of the batch; None without one."""
        self.plain = False
        """Whether keys are known to be strings, integers or None, and times integers: see :meth:`Fields.read`."""
        self._load(spec, None if decoded else fields)

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

    @property
    def values(self) -> Values:
        """The events for rules, which keep some of them and change none."""
        return Decoded(self.fresh(range(self.count))) if self._values is None else self._values

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
        return self.positions[index]

    @property
    def positions(self) -> Sequence[int]:
        """Where the events stood in their partition."""
        if self._positions is None:
            self._positions = self.batch.positions_of(self.lines)
        return self._positions

    # --- loading ---

    def _load(self, spec: SourceSpec, wanted: frozenset[str] | None) -> None:
        try:
            in_whole = wanted is None or not _flat(spec)
            routing = self._decode(spec) if in_whole else self._routing(spec, wanted or frozenset())
        except INVALID as error:
            raise InvalidRecordsError(str(error)) from None
        keys, times, count, self.plain = routing
        # A line with two values and a blank one must not shift the others: each line is exactly one event.
        if count != self.count or (has_blank(self.batch.data) if self._values is None else self._values.has_blank):
            raise InvalidRecordsError("a line does not hold exactly one JSON value")
        self.keys = keys
        if times is not None:
            self._take_timestamps(times)

    def _decode(self, spec: SourceSpec) -> _Routing:
        """Decode the events."""
        rows = self._objects = _DECODE_ANY.decode_lines(self.batch.data)
        paths = (spec.key, spec.timestamp)
        keys, times = (None if path is None else list(map(read_path(path), rows)) for path in paths)
        return keys, times, len(rows), False

    def _routing(self, spec: SourceSpec, wanted: frozenset[str]) -> _Routing:
        """Read a few fields of the events."""
        data = self.batch.data
        if not data.isascii():
            data.decode()  # the decoders below skip most of the text without looking at its encoding
        if spec.key is None and spec.timestamp is None and not wanted:
            return None, None, len(_DECODE_RAW.decode_lines(data)), True
        fields = fields_of(spec.key, spec.timestamp, wanted)
        try:
            rows, plain = fields.read(data)
        except msgspec.ValidationError:  # some event is not an object
            return self._decode(spec)
        if wanted and len(rows) == self.count:
            self._values = Lines.of(data, rows, fields)
            self._positions = self._positions or self._values.offsets(self.batch.start)
        return fields.keys(rows), fields.times(rows), len(rows), plain

    def _take_timestamps(self, values: list[Any]) -> None:
        if self.plain or are_times(values):
            self.timestamps, self.max_timestamp = values, max(values)
        else:
            arrival = self.batch.arrival
            self.timestamps = [int(v) if _is_time(v) else arrival for v in values]
            self.max_timestamp = max((int(v) for v in values if _is_time(v)), default=None)


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
        rows = [] if "." in path else fields_of(path).read(data)[0]
        if len(rows) == count:
            return fields_of(path).column(rows, path)
    except INVALID:
        pass  # some record is not an object: look at each by itself
    read = read_path(path)
    return [read(_decoded(line)) for line in data.split(b"\n")]


def _decoded(line: bytes) -> Any:
    try:
        return _DECODE_ANY.decode(line)
    except INVALID:
        return None


def _flat(spec: SourceSpec) -> bool:
    return "." not in (spec.key or "") + (spec.timestamp or "")
