"""Puts the values of parameters in the place of their names."""

from __future__ import annotations

from typing import Any

from trimtab.expressions.errors import ExpressionError, MissingField
from trimtab.expressions.operators import item
from trimtab.expressions.tree import Field, Literal, Node, rebuilt


def resolve(node: Node, parameters: dict[str, Any], source: str) -> Node:
    """Return the tree with parameters replaced. A name that is a parameter never means a field of the event.

    Raises :class:`ExpressionError` where a path leads to nothing within its parameter.
    """

    def replace(node: Node) -> Node:
        if isinstance(node, Field) and node.path[0] in parameters:
            return _parameter(node, parameters, source)
        return rebuilt(node, replace)

    return replace(node) if parameters else node


def _parameter(node: Field, parameters: dict[str, Any], source: str) -> Literal:
    value: Any = parameters
    try:
        for part in node.path:
            value = item(value, part)
    except MissingField as error:
        message = f"expected a path within the parameter {node.path[0]}: {error}"
        raise ExpressionError(message, source, node.start) from None
    return Literal(value)
