"""Keyed state: for each script and key of an event some named JSON values, and timers.

The lane that handles a key holds its state in memory. What an event changes becomes rows, which the runner keeps and
brings back (:meth:`StateStore.load`). What a failed event has changed is undone.
"""

from __future__ import annotations

import hashlib
import heapq
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal

import msgspec

VERSION = "\0version"
"""Name of the value that says which version of the script has written the others last."""
TIMER = "\0timer:"
"""How the names of values begin that are timers."""
DEFAULT_VALUE_LIMIT = 256 << 10
"""Bytes that one value may take as JSON."""

Time = Literal["event", "processing"]
Stored = tuple[bytes, int | None]
"""A value as JSON text, and when it expires, in ms of processing time."""
Values = dict[str, Stored]

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


class StateRow(msgspec.Struct, array_like=True, frozen=True):
    """One value of the state of one key, or that it is gone."""

    script: str
    key: str
    """As JSON text. Empty, as ``name``: nothing is left of the script's state."""
    name: str
    value: bytes | None
    """As JSON text; None: deleted."""
    expires: int | None = None
    """In ms since the epoch."""


def cleared(script: str) -> StateRow:
    """Return the row that says that all state of a script is gone."""
    return StateRow(script, "", "", None)


class Timer(msgspec.Struct, frozen=True):
    """A timer as it is stored."""

    at: int
    """In ms since the epoch."""
    time: Time
    source: str
    """Of the event that has set it: an event-time timer is due when the watermark of that source has passed."""
    data: Any = None


class DueTimer(msgspec.Struct, frozen=True):
    """A timer whose time has come, and whose it is."""

    script: str
    key: str
    name: str
    timer: Timer

    @property
    def id(self) -> str:
        """Identity, as events have one: the same when it is due again after a crash."""
        return f"{self.script}:{self.key}:{self.name}:{self.timer.at}"

    def dropped(self) -> StateRow:
        """Return the row that says that the timer is gone."""
        return StateRow(self.script, self.key, TIMER + self.name, None)


_decode_timer = msgspec.json.Decoder(Timer).decode


