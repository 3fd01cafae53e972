"""The rules of one lane: what they find in the events of batches, and what of them outlives the lane."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from itertools import islice

import msgspec

from trimtab.cep.bindings import Key
from trimtab.cep.placed import Placed
from trimtab.cep.stream import Incoming, KeyedStream, Result
from trimtab.engine.batch import Events, SourceSpec
from trimtab.engine.rule_streams import StreamId, Streams, feed
from trimtab.engine.rule_versions import Compiled, RuleVersions, Running
from trimtab.engine.state import StateRow

_LOOKED_AT = 50
"""Rules of which it is looked with each batch whether their conditions have failed."""

Found = Iterator[tuple[StreamId, Result]]


class RuleCount(msgspec.Struct):
    """What a rule has done since it was counted last, and what it holds."""

    matches: int = 0
    timeouts: int = 0
    condition_errors: int = 0
    open: int = 0
    """Partial matches that it holds now."""
    stopped: int = 0
    """Keys at which it had too many of them."""
    samples: list[int] = []
    """Nanoseconds that some events took."""
    last_error: str | None = None


class Rules:
    """All rules of a lane, by the names of their artifacts. See :class:`RuleVersions` for ``compile_rule``."""

    def __init__(
        self,
        sources: Mapping[str, SourceSpec],
        compile_rule: Callable[[str, bytes], Compiled],
        timer: Callable[[], int] | None = None,
    ) -> None:
        self.streams = Streams(sources, timer)
        self.versions = RuleVersions(self.streams, compile_rule)
        self.late: list[tuple[Placed, str, Incoming]] = []
        """Events that came too late for rules that want to know; for the caller to take."""
        self._origins: dict[str, set[str]] = {}
        """Of internal sources: of which sources' events their matches are made."""
        self._rows: list[StateRow] = []
        self._late: Counter[str] = Counter()
        self._touched: set[str] = set()
        self._looking: Iterator[str] = iter(())

    @property
    def empty(self) -> bool:
        """Whether there is no rule."""
        return self.versions.empty

    # --- changes ---

    def commit(self, compiled: Mapping[str, Compiled], deletes: Iterable[str]) -> list[StateRow]:
        """Have other versions run. Returns what is different in what is stored."""
        rows: list[StateRow] = []
        for name in deletes:
            rows += self.versions.drop(name)
        for name, one in compiled.items():
            rows += self.versions.put(name, one)
            self._touched.add(name)
        # What waits where no rule looks any more is for no rule that comes later.
        for sid, _stream in self.streams.all():
            if not self.versions.looks_at(sid):
                self.streams.drop(sid)
        return rows

    def catch_up(
        self, earlier: Mapping[str, Sequence[bytes | None]], compiled: Mapping[str, Compiled]
    ) -> list[StateRow]:
        """Before the first commit of a lane: make the changes that came after what is stored.

        ``earlier``: the documents of rules that ran when that was stored and since, oldest first, but for what runs
        now; None: no rule ran. ``compiled``: what runs now. Returns what is different in what is stored.
        """
        rows: list[StateRow] = []
        for name, documents in earlier.items():
            rule = None if name not in compiled else compiled[name].rule
            if rule is not None and (rule.effective_at is not None or self.versions.has_stored(name)):
                rows += self.versions.catch_up(name, documents)
        return rows

    def forget_all_but(self, names: Container[str]) -> list[StateRow]:
        """After a start: forget what is stored of rules that neither run nor have one of these names.

        Returns what is different in what is stored.
        """
        gone = [name for name in self.versions.stored_names() if name not in names]
        return [row for name in gone for row in self.versions.drop(name)]

    # --- events ---

    def feed(self, events: Events, key: str | None, *, again: bool = False) -> Found:
        """Take the events of a batch, which have come by a key (None: by that of their source).

        ``again``: they were taken before, and are only to wait for their time.
        """
        for sid, stream in self.streams.of(events.source, key):
            if again and not sid.event_time:
                continue
            if not sid.event_time:
                yield from self._switch_until(sid, stream, events.batch.arrival)
            late: list[Incoming] = []
            for result in feed(stream, events, sid, late):
                yield sid, result
            if late and not again:
                self._note_late(sid, late)

    def fields(self, source: str, key: str | None) -> frozenset[str] | None:
        """Return the fields of events that rules look at first; None: they look at whole events."""
        wanted = [None if sid.key is not None else stream.fields for sid, stream in self.streams.of(source, key)]
        return None if None in wanted else frozenset(name for names in wanted for name in names or ())

    def advance(self, watermarks: Mapping[str, int], now: int) -> Found:
        """Let event time come to the watermarks of sources, and the clock to now; in ms."""
        clocks = self.streams.clocks
        for source, watermark in watermarks.items():
            clocks[source] = max(watermark, clocks.get(source, watermark))
        for sid, stream in self.streams.all():
            time = watermarks.get(sid.source) if sid.event_time else self._arrival_time(sid.source, now)
            if time is not None:
                yield from self._advance(sid, stream, time)

    def note_origin(self, internal: str, source: str) -> None:
        """Take note that the events of an internal source are matches in the events of another one."""
        self._origins.setdefault(internal, set()).add(source)

    def _arrival_time(self, source: str, now: int) -> int | None:
        """Return how far time has come for a source without event time: matches have the times of their events."""
        origins = self._origins.get(source)
        if origins is None:
            return now
        times = [self.streams.clocks.get(origin, now) for origin in origins]
        return min(times)

    def _advance(self, sid: StreamId, stream: KeyedStream, time: int) -> Found:
        yield from self._switch_until(sid, stream, time)
        for result in stream.advance(time):
            yield sid, result

    def _switch_until(self, sid: StreamId, stream: KeyedStream, time: int) -> Found:
        """Make the changes whose time has come, each at its place in the order of events."""
        while (at := self.versions.due(sid, time)) is not None:
            for result in stream.advance(at - 1):
                yield sid, result
            rows = self.versions.switch_next(sid)
            self._rows += rows
            self._touched.update(row.script for row in rows)

    def _note_late(self, sid: StreamId, late: list[Incoming]) -> None:
        self._late[sid.source] += len(late)
        for placed in self.versions.wanting_late(sid):
            self.late.extend((placed, sid.source, event) for event in late)

    @property
    def next_alarm(self) -> int | None:
        """When the clock is to come by next, for rules in arrival time; in ms."""
        alarms = [stream.next_alarm for sid, stream in self.streams.all() if not sid.event_time]
        return min((at for at in alarms if at is not None), default=None)

    @property
    def awaits_watermark(self) -> bool:
        """Whether anything waits for event time."""
        return any(
            stream.waiting or stream.next_alarm is not None for sid, stream in self.streams.all() if sid.event_time
        )

    @property
    def holds(self) -> bool:
        """Whether events wait for their event time."""
        return any(stream.waiting for _sid, stream in self.streams.all())

    # --- what is told ---

    def take_rows(self) -> list[StateRow]:
        """Return what is different in what is stored since the last time."""
        rows, self._rows = self._rows, []
        for sid, stream in self.streams.all():
            self._touched.update(placed.name for placed, _key in stream.changed or ())
            rows += self.versions.take_changed(sid)
        return rows

    def take_counts(self) -> dict[str, RuleCount]:
        """Return what rules have done since the last time, by name: those of which something has changed."""
        touched, self._touched = self._touched, set()
        counts: dict[str, RuleCount] = {}
        for name in touched.union(self._next_names()):
            running = self.versions.running.get(name)
            count = None if running is None else _count(running)
            if count is not None and (name in touched or count.condition_errors):
                counts[name] = count
        return counts

    def take_late(self) -> dict[str, int]:
        """Return how many events of each source came too late since the last time."""
        late, self._late = self._late, Counter()
        return dict(late)

    def _next_names(self) -> list[str]:
        names = list(islice(self._looking, _LOOKED_AT))
        if not names:
            self._looking = iter(list(self.versions.running))
        return names

    def take_stopped(self) -> Iterator[tuple[Placed, Key]]:
        """Yield the rules that had too many partial matches for a key, since the last time."""
        for _sid, stream in self.streams.all():
            yield from stream.stopped
            stream.stopped = []


def _count(running: Running) -> RuleCount:
    count = RuleCount()
    for sid in {*running.placed, *running.draining}:
        for placed in running.versions(sid):
            before = placed.told or (0, 0, 0)
            placed.told = now = (placed.matches, placed.timeouts, placed.overflows)
            count.matches += now[0] - before[0]
            count.timeouts += now[1] - before[1]
            count.stopped += now[2] - before[2]
            count.open += placed.partial_matches
            count.samples += placed.samples
            placed.samples.clear()
    compiled = running.compiled
    count.condition_errors = compiled.new_errors()
    count.last_error = compiled.last_error
    return count
