"""One rule over one stream of events: the simplest way to use patterns."""

from __future__ import annotations

import time as clock
from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeAlias

import msgspec

from trimtab.cep.bindings import as_key, of_key
from trimtab.cep.builder import PatternBuilder
from trimtab.cep.conditions import Conditions, Functions
from trimtab.cep.pattern import Pattern
from trimtab.cep.placed import Placed, place
from trimtab.cep.rule import read_rule
from trimtab.cep.runs import by_stage
from trimtab.cep.snapshot import StoredPartials, load, store
from trimtab.cep.stream import Incoming, KeyedStream, Result
from trimtab.values import read_path

RuleLike: TypeAlias = Mapping[str, Any] | str | bytes | Pattern | PatternBuilder
"""A rule's document or its pattern alone: decoded JSON, its text, or a pattern that was built."""


class Match(msgspec.Struct, frozen=True):
    """A match (``kind`` "match"), or a partial match whose time was up ("timeout")."""

    kind: Literal["match", "timeout"]
    events: dict[str, list[Any]]
    """The events of each stage that took some, by its name, in the order of the pattern."""
    positions: dict[str, list[int]]
    """Where they were fed, from 0."""
    key: Any
    rule: str
    """The rule's id."""
    timestamp: int
    """When it was found, in ms: of a match the time of its last step; of a time-out its start and the window."""


class Snapshot(msgspec.Struct, frozen=True):
    """What a matcher knows, as JSON can hold it."""

    clock: int | None
    position: int
    late: int
    waiting: list[tuple[int, int, Any, Any]]
    partials: list[tuple[Any, StoredPartials]]


class Matcher:
    """Looks for the matches of one rule.

    ``rule``: see :data:`RuleLike`.
    ``timestamp``: dotted path of the time in events, in ms. ``key``: dotted path of the key; matches are looked for in
    the events of each key by itself; None: in all events together (or by the rule's own ``key``).
    ``time``: "event": events wait until :meth:`advance` says that the watermark has reached them, and are taken in the
    order of their times, those of one time as they came. "arrival": they are taken at once; their time is that of the
    path ``timestamp`` where an event has it, else the clock's.
    ``functions``: finds the functions of scripts that conditions name.

    Raises :class:`RuleError` for a rule that is refused. For one thread.
    """

    def __init__(
        self,
        rule: RuleLike,
        timestamp: str = "ts",
        key: str | None = None,
        time: Literal["event", "arrival"] = "event",
        *,
        functions: Functions | None = None,
        now: Callable[[], int] = lambda: clock.time_ns() // 1_000_000,
    ) -> None:
        if time not in ("event", "arrival"):
            raise ValueError(f"expected time='event' or 'arrival', got {time!r}")
        document = read_rule(rule)
        self._placed = place(document, Conditions(now), functions)
        self._stream = KeyedStream(event_time=time == "event")
        self._stream.add(self._placed)
        self._read_time = read_path(timestamp)
        key = key or document.key
        self._read_key = None if key is None else read_path(key)
        self._now = now
        self._position = 0
        self.late = 0
        """How many events came when the watermark had passed them; they were dropped."""

    @property
    def placed(self) -> Placed:
        """The compiled rule with its counts."""
        return self._placed

    @property
    def stream(self) -> KeyedStream:
        """The stream behind it."""
        return self._stream

    def feed(self, event: Any) -> list[Match]:
        """Take an event, any JSON value. Returns what is found at once: in event time nothing.

        Raises ``ValueError`` in event time for an event without a time.
        """
        position = self._position
        value = self._read_time(event)
        if type(value) is float and value == value and abs(value) < 2**53:
            value = int(value)
        if type(value) is not int:
            if self._stream.event_time:
                raise ValueError(f"expected an event with its time in ms, got {str(event)[:200]}")
            value = self._now()
        self._position += 1
        key = None if self._read_key is None else as_key(self._read_key(event))
        results = self._stream.feed_one(value, key, event, position)
        if results is None:
            self.late += 1
            return []
        return [as_match(result) for result in results]

    def advance(self, watermark_ms: int) -> list[Match]:
        """Let the watermark (in arrival time: the clock) come to a time. Returns what is found, in emission order."""
        return [as_match(result) for result in self._stream.advance(watermark_ms)]

    def snapshot(self) -> bytes:
        """Return what it knows, as JSON: events that wait, and partial matches. See :meth:`restore`."""
        stream = self._stream
        waiting = [(each.time, each.position, of_key(each.key), each.value) for each in stream.waiting]
        partials = [(of_key(key), store(each)) for key, states in stream.open.items() for each in states.values()]
        return msgspec.json.encode(Snapshot(stream.clock, self._position, self.late, waiting, partials))

    @classmethod
    def restore(
        cls,
        snapshot: bytes,
        rule: RuleLike,
        timestamp: str = "ts",
        key: str | None = None,
        time: Literal["event", "arrival"] = "event",
        *,
        functions: Functions | None = None,
    ) -> Matcher:
        """Return a matcher that goes on from a snapshot of another one, which had the same arguments."""
        matcher = cls(rule, timestamp, key, time, functions=functions)
        stored = msgspec.json.decode(snapshot, type=Snapshot)
        stream = matcher._stream
        matcher._position, matcher.late, stream.clock = stored.position, stored.late, stored.clock
        if stored.waiting:  # in event time alone
            stream.feed([Incoming(at, position, as_key(key), value) for at, position, key, value in stored.waiting], [])
        for owner, partials in stored.partials:
            stream.put(matcher._placed, as_key(owner), load(partials, stream.next_number))
        return matcher


def as_match(result: Result) -> Match:
    """Return what was found as callers see it."""
    found = result.found
    stages = by_stage(found.run.path)
    return Match(
        found.kind,
        {name: [event.whole for event in events] for name, events in stages.items()},
        {name: [event.position for event in events] for name, events in stages.items()},
        of_key(result.key),
        result.placed.rule.id,
        found.time,
    )
