"""Keyed state: for each script and key of an event some named JSON values, and timers.

The lane that handles a key holds its state in memory. What an event changes becomes rows, which the runner keeps and
brings back (:meth:`StateStore.load`). What a failed event has changed is undone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal

import msgspec

from trimtab.engine.alarms import Alarms

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

_decode = msgspec.json.Decoder().decode


class StateRow(msgspec.Struct, array_like=True, frozen=True, gc=False):
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
        self._expiring = Alarms()
        self._timers = Alarms()  # in processing time
        self._event_timers: dict[str, Alarms] = {}  # by source

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

    def _taken(self, alarms: Alarms, until: int) -> Iterator[DueTimer]:
        for script, key, name in alarms.taken(until):
            stored = self._stored(script, key, name)
            timer = None if stored is None else _decode_timer(stored[0])
            if stored is None or timer is None:
                continue
            if alarms is self._alarms(timer) and timer.at <= until:
                yield DueTimer(script, key, name.removeprefix(TIMER), timer)
            else:  # it was set to another time
                self.watch(script, key, name, stored)

    def _alarms(self, timer: Timer) -> Alarms:
        return self._event_timers.setdefault(timer.source, Alarms()) if timer.time == "event" else self._timers
