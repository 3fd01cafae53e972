"""Finds the rules that an event may begin a match of, at a cost that depends on these, not on all rules."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from math import inf, nan
from typing import Any, Generic, NamedTuple, TypeVar

from trimtab.cep.index import Need, Path

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

    def find_all(self, events: Sequence[Any]) -> dict[int, list[R]]:
        """Return the rules for each of several events, by its index; those that find none are left out."""
        try:
            return self._find_all(events)
        except (AttributeError, TypeError):  # some event is no object, or has something unusual in a field
            return {index: found for index, event in enumerate(events) if (found := self.find(event))}

    def _find_all(self, events: Sequence[Any]) -> dict[int, list[R]]:
        found = dict.fromkeys(range(len(events)), self._always) if self._always else {}
        for field in self._fields.values():
            for index, hits in field.find_all(events):
                found[index] = found[index] + hits if index in found else hits
        return found


class _Gate(NamedTuple):
    """The values that a field may have; an event without it has the default."""

    field: str | None
    least: float
    most: float
    default: float


_OPEN = _Gate(None, -inf, inf, 0)


class _Bucket(Generic[R]):
    """Rules whose first events need the same value of a field, by what else they need: as the index, with its gate."""

    __slots__ = ("default", "field", "index", "least", "most")

    def __init__(self) -> None:
        self.index: Index[R] = Index()

    def add(self, rule: R, need: Need | None) -> None:
        self.index.add(rule, None if need is None else (need,))
        self.field, self.least, self.most, self.default = self.index.gate

    def remove(self, rule: R, need: Need | None) -> None:
        self.index.remove(rule, None if need is None else (need,))
        self.field, self.least, self.most, self.default = self.index.gate


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

    __slots__ = ("_above", "_below", "_equal", "_name", "_read")

    def __init__(self, path: Path) -> None:
        self._name = path[0] if len(path) == 1 else None
        self._read = _reader(path)
        self._equal: dict[Any, _Bucket[R]] = {}
        self._above: _Bounds[R] = _Bounds()
        self._below: _Bounds[R] = _Bounds()

    @property
    def empty(self) -> bool:
        return not (self._equal or self._above.rules or self._below.rules)

    @property
    def gate(self) -> _Gate:
        least, most = self._reached
        if self._equal or self._name is None or (least < inf and most > -inf):
            return _OPEN
        return _Gate(self._name, -inf, most, nan) if least == inf else _Gate(self._name, least, inf, nan)

    @property
    def _reached(self) -> tuple[float, float]:
        """From where up, and from where down, numbers find any rule."""
        above, below = self._above.numbers, self._below.numbers
        return above[0] if above else inf, below[-1] if below else -inf

    def add(self, need: Need, rule: R) -> None:
        if need.side == "equal":
            bucket = self._equal.get(need.value)
            if bucket is None:
                bucket = self._equal[need.value] = _Bucket()
            bucket.add(rule, need.also)
        else:
            self._bounds(need).add(need.value, rule)

    def remove(self, need: Need, rule: R) -> None:
        if need.side != "equal":
            self._bounds(need).remove(need.value, rule)
            return
        bucket = self._equal[need.value]
        bucket.remove(rule, need.also)
        if bucket.index.empty:
            del self._equal[need.value]

    def _bounds(self, need: Need) -> _Bounds[R]:
        return self._above if need.side == "above" else self._below

    def find(self, event: Any) -> list[R]:
        value = self._read(event)
        kind = type(value)
        if kind is int or kind is float:
            return self._equal_to(value, event) + self._beyond(value)
        if value is None:  # nil comes before every number
            return self._below.rules
        beyond = self._above.rules + self._below.rules  # they cannot work with it, and are to say so
        return self._equal_to(value, event) + beyond if kind is str or kind is bool else beyond

    def _equal_to(self, value: Any, event: Any) -> list[R]:
        bucket = self._equal.get(value)
        return [] if bucket is None else bucket.index.find(event)

    def _beyond(self, value: float) -> list[R]:
        """Return the rules whose bound a number has passed."""
        above, below = self._above, self._below
        found = above.rules[: bisect_right(above.numbers, value)]
        return found + below.rules[bisect_left(below.numbers, value) :] if below.rules else found

    def find_all(self, events: Sequence[Any]) -> list[tuple[int, list[R]]]:
        """Return the rules that events find, with their indexes. Raises ``TypeError`` for unusual values."""
        name = self._name
        if name is None:
            return [(i, rules) for i, event in enumerate(events) if (rules := self.find(event))]
        found = self._all_equal(name, events) if self._equal else []
        least, most = self._reached
        if most > -inf:
            beyond = [
                (i, value)
                for i, event in enumerate(events)
                if (value := event.get(name, nan)) <= most or value >= least
            ]
        elif least < inf:
            beyond = [(i, value) for i, event in enumerate(events) if (value := event.get(name, nan)) >= least]
        else:
            return found
        return found + [(i, self._beyond(value)) for i, value in beyond]

    def _all_equal(self, name: str, events: Sequence[Any]) -> list[tuple[int, list[R]]]:
        get = self._equal.get
        hits = [
            (i, event, bucket.index)
            for i, event in enumerate(events)
            if (bucket := get(event.get(name))) is not None
            and bucket.least <= event.get(bucket.field, bucket.default) <= bucket.most
        ]
        return [(i, rules) for i, event, index in hits if (rules := index.find(event))]


def _reader(path: Path) -> Callable[[Any], Any]:
    if len(path) == 1:
        (name,) = path

        def read_field(event: Any) -> Any:
            return event.get(name) if type(event) is dict else None

        return read_field

    def read(event: Any) -> Any:
        for part in path:
            if type(event) is not dict:
                return None
            event = event.get(part)
        return event

    return read
