"""``state``: JSON values by name, per script and key of the event."""

from __future__ import annotations

from typing import Any

from trimtab.api import Binding, Duration, Hand, Script, ScriptHost, ScriptObject, parse_duration


class ScriptState(ScriptObject):
    """The state of the event in hand: what belongs to this script and the key of the event."""

    methods = frozenset({"get", "set", "delete", "incr", "items"})

    def __init__(self, hand: Hand) -> None:
        self._hand = hand

    def get(self, name: str, default: Any = None) -> Any:
        """Return a value, or ``default`` where there is none. It is a copy."""
        return self._hand.current("state.get()").transaction().get(name, default)

    def set(self, name: str, value: Any, *, ttl: Duration | None = None) -> None:
        """Store a value that JSON can hold; with ``ttl`` it is gone after that time."""
        seconds = None if ttl is None else parse_duration(ttl)
        transaction = self._hand.current("state.set()").transaction()
        transaction.set(name, value, None if seconds is None else round(seconds * 1000))

    def delete(self, name: str) -> bool:
        """Drop a value; return whether there was one."""
        return self._hand.current("state.delete()").transaction().delete(name)

    def incr(self, name: str, by: float = 1) -> Any:
        """Add to a number, 0 where there is none; return the sum."""
        return self._hand.current("state.incr()").transaction().incr(name, by)

    def items(self) -> dict[str, Any]:
        """Return all values by name."""
        return self._hand.current("state.items()").transaction().items()


class StateBinding(Binding):
    """Gives scripts ``state``."""

    name = "state"

    def bind(self, _script: Script, host: ScriptHost) -> ScriptState:
        """See :class:`Binding`."""
        return ScriptState(host.hand)
