"""What one event does to the state of its key."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from trimtab.engine.state import TIMER, VERSION, StateRow, StateStore, Stored, Timer

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


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
        self._write(TIMER + _named(name), (self._json(name, timer), None))

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
