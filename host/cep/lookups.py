"""Finds the rules that an event may begin a match of, at a cost that depends on these, not on all rules."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Sequence
from math import inf
from typing import Any, Generic, NamedTuple, TypeVar

from trimtab.cep.index import Need, Path
from trimtab.values import Values, reader_of

R = TypeVar("R")


class Index(Generic[R]):
    """Rules by what their first events need."""

    __slots__ = ("_always", "_fields")

    def __init__(self) -> None:
        self._always: list[R] = []
        self._fields: dict[Path, _FieldIndex[R]] = {}

    def add(self, rule: R, wanted: Sequence[Need] | None) -> None:
        """Add a rule; without needs it is found by every event."""
        if wanted is None:
            self._always.append(rule)
            return
        for need in wanted:
            field = self._fields.get(need.path)
            if field is None:
                field = self._fields[need.path] = _FieldIndex(need.path)
            field.add(need, rule)

    def remove(self, rule: R, wanted: Sequence[Need] | None) -> None:
        """Remove a rule that was added with these needs."""
        if wanted is None:
            self._always.remove(rule)
            return
        for need in wanted:
            field = self._fields[need.path]
            field.remove(need, rule)
            if field.empty:
                del self._fields[need.path]

    @property
    def empty(self) -> bool:
        """Whether there is no rule."""
        return not self._always and not self._fields

    @property
    def gate(self) -> _Gate:
        """What events must pass to find any rule here, as far as it is quickly told."""
        if self._always or len(self._fields) != 1:
            return _OPEN
        [field] = self._fields.values()
        return field.gate

    def find(self, event: Any) -> list[R]:
        """Return the rules that an event may begin a match of. One that has several needs may be there twice."""
        found = self._always
        for field in self._fields.values():
            hits = field.find(event)
            if hits:
                found = found + hits
        return found

    def find_at(self, events: Values, i: int) -> list[R]:
        """Return the rules for one of several events."""
        return self.find(events[i]) if self._fields else self._always

    def beyond(self, number: float) -> list[R]:
        """Return the rules for an event that has passed the gate; ``number``: what it has in the gate's field."""
        [field] = self._fields.values()
        return field.beyond(number)

    @property
    def columnar(self) -> bool:
        """Whether columns tell :meth:`find_all` that events find nothing; else it looks at whole events."""
        return not self._always and all(field.columnar for field in self._fields.values())

    def find_all(self, events: Values) -> dict[int, list[R]]:
        """Return the rules for each of several events, by its index; those that find none are left out."""
        try:
            return self._find_all(events)
        except (AttributeError, TypeError):  # some event is no object, or has something unusual in a field
            return {i: found for i in range(len(events)) if (found := self.find(events[i]))}

    def _find_all(self, events: Values) -> dict[int, list[R]]:
        found = dict.fromkeys(range(len(events)), self._always) if self._always else {}
        for field in self._fields.values():
            for index, hits in field.find_all(events):
                found[index] = found[index] + hits if index in found else hits
        return found


class _Gate(NamedTuple):
    """The numbers that a field may have."""

    field: str | None
    least: float
    most: float


_OPEN = _Gate(None, -inf, inf)
_EXACT = 1 << 53
"""All integers up to here are floats, too."""


class _Bucket(Generic[R]):
    """Rules whose first events need the same value of a field, by what else they need: as the index, with its gate."""

    __slots__ = ("field", "index", "least", "most")

    def __init__(self) -> None:
        self.index: Index[R] = Index()
        self.field, self.least, self.most = _OPEN

    def add(self, rule: R, need: Need | None) -> None:
        self.index.add(rule, None if need is None else (need,))
        self.field, self.least, self.most = self.index.gate

    def remove(self, rule: R, need: Need | None) -> None:
        self.index.remove(rule, None if need is None else (need,))
        self.field, self.least, self.most = self.index.gate

    def find(self, number: float, events: Values, i: int) -> list[R]:
        """Return the rules for an event that has passed the gate; ``number``: what it has in the gate's field."""
        return self.index.find_at(events, i) if self.field is None else self.index.beyond(number)


class _Bounds(Generic[R]):
    """Rules by a number that a field must be above, or below."""

    __slots__ = ("numbers", "rules")

    def __init__(self) -> None:
        self.numbers: list[float] = []
        """Sorted; those of the rules."""
        self.rules: list[R] = []

    def add(self, number: float, rule: R) -> None:
        at = bisect_right(self.numbers, number)
        self.numbers.insert(at, number)
        self.rules.insert(at, rule)

    def remove(self, number: float, rule: R) -> None:
        at = self.rules.index(rule, bisect_left(self.numbers, number))
        del self.numbers[at], self.rules[at]


