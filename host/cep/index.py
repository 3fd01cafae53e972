"""Finds the rules that an event may begin a match of, at a cost that depends on these, not on all rules.

Of what must be true of a first event, one part is looked up: a field that equals a value, or that is above or below a
number. The rest is asked of the rules that the look-up finds.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeAlias, TypeVar

from trimtab.cep.conditions import Asked
from trimtab.cep.formulas import And, Atom, Formula, Or
from trimtab.cep.pattern import Condition
from trimtab.expressions.tree import Comparison, Field, Logical, Node
from trimtab.expressions.tree import Literal as Constant

R = TypeVar("R")
Path: TypeAlias = tuple[str, ...]
_MIRRORED = {"==": "==", "<": ">", "<=": ">=", ">": "<", ">=": "<="}
_SIDES: dict[str, Literal["equal", "above", "below"]] = {
    "==": "equal",
    ">": "above",
    ">=": "above",
    "<": "below",
    "<=": "below",
}
_COSTS = {"equal": 1, "above": 100, "below": 100}
"""How many of the rules of a look-up an event is expected to find, from experience: equality finds few."""


@dataclass(frozen=True, slots=True)
class Need:
    """What must be true of a field for an event to be looked at."""

    path: Path
    side: Literal["equal", "above", "below"]
    value: Any


def needs(formula: Formula, asked: Mapping[Condition, Asked]) -> tuple[Need, ...] | None:
    """Return needs of which at least one is met by every event that a formula is true of; None: none are known."""
    match formula:
        case And(parts):
            return _cheapest(needs(part, asked) for part in parts)
        case Or(parts):
            return _any_of(needs(part, asked) for part in parts)
        case Atom(condition):
            tree = asked[condition].tree
            return None if tree is None else _needs_of(tree)
        case _:
            return None


def _needs_of(node: Node) -> tuple[Need, ...] | None:
    match node:
        case Logical("&&", operands):
            return _cheapest(map(_needs_of, operands))
        case Logical("||", operands):
            return _any_of(map(_needs_of, operands))
        case Comparison(operator, Field(path), Constant(value)):
            return _need(operator, path, value)
        case Comparison(operator, Constant(value), Field(path)):
            return _need(_MIRRORED.get(operator, operator), path, value)
        case _:
            return None


def _need(operator: str, path: tuple[Any, ...], value: Any) -> tuple[Need, ...] | None:
    side = _SIDES.get(operator)
    is_number = type(value) in (int, float) and value == value
    if side is None or not all(type(part) is str for part in path):
        return None
    if side == "equal":
        return (Need(path, side, value),) if is_number or type(value) in (str, bool) else None
    return (Need(path, side, value),) if is_number else None


def _cheapest(several: Iterator[tuple[Need, ...] | None]) -> tuple[Need, ...] | None:
    known = [each for each in several if each is not None]
    return min(known, key=lambda each: sum(_COSTS[need.side] for need in each), default=None)


def _any_of(several: Iterator[tuple[Need, ...] | None]) -> tuple[Need, ...] | None:
    joined: list[Need] = []
    for each in several:
        if each is None:
            return None
        joined += each
    return tuple(joined)


class Index(Generic[R]):
    """Rules by what their first events need."""

    def __init__(self) -> None:
        self._always: list[R] = []
        self._fields: dict[Path, _FieldIndex[R]] = {}
        self._lookups: list[_FieldIndex[R]] = []

    def add(self, rule: R, wanted: tuple[Need, ...] | None) -> None:
        """Add a rule; without needs it is found by every event."""
        if wanted is None:
            self._always.append(rule)
            return
        for need in wanted:
            if need.path not in self._fields:
                self._fields[need.path] = _FieldIndex(need.path)
                self._lookups.append(self._fields[need.path])
            self._fields[need.path].add(need, rule)

    def remove(self, rule: R, wanted: tuple[Need, ...] | None) -> None:
        """Remove a rule that was added with these needs."""
        if wanted is None:
            self._always.remove(rule)
            return
        for need in wanted:
            field = self._fields[need.path]
            field.remove(need, rule)
            if field.empty:
                del self._fields[need.path]
                self._lookups.remove(field)

    @property
    def empty(self) -> bool:
        """Whether there is no rule."""
        return not self._always and not self._lookups

    def find(self, event: Any) -> list[R]:
        """Return the rules that an event may begin a match of. One that has several needs may be there twice."""
        found = self._always
        for lookup in self._lookups:
            hits = lookup.find(event)
            if hits:
                found = found + hits
        return found


class _FieldIndex(Generic[R]):
    """Rules whose first events need something of one field."""

    def __init__(self, path: Path) -> None:
        self._read: Callable[[Any], Any] = _reader(path)
        self._equal: dict[Any, list[R]] = {}
        self._above: list[tuple[float, int, R]] = []
        self._below: list[tuple[float, int, R]] = []

    @property
    def empty(self) -> bool:
        return not (self._equal or self._above or self._below)

    def add(self, need: Need, rule: R) -> None:
        if need.side == "equal":
            self._equal.setdefault(need.value, []).append(rule)
        else:
            insort(self._above if need.side == "above" else self._below, (need.value, id(rule), rule), key=_bound)

    def remove(self, need: Need, rule: R) -> None:
        if need.side == "equal":
            self._equal[need.value].remove(rule)
            if not self._equal[need.value]:
                del self._equal[need.value]
        else:
            bounds = self._above if need.side == "above" else self._below
            at = bisect_left(bounds, (need.value, id(rule)), key=_bound)
            del bounds[at]

    def find(self, event: Any) -> list[R] | None:
        value = self._read(event)
        kind = type(value)
        if kind is int or kind is float:
            above, below = self._above, self._below
            found = self._equal.get(value) if self._equal else None
            if above and above[0][0] <= value:
                hits = [each[2] for each in above[: bisect_right(above, value, key=_value)]]
                found = found + hits if found else hits
            if below and below[-1][0] >= value:
                hits = [each[2] for each in below[bisect_left(below, value, key=_value) :]]
                found = found + hits if found else hits
            return found
        if value is None:  # nil comes before every number
            return [each[2] for each in self._below]
        return self._equal.get(value) if kind is str or kind is bool else None


def _bound(each: tuple[float, int, Any]) -> tuple[float, int]:
    return each[:2]


def _value(each: tuple[float, int, Any]) -> float:
    return each[0]


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
