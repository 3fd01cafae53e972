"""Finds the rules that an event may begin a match of, by its key and by what it holds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from trimtab.cep.bindings import Key
from trimtab.cep.lookups import Index
from trimtab.cep.placed import Placed
from trimtab.cep.waiting import Columns

_MOST_FIELDS = 12
"""Many events have no more: then they are decoded."""


class RuleIndex:
    """The rules of a stream: those for certain keys, and the others."""

    def __init__(self) -> None:
        self._index: Index[Placed] = Index()
        self._bound: dict[Key, Index[Placed]] = {}
        self._fields: Counter[str | None] = Counter()
        """By the fields that rules look at, how many rules; None: whole events."""

    def add(self, placed: Placed) -> None:
        """Add a rule."""
        for index in self._indexes(placed):
            index.add(placed, placed.needs)
        self._fields.update(placed.fields or (None,))

    def remove(self, placed: Placed) -> None:
        """Remove a rule that was added."""
        for index in self._indexes(placed):
            index.remove(placed, placed.needs)
        self._fields.subtract(placed.fields or (None,))
        for key in placed.keys or ():
            if self._bound[key].empty:
                del self._bound[key]

    @property
    def fields(self) -> frozenset[str] | None:
        """The fields of events that rules look at; None: whole events, or too many to gain anything."""
        names = [name or "" for name, count in self._fields.items() if count]
        few = self._index.columnar and len(names) <= _MOST_FIELDS
        return frozenset(names) if few and all(map(str.isidentifier, names)) else None

    def find_all(self, columns: Columns) -> dict[int, list[Placed]]:
        """Return the rules that events may begin a match of, by the index of the event."""
        found, bound = self._index.find_all(columns.values), self._bound
        for i in [i for i, key in enumerate(columns.keys) if key in bound] if bound else ():
            more = bound[columns.keys[i]].find(columns.values[i])
            if more:
                found[i] = found[i] + more if i in found else more
        return found

    def find(self, key: Key, value: Any) -> list[Placed]:
        """Return the rules that an event may begin a match of."""
        bound = self._bound.get(key) if self._bound else None
        return self._index.find(value) if bound is None else self._index.find(value) + bound.find(value)

    def _indexes(self, placed: Placed) -> Iterator[Index[Placed]]:
        if placed.keys is None:
            yield self._index
            return
        for key in placed.keys:
            yield self._bound.setdefault(key, Index())
