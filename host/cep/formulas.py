"""Conditions of transitions: boolean formulas over the conditions of stages, simplified where they are made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from trimtab.cep.pattern import Combined, Condition


@dataclass(frozen=True, slots=True)
class Atom:
    """A condition that is asked as a whole."""

    condition: Condition


@dataclass(frozen=True, slots=True)
class Not:
    """The opposite of a formula."""

    part: Formula


@dataclass(frozen=True, slots=True)
class And:
    """All of some formulas; of none: always."""

    parts: tuple[Formula, ...]


@dataclass(frozen=True, slots=True)
class Or:
    """At least one of some formulas; of none: never."""

    parts: tuple[Formula, ...]


Formula: TypeAlias = Atom | Not | And | Or

ALWAYS = And(())
NEVER = Or(())


def negated(formula: Formula) -> Formula:
    """Return the opposite."""
    match formula:
        case And(()):
            return NEVER
        case Or(()):
            return ALWAYS
        case Not(part):
            return part
        case _:
            return Not(formula)


def both(*formulas: Formula) -> Formula:
    """Return the conjunction."""
    if NEVER in formulas:
        return NEVER
    parts: list[Formula] = []
    for formula in formulas:
        parts.extend(formula.parts if isinstance(formula, And) else [formula])
    parts = list(dict.fromkeys(parts))
    return parts[0] if len(parts) == 1 else And(tuple(parts))


def either(*formulas: Formula) -> Formula:
    """Return the disjunction."""
    if ALWAYS in formulas:
        return ALWAYS
    parts: list[Formula] = []
    for formula in formulas:
        parts.extend(formula.parts if isinstance(formula, Or) else [formula])
    parts = list(dict.fromkeys(parts))
    return parts[0] if len(parts) == 1 else Or(tuple(parts))


def of_condition(condition: Condition | None) -> Formula:
    """Return the formula of a stage's condition; None takes every event."""
    if condition is None:
        return ALWAYS
    if not isinstance(condition, Combined):
        return Atom(condition)
    parts = [of_condition(part) for part in condition.parts]
    if condition.how == "not":
        return negated(parts[0])
    return both(*parts) if condition.how == "and" else either(*parts)
