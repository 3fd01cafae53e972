"""The streams that the rules of a lane look at: one for each source, key and kind of time that some rule wants."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from trimtab.cep.bindings import as_key
from trimtab.cep.rule import Rule
from trimtab.cep.stream import Incoming, KeyedStream
from trimtab.engine.batch import Events, SourceSpec, read_path
from trimtab.engine.matches import MatchEvents


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


def incoming(events: Events, key: str | None, *, event_time: bool) -> Iterator[Incoming]:
    """Yield the events of a batch as streams take them. ``key``: the path of their key, None: that of their source."""
    timed = event_time or isinstance(events, MatchEvents)
    read = None if key is None else read_path(key)
    for index, value in enumerate(events.fresh(range(events.count))):
        time = events.timestamp(index) if timed else events.batch.arrival
        owner = events.key(index) if read is None else read(value)
        yield Incoming(time, events.position(index), as_key(owner), value)
