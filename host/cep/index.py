"""What an event must have to begin a match of a rule, as far as it can be looked up.

Of what must be true of a first event, one or two parts are looked up: a field that equals a value, one that is above or
below a number. The rest is asked of the rules that the look-up finds. See :mod:`trimtab.cep.lookups`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

from trimtab.cep.conditions import Asked
from trimtab.cep.formulas import And, Atom, Formula, Or
from trimtab.cep.pattern import Condition
from trimtab.expressions.tree import Comparison, Field, Logical, Node
from trimtab.expressions.tree import Literal as Constant

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
    """What must be true of a field for an event to be looked at, and ``also`` of another one."""

    path: Path
    side: Literal["equal", "above", "below"]
    value: Any
    also: Need | None = None


def needs(formula: Formula, asked: Mapping[Condition, Asked]) -> tuple[Need, ...] | None:
    """Return needs of which at least one is met by every event that a formula is true of; None: none are known."""
    match formula:
        case And(parts):
            return _all_of(needs(part, asked) for part in parts)
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
            return _all_of(map(_needs_of, operands))
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


def _all_of(several: Iterator[tuple[Need, ...] | None]) -> tuple[Need, ...] | None:
    """Look up what finds the fewest rules, and among these another part, if it is a single one."""
    known = sorted((each for each in several if each is not None), key=_cost)
    if not known:
        return None
    others = [need for each in known[1:] if len(each) == 1 for need in each]
    return tuple(_with(need, others) for need in known[0])


def _cost(alternatives: tuple[Need, ...]) -> int:
    return sum(_COSTS[need.side] for need in alternatives)


def _with(need: Need, others: list[Need]) -> Need:
    if need.also is not None or not others:
        return need
    return replace(need, also=replace(others[0], also=None))


def _any_of(several: Iterator[tuple[Need, ...] | None]) -> tuple[Need, ...] | None:
    joined: list[Need] = []
    for each in several:
        if each is None:
            return None
        joined += each
    return tuple(joined)