class StateStore:
    """The state of all scripts for the keys of one lane. ``most``: bytes that one value may take as JSON.

    ``now`` is the processing time in ms; the runner sets it before each batch.
    """

    def __init__(self, most: int = DEFAULT_VALUE_LIMIT) -> None:
        self.most = most
        self.now = 0
        self._scripts: dict[str, dict[str, Values]] = {}
        self._clears: Counter[str] = Counter()
        self._expiring: list[tuple[int, str, str, str]] = []
        self._timers: list[tuple[int, str, str, str]] = []  # in processing time
        self._event_timers: dict[str, list[tuple[int, str, str, str]]] = {}  # by source

    def load(self, rows: Iterable[StateRow]) -> None:
        """Take rows over what is there, in their order."""
        for row in rows:
            if not row.name:
                self._scripts.pop(row.script, None)
            elif row.value is None:
                self.values(row.script, row.key).pop(row.name, None)
            else:
                self.put(row.script, row.key, row.name, (row.value, row.expires))

    def clear(self, script: str) -> bool:
        """Drop all state of a script, and what events under way do to it. Returns whether there was any."""
        self._clears[script] += 1
        return bool(self._scripts.pop(script, None))

    def clears(self, script: str) -> int:
        """Return how often the state of a script was dropped."""
        return self._clears[script]

    # --- one key ---

    def values(self, script: str, key: str) -> Values:
        """Return what is stored for a script and key; made when it is first asked for."""
        return self._scripts.setdefault(script, {}).setdefault(key, {})

    def version(self, script: str, key: str) -> str | None:
        """Return which version has written a key's state, or None where there is none."""
        stored = self._scripts.get(script, {}).get(key, {}).get(VERSION)
        return None if stored is None else str(_decode(stored[0]))

    def put(self, script: str, key: str, name: str, stored: Stored) -> None:
        """Store a value as it is."""
        self.values(script, key)[name] = stored
        self.watch(script, key, name, stored)

    def watch(self, script: str, key: str, name: str, stored: Stored) -> None:
        """Take note of when a stored value is due."""
        value, expires = stored
        if expires is not None:
            heapq.heappush(self._expiring, (expires, script, key, name))
        if name.startswith(TIMER):
            timer = _decode_timer(value)
            heap = self._event_timers.setdefault(timer.source, []) if timer.time == "event" else self._timers
            heapq.heappush(heap, (timer.at, script, key, name))

    # --- what is due ---

    def next_due(self) -> int | None:
        """Return the processing time at which a timer or an expiry is due next, in ms."""
        return min((heap[0][0] for heap in (self._timers, self._expiring) if heap), default=None)

    def awaits(self, source: str) -> bool:
        """Whether a timer waits for the watermark of a source."""
        return bool(self._event_timers.get(source))

    def is_due(self, source: str, watermark: int) -> bool:
        """Whether a timer for the watermark of a source may be due."""
        heap = self._event_timers.get(source)
        return bool(heap) and heap[0][0] <= watermark

    def holds(self, due: DueTimer) -> bool:
        """Whether a timer was neither cancelled nor set to another time since it was found to be due."""
        stored = self._stored(due.script, due.key, TIMER + due.name)
        return stored is not None and _decode_timer(stored[0]).at == due.timer.at

    def watch_timers(self, script: str) -> None:
        """Take note of all timers of a script again: there is somebody who handles them now."""
        for key, values in self._scripts.get(script, {}).items():
            for name, stored in values.items():
                if name.startswith(TIMER):
                    self.watch(script, key, name, stored)

    def take_expired(self) -> Iterator[StateRow]:
        """Drop what has expired by now; yield what is gone."""
        while self._expiring and self._expiring[0][0] <= self.now:
            _at, script, key, name = heapq.heappop(self._expiring)
            stored = self._stored(script, key, name)
            if stored is not None and stored[1] is not None and stored[1] <= self.now:
                yield from self.drop(script, key, name)

    def take_due(self, watermarks: Mapping[str, int]) -> list[DueTimer]:
        """Return the timers that are due, in the order of their times. Each stays stored until it is dropped."""
        due = list(self._taken(self._timers, self.now))
        for source, watermark in watermarks.items():
            due.extend(self._taken(self._event_timers.get(source, []), watermark))
        return sorted(due, key=lambda each: each.timer.at)

    def drop(self, script: str, key: str, name: str) -> list[StateRow]:
        """Drop one value; return the rows that say so."""
        values = self.values(script, key)
        values.pop(name, None)
        return [StateRow(script, key, name, None), *self.attach(script, key, values)]

    def attach(self, script: str, key: str, values: Values) -> list[StateRow]:
        """Keep the values of a key, or let go of a key that has none; return the rows that say so."""
        keys = self._scripts.setdefault(script, {})
        if values.keys() - {VERSION}:
            keys[key] = values
            return []
        keys.pop(key, None)
        return [StateRow(script, key, VERSION, None)] if values.pop(VERSION, None) else []

    def _stored(self, script: str, key: str, name: str) -> Stored | None:
        return self._scripts.get(script, {}).get(key, {}).get(name)

    def _taken(self, heap: list[tuple[int, str, str, str]], until: int) -> Iterator[DueTimer]:
        while heap and heap[0][0] <= until:
            at, script, key, name = heapq.heappop(heap)
            stored = self._stored(script, key, name)
            timer = None if stored is None else _decode_timer(stored[0])
            if timer is not None and timer.at == at:  # else it was set to another time, or cancelled
                yield DueTimer(script, key, name.removeprefix(TIMER), timer)


