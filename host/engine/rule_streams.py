"""The streams that the rules of a lane look at: one for each source, key and kind of time that some rule wants."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from trimtab.cep.rule import Rule
from trimtab.cep.stream import Incoming, KeyedStream, Result
from trimtab.engine.batch import Events, SourceSpec
from trimtab.engine.matches import MatchEvents
from trimtab.values import read_path


class StreamId(NamedTuple):
    """Which events a stream has: of a source, by its key (None) or another one, in one kind of time."""

    source: str
    key: str | None
    event_time: bool


class Streams:
    """Streams by what they have. ``clocks``: how far event time has come, by source, in ms.

    ``timer``: nanoseconds, for samples of what events cost; None: none are taken.
    """

    def __init__(self, sources: Mapping[str, SourceSpec], timer: Callable[[], int] | None = None) -> None:
        self._timer = timer
        self.clocks: dict[str, int] = {}
        self._sources = sources
        self._streams: dict[StreamId, KeyedStream] = {}

    def ids(self, rule: Rule) -> list[StreamId]:
        """Return which streams a rule looks at. Without ``source`` it looks at every source, at each by itself."""
        sources = self._sources if rule.source is None else [rule.source]
        return [self._id(rule, source) for source in sources]

    def _id(self, rule: Rule, source: str) -> StreamId:
        spec = self._sources[source]
        event_time = spec.timestamp is not None if rule.time is None else rule.time == "event"
        return StreamId(source, None if rule.key == spec.key else rule.key, event_time)

    def get(self, sid: StreamId) -> KeyedStream:
        """Return a stream, a new one where nobody has looked at it before."""
        stream = self._streams.get(sid)
        if stream is None:
            stream = self._streams[sid] = KeyedStream(event_time=sid.event_time)
            stream.changed, stream.timer = {}, self._timer
            stream.clock = self.clocks.get(sid.source) if sid.event_time else None
        return stream

    def drop(self, sid: StreamId) -> None:
        """Let go of a stream, and of what waits in it."""
        del self._streams[sid]

    def of(self, source: str, key: str | None) -> Iterator[tuple[StreamId, KeyedStream]]:
        """Yield the streams of a source's events that have come by a key."""
        for event_time in (True, False):
            sid = StreamId(source, key, event_time)
            if sid in self._streams:
                yield sid, self._streams[sid]

    def all(self) -> list[tuple[StreamId, KeyedStream]]:
        """Return every stream."""
        return list(self._streams.items())

    def time_of(self, sid: StreamId) -> int | None:
        """Return how far the time of a stream has come, in ms."""
        return self.clocks.get(sid.source) if sid.event_time else self.get(sid).clock


def feed(stream: KeyedStream, events: Events, sid: StreamId, late: list[Incoming]) -> list[Result]:
    """Hand the events of a batch to a stream. Returns what is found at once; see :meth:`KeyedStream.feed_batch`."""
    values = events.values
    timed = sid.event_time or isinstance(events, MatchEvents)
    times = events.timestamps if timed else None
    keys = events.keys if sid.key is None else list(map(read_path(sid.key), values))
    return stream.feed_batch(
        [events.batch.arrival] * events.count if times is None else times,
        [None] * events.count if keys is None else keys,
        values,
        events.positions,
        late,
        plain_keys=events.plain and sid.key is None,
    )
