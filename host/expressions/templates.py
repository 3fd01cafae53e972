"""Expressions that differ in numbers and strings only have the same code, with these put in: it is made once.

Thousands of rules differ in little else, and making code takes five times as long as all the rest.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from trimtab.expressions.tree import Call, Comparison, Literal, Match, Node, Slot, rebuilt


class _NotShared(Exception):
    """Something in the expression stands in its code as it is."""


@dataclass(frozen=True, slots=True)
class Template:
    """A tree with slots. ``text`` tells it from others: 1, 1.0 and true are equal to Python, and not the same."""

    text: str
    node: Node = field(compare=False)


def slotted(node: Node) -> tuple[Template, list[Any]] | None:
    """Return the tree with slots in the place of what fields are compared with, and what belongs into these.

    None: its code is its own.
    """
    values: list[Any] = []

    def replace(part: Node) -> Node:
        if isinstance(part, Match) or (isinstance(part, Call) and part.name == "now"):
            raise _NotShared
        if isinstance(part, Comparison):
            return Comparison(part.operator, side(part.left), side(part.right))
        return rebuilt(part, replace)

    def side(part: Node) -> Node:
        if not isinstance(part, Literal):
            return replace(part)
        value = part.value
        # 0 and 1 are compared otherwise: Python takes them for false and true.
        if type(value) is str or (type(value) in (int, float) and value not in (0, 1)):
            values.append(value)
            return Slot(len(values) - 1, "string" if type(value) is str else "number")
        return part

    try:
        made = replace(node)
    except _NotShared:
        return None
    return Template(repr(made), made), values