class _FieldIndex(Generic[R]):
    """Rules whose first events need something of one field."""

    __slots__ = ("_above", "_below", "_equal", "_gates", "_least", "_most", "_name", "_read")

    def __init__(self, path: Path) -> None:
        self._name = path[0] if len(path) == 1 else None
        self._read = reader_of(path)
        self._equal: dict[Any, _Bucket[R]] = {}
        self._gates: Counter[str | None] = Counter()
        """By the fields of the gates, in how many buckets."""
        self._above: _Bounds[R] = _Bounds()
        self._below: _Bounds[R] = _Bounds()
        self._least, self._most = inf, -inf
        """From where up, and from where down, numbers find any rule."""

    @property
    def empty(self) -> bool:
        return not (self._equal or self._above.rules or self._below.rules)

    @property
    def gate(self) -> _Gate:
        least, most = self._least, self._most
        if self._equal or self._name is None or (least < inf and most > -inf):
            return _OPEN
        return _Gate(self._name, -inf, most) if least == inf else _Gate(self._name, least, inf)

    @property
    def columnar(self) -> bool:
        return self._name is not None

    def add(self, need: Need, rule: R) -> None:
        if need.side == "equal":
            bucket = self._equal.get(need.value)
            if bucket is None:
                bucket = self._equal[need.value] = _Bucket()
            else:
                self._forget_gate(bucket)
            bucket.add(rule, need.also)
            self._gates[bucket.field] += 1
        else:
            self._bounds(need).add(need.value, rule)
            self._reach()

    def remove(self, need: Need, rule: R) -> None:
        if need.side != "equal":
            self._bounds(need).remove(need.value, rule)
            self._reach()
            return
        bucket = self._equal[need.value]
        self._forget_gate(bucket)
        bucket.remove(rule, need.also)
        if bucket.index.empty:
            del self._equal[need.value]
        else:
            self._gates[bucket.field] += 1

    def _forget_gate(self, bucket: _Bucket[R]) -> None:
        self._gates[bucket.field] -= 1
        if not self._gates[bucket.field]:
            del self._gates[bucket.field]

    def _reach(self) -> None:
        above, below = self._above.numbers, self._below.numbers
        self._least, self._most = above[0] if above else inf, below[-1] if below else -inf

    def _bounds(self, need: Need) -> _Bounds[R]:
        return self._above if need.side == "above" else self._below

    def find(self, event: Any) -> list[R]:
        value = self._read(event)
        kind = type(value)
        if kind is float or kind is int:
            equal = self._equal_to(value, event) if self._equal else []
            return equal + self.beyond(value) if value >= self._least or value <= self._most else equal
        if value is None:  # nil comes before every number
            return self._below.rules
        beyond = self._above.rules + self._below.rules  # they cannot work with it, and are to say so
        return self._equal_to(value, event) + beyond if kind is str or kind is bool else beyond

    def _equal_to(self, value: Any, event: Any) -> list[R]:
        bucket = self._equal.get(value)
        return [] if bucket is None else bucket.index.find(event)

    def beyond(self, value: float) -> list[R]:
        """Return the rules whose bound a number has passed."""
        above, below = self._above, self._below
        passed = bisect_right(above.numbers, value)
        found = above.rules if passed == len(above.rules) else above.rules[:passed]
        return found + below.rules[bisect_left(below.numbers, value) :] if below.rules else found

    def find_all(self, events: Values) -> list[tuple[int, list[R]]]:
        """Return the rules that events find, with their indexes. Raises ``TypeError`` for unusual values."""
        name = self._name
        if name is None:
            return [(i, rules) for i in range(len(events)) if (rules := self.find(events[i]))]
        column = events.column(name)
        found = self._all_equal(column, events) if self._equal else []
        least, most = _alike(self._least, column), _alike(self._most, column)
        if most > -inf:
            beyond = [(i, value) for i, value in enumerate(column) if value <= most or value >= least]
        elif len(self._above.rules) == 1:  # then there is nothing to look up for each of them
            return found + [(i, self._above.rules) for i, value in enumerate(column) if value >= least]
        elif least < inf:
            beyond = [(i, value) for i, value in enumerate(column) if value >= least]
        else:
            return found
        return found + [(i, self.beyond(value)) for i, value in beyond]

    def _all_equal(self, column: Sequence[Any], events: Values) -> list[tuple[int, list[R]]]:
        get = self._equal.get
        gates = {field: bytes(len(events)) if field is None else events.column(field) for field in self._gates}
        hits = [
            (i, bucket)
            for i, value in enumerate(column)
            if (bucket := get(value)) is not None and bucket.least <= gates[bucket.field][i] <= bucket.most
        ]
        return [(i, rules) for i, bucket in hits if (rules := bucket.find(gates[bucket.field][i], events, i))]


def _alike(number: float, column: Sequence[Any]) -> float:
    """Return a number as a float if a column seems to have floats: those are compared in half the time."""
    return float(number) if column and type(column[0]) is float and abs(number) <= _EXACT else number
