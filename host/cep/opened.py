"""The partial matches of a stream, to be found by key and by rule."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TypeAlias

from trimtab.cep.bindings import Key
from trimtab.cep.placed import Placed
from trimtab.cep.runs import Partials

States: TypeAlias = Partials | dict[Placed, Partials]
"""The partial matches for one key: mostly those of one rule, which then need no dictionary."""


class Opened(Mapping[Key, Mapping[Placed, Partials]]):
    """The partial matches of a stream: by key, then by rule."""

    def __init__(self) -> None:
        self.by_key: dict[Key, States] = {}
        """Only to look at."""
        self._keys: dict[Placed, dict[Key, None]] | None = None
        """By rule; only while rules change, as it takes memory and time."""

    def __getitem__(self, key: Key) -> Mapping[Placed, Partials]:
        states = self.by_key[key]
        return states if isinstance(states, dict) else {states.placed: states}

    def __iter__(self) -> Iterator[Key]:
        return iter(self.by_key)

    def __len__(self) -> int:
        return len(self.by_key)

    def find(self, placed: Placed, key: Key) -> Partials | None:
        """Return the partial matches of a rule for a key."""
        states = self.by_key.get(key)
        if isinstance(states, dict):
            return states.get(placed)
        return states if states is not None and states.placed is placed else None

    def keys_of(self, placed: Placed) -> list[Key]:
        """Return the keys for which a rule has partial matches.

        The first rule that has some costs a look at all keys; others cost no more until :meth:`settle`.
        """
        if not placed.open:
            return []
        if self._keys is None:
            self._keys = {}
            for key, states in self.items():
                for each in states:
                    self._keys.setdefault(each, {})[key] = None
        return list(self._keys[placed])

    def settle(self) -> None:
        """Take note that no more rules change for now."""
        self._keys = None

    def add(self, placed: Placed, key: Key, partials: Partials) -> None:
        """Take note of the partial matches of a rule for a key; it has none there yet."""
        states = self.by_key.setdefault(key, partials)
        if states is not partials:
            if not isinstance(states, dict):
                states = self.by_key[key] = {states.placed: states}
            states[placed] = partials
        placed.open += 1
        if self._keys is not None:
            self._keys.setdefault(placed, {})[key] = None

    def remove(self, placed: Placed, key: Key, partials: Partials) -> None:
        """Forget the partial matches of a rule for a key."""
        states = self.by_key[key]
        if states is not partials and isinstance(states, dict) and len(states) > 1:
            del states[placed]
        else:
            del self.by_key[key]
        placed.open -= 1
        if self._keys is not None:
            del self._keys[placed][key]