class Transaction:
    """What one event does to the state of its key, in one script: all of it counts, or nothing."""

    __slots__ = ("_before", "_clears", "_key", "_script", "_store", "_unnamed", "_values", "_version")

    def __init__(self, store: StateStore, script: str, version: bytes, key: str) -> None:
        self._store, self._script, self._version, self._key = store, script, version, key
        self._clears = store.clears(script)
        self._unnamed = 0
        self._values = store.values(script, key)
        self._before: dict[str, Stored | None] = {}

    def get(self, name: str, default: Any = None) -> Any:
        """Return a value, the caller's own; ``default`` where there is none."""
        stored = self._live(name)
        return default if stored is None else _decode(stored[0])

    def items(self) -> dict[str, Any]:
        """Return every value by name."""
        names = [name for name in self._values if not name.startswith("\0")]
        return {name: _decode(stored[0]) for name in names if (stored := self._live(name)) is not None}

    def set(self, name: str, value: Any, ttl: int | None = None) -> None:
        """Store a value, for ``ttl`` ms. Raises ``TypeError`` or ``ValueError`` for one that cannot be stored."""
        self._write(_named(name), (self._json(name, value), None if ttl is None else self._store.now + ttl))

    def incr(self, name: str, by: float) -> Any:
        """Add to a number, 0 where there is none, and return the sum. It keeps the time at which it expires."""
        stored = self._live(name)
        value = 0 if stored is None else _decode(stored[0])
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise TypeError(f"state.incr expected a number in {name!r}, got {type(value).__name__}; set it first")
        total = value + by
        self._write(_named(name), (self._json(name, total), None if stored is None else stored[1]))
        return total

    def delete(self, name: str) -> bool:
        """Drop a value; returns whether there was one."""
        there = self._live(_named(name)) is not None
        if there:
            self._write(name, None)
        return there

    def new_timer_name(self, event_id: str) -> str:
        """Return a name for a timer that has none: the same when the event is handled again."""
        self._unnamed += 1
        return hashlib.blake2b(f"{event_id}#{self._unnamed}".encode(), digest_size=8).hexdigest()

    def set_timer(self, name: str, timer: Timer) -> None:
        """Set a timer, in the place of one of the same name."""
        stored: Stored = (self._json(name, timer), None)
        self._write(TIMER + name, stored)
        self._store.watch(self._script, self._key, TIMER + name, stored)

    def cancel_timer(self, name: str) -> bool:
        """Cancel a timer; returns whether there was one."""
        there = TIMER + name in self._values
        if there:
            self._write(TIMER + name, None)
        return there

    def replace(self, values: Mapping[str, Any]) -> None:
        """Put other values in the place of all; timers stay. Values that were there keep their expiry."""
        for name in [name for name in self._values if not name.startswith("\0") and name not in values]:
            self._write(name, None)
        for name, value in values.items():
            old = self._live(_named(name))
            self._write(name, (self._json(name, value), None if old is None else old[1]))
        self._write(VERSION, (self._version, None))

    def rows(self) -> Iterator[StateRow]:
        """Yield what is different now: nothing where all state of the script was dropped meanwhile."""
        if self._store.clears(self._script) != self._clears:
            return
        gone = self._store.attach(self._script, self._key, self._values)
        for name in self._before:
            value, expires = self._values.get(name, (None, None))
            yield StateRow(self._script, self._key, name, value, expires)
        yield from gone

    def undo(self) -> None:
        """Put everything back."""
        for name, stored in self._before.items():
            if stored is None:
                self._values.pop(name, None)
            else:
                self._values[name] = stored
                self._store.watch(self._script, self._key, name, stored)
        self._before.clear()

    def _live(self, name: str) -> Stored | None:
        stored = self._values.get(name)
        return None if stored is None or (stored[1] is not None and stored[1] <= self._store.now) else stored

    def _write(self, name: str, stored: Stored | None) -> None:
        if not self._before and self._values.get(VERSION, (None,))[0] != self._version:
            self._before[VERSION] = self._values.get(VERSION)
            self._values[VERSION] = (self._version, None)
        self._before.setdefault(name, self._values.get(name))
        if stored is None:
            self._values.pop(name, None)
        else:
            self._values[name] = stored
            if stored[1] is not None:
                self._store.watch(self._script, self._key, name, stored)

    def _json(self, name: str, value: Any) -> bytes:
        try:
            text = _encode(value)
        except (TypeError, UnicodeEncodeError) as error:
            raise TypeError(f"state: expected a value that JSON can hold for {name!r}, got {error}") from None
        if len(text) > self._store.most:
            raise ValueError(
                f"state: expected at most {self._store.most} bytes of JSON for {name!r}, got {len(text)}; keep large "
                "things in a database, or raise sandbox.state_value"
            )
        return text


def _named(name: object) -> str:
    if not isinstance(name, str) or not name or name.startswith("\0"):
        raise TypeError(f"state: expected a name, as text that is not empty, got {name!r}")
    return name
