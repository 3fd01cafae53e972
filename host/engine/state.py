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
SLACK = 1024
"""Notes about values that are gone are kept until there are that many beside as many as there are others."""
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


Place = tuple[str, str, str]
"""Script, key and name of a value."""


class _Alarms:
    """When to look at values again: at the time that is noted, or before. One note a value, however often it is set."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, Place]] = []
        self._noted: dict[Place, int] = {}

    @property
    def next(self) -> int | None:
        """When there is something to look at."""
        return self._heap[0][0] if self._heap else None

    def note(self, at: int, place: Place) -> None:
        """Look at a value at a time, unless it is looked at before."""
        known = self._noted.get(place)
        if known is None or at < known:
            self._noted[place] = at
            heapq.heappush(self._heap, (at, place))

    def forget(self, place: Place) -> None:
        """There is no such value any more."""
        self._noted.pop(place, None)
        if len(self._heap) > 2 * len(self._noted) + SLACK:
            self._heap = [(at, noted) for noted, at in self._noted.items()]
            heapq.heapify(self._heap)

    def taken(self, until: int) -> Iterator[Place]:
        """Yield what to look at by a time, each once; it may be noted again meanwhile."""
        while self._heap and self._heap[0][0] <= until:
            at, place = heapq.heappop(self._heap)
            if self._noted.get(place) == at:  # else it was noted for an earlier time later on
                del self._noted[place]
                yield place


class StateStore:
    """The state of all scripts for the keys of one lane. ``most``: bytes that one value may take as JSON.

    ``now`` is the processing time in ms; the runner sets it before each batch.
    """

    def __init__(self, most: int = DEFAULT_VALUE_LIMIT) -> None:
        self.most = most
        self.now = 0
        self._scripts: dict[str, dict[str, Values]] = {}
        self._clears: Counter[str] = Counter()
        self._expiring = _Alarms()
        self._timers = _Alarms()  # in processing time
        self._event_timers: dict[str, _Alarms] = {}  # by source

    def load(self, rows: Iterable[StateRow]) -> None:
        """Take rows over what is there, in their order."""
        for row in rows:
            if not row.name:
                self._scripts.pop(row.script, None)
            elif row.value is None:
                self.values(row.script, row.key).pop(row.name, None)
                self.let_go(row.script, row.key)
            else:
                self.put(row.script, row.key, row.name, (row.value, row.expires))

    def clear(self, script: str) -> bool:
        """Drop all state of a script, and what events under way do to it. Returns whether there was any."""
        self._clears[script] += 1
        return bool(self._scripts.pop(script, None))

    def clears(self, script: str) -> int:
        """Return how often the state of a script was dropped."""
        return self._clears.get(script, 0)

    # --- one key ---

    def values(self, script: str, key: str) -> Values:
        """Return what is stored for a script and key. Where that is nothing, it counts once it is kept."""
        keys = self._scripts.get(script)
        values = None if keys is None else keys.get(key)
        return {} if values is None else values

    def keep(self, script: str, key: str, values: Values) -> None:
        """Store the values of a key."""
        self._scripts.setdefault(script, {})[key] = values

    def let_go(self, script: str, key: str) -> None:
        """Forget a key that has nothing."""
        if not self.values(script, key):
            self._scripts.get(script, {}).pop(key, None)

    def tidy(self, script: str, key: str) -> list[StateRow]:
        """Forget who has written a key that has no values; return the rows that say so."""
        values = self.values(script, key)
        gone = values.keys() == {VERSION}
        if gone:
            del values[VERSION]
        self.let_go(script, key)
        return [StateRow(script, key, VERSION, None)] if gone else []

    def version(self, script: str, key: str) -> str | None:
        """Return which version has written a key's state, or None where there is none."""
        stored = self._stored(script, key, VERSION)
        return None if stored is None else str(_decode(stored[0]))

    def put(self, script: str, key: str, name: str, stored: Stored) -> None:
        """Store a value as it is."""
        values = self.values(script, key)
        values[name] = stored
        self.keep(script, key, values)
        self.watch(script, key, name, stored)

    def watch(self, script: str, key: str, name: str, stored: Stored) -> None:
        """Take note of when a stored value is due."""
        value, expires = stored
        if expires is not None:
            self._expiring.note(expires, (script, key, name))
        if name.startswith(TIMER):
            timer = _decode_timer(value)
            self._alarms(timer).note(timer.at, (script, key, name))

    def unwatch(self, script: str, key: str, name: str, stored: Stored) -> None:
        """Take note that a stored value is gone."""
        value, expires = stored
        if expires is not None:
            self._expiring.forget((script, key, name))
        if name.startswith(TIMER):
            self._alarms(_decode_timer(value)).forget((script, key, name))

    # --- what is due ---

    def next_due(self) -> int | None:
        """Return the processing time at which a timer or an expiry may be due next, in ms."""
        return min((at for at in (self._timers.next, self._expiring.next) if at is not None), default=None)

    def awaits(self, source: str) -> bool:
        """Whether a timer may wait for the watermark of a source."""
        return source in self._event_timers and self._event_timers[source].next is not None

    def is_due(self, source: str, watermark: int) -> bool:
        """Whether a timer for the watermark of a source may be due."""
        alarms = self._event_timers.get(source)
        return alarms is not None and alarms.next is not None and alarms.next <= watermark

    def holds(self, due: DueTimer) -> bool:
        """Whether a timer was neither cancelled nor set anew since it was found to be due."""
        stored = self._stored(due.script, due.key, TIMER + due.name)
        return stored is not None and _decode_timer(stored[0]) == due.timer

    def watch_timers(self, script: str) -> None:
        """Take note of all timers of a script again: there is somebody who handles them now."""
        for key, values in self._scripts.get(script, {}).items():
            for name, stored in values.items():
                if name.startswith(TIMER):
                    self.watch(script, key, name, stored)

    def take_expired(self) -> Iterator[StateRow]:
        """Drop what has expired by now; yield what is gone."""
        for place in self._expiring.taken(self.now):
            stored = self._stored(*place)
            if stored is None or stored[1] is None:
                continue
            if stored[1] <= self.now:
                yield from self.drop(*place)
            else:
                self._expiring.note(stored[1], place)

    def take_due(self, watermarks: Mapping[str, int]) -> list[DueTimer]:
        """Return the timers that are due, in the order of their times. Each stays stored until it is dropped."""
        due = list(self._taken(self._timers, self.now))
        for source, watermark in watermarks.items():
            if source in self._event_timers:
                due.extend(self._taken(self._event_timers[source], watermark))
        return sorted(due, key=lambda each: each.timer.at)

    def drop(self, script: str, key: str, name: str) -> list[StateRow]:
        """Drop one value; return the rows that say so."""
        self.values(script, key).pop(name, None)
        return [StateRow(script, key, name, None), *self.tidy(script, key)]

    def _stored(self, script: str, key: str, name: str) -> Stored | None:
        return self.values(script, key).get(name)

    def _taken(self, alarms: _Alarms, until: int) -> Iterator[DueTimer]:
        for script, key, name in alarms.taken(until):
            stored = self._stored(script, key, name)
            timer = None if stored is None else _decode_timer(stored[0])
            if stored is None or timer is None:
                continue
            if alarms is self._alarms(timer) and timer.at <= until:
                yield DueTimer(script, key, name.removeprefix(TIMER), timer)
            else:  # it was set to another time
                self.watch(script, key, name, stored)

    def _alarms(self, timer: Timer) -> _Alarms:
        return self._event_timers.setdefault(timer.source, _Alarms()) if timer.time == "event" else self._timers


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
        self._write(TIMER + name, (self._json(name, timer), None))

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
        self._sign()

    def rows(self) -> Iterator[StateRow]:
        """Yield what is different now: nothing where all state of the script was dropped meanwhile."""
        if not self._before or self._is_cleared:
            return
        gone = self._store.tidy(self._script, self._key)
        values = self._store.values(self._script, self._key)
        for name in self._before:
            value, expires = values.get(name, (None, None))
            yield StateRow(self._script, self._key, name, value, expires)
        yield from gone

    def undo(self) -> None:
        """Put everything back."""
        if not self._before or self._is_cleared:
            return
        self._keep()
        for name, stored in self._before.items():
            self._put(name, stored)
        self._before.clear()
        self._store.let_go(self._script, self._key)

    @property
    def _is_cleared(self) -> bool:
        """Whether all state of the script was dropped meanwhile: then nothing counts that is done here."""
        return self._store.clears(self._script) != self._clears

    def _keep(self) -> None:
        if not self._values and not self._is_cleared:
            # There was nothing, or nothing was left: the store does not hold these values.
            self._store.keep(self._script, self._key, self._values)

    def _sign(self) -> None:
        """Note which version has written."""
        current = self._values.get(VERSION)
        if current is None or current[0] != self._version:
            self._before.setdefault(VERSION, current)
            self._values[VERSION] = (self._version, None)

    def _live(self, name: str) -> Stored | None:
        stored = self._values.get(name)
        return None if stored is None or (stored[1] is not None and stored[1] <= self._store.now) else stored

    def _write(self, name: str, stored: Stored | None) -> None:
        self._keep()
        self._sign()
        self._before.setdefault(name, self._values.get(name))
        self._put(name, stored)

    def _put(self, name: str, stored: Stored | None) -> None:
        if stored is not None:
            self._values[name] = stored
            self._store.watch(self._script, self._key, name, stored)
        elif (gone := self._values.pop(name, None)) is not None:
            self._store.unwatch(self._script, self._key, name, gone)

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
    try:
        name.encode()
    except UnicodeEncodeError:
        raise TypeError(f"state: expected a name without lone surrogates, got {name!r}") from None
    return name
