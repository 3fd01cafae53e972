"""Puts the values of parameters in the place of their names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trimtab.expressions.errors import ExpressionError
from trimtab.expressions.tree import (
    Binary,
    Call,
    Comparison,
    Conditional,
    Field,
    Index,
    Literal,
    Logical,
    Match,
    Node,
    Unary,
    subscript,
)


def resolve(node: Node, parameters: Mapping[str, Any], source: str) -> Node:
    """Return the tree with parameters replaced. A name that is a parameter never means a field of the event.

    Raises :class:`ExpressionError` where a path leads to nothing within its parameter.
    """

    def replaced(node: Node) -> Node:
        match node:
            case Literal():
                return node
            case Field(path, start):
                return _parameter(node, parameters, source) if path[0] in parameters else node
            case Index(target, index):
                return subscript(replaced(target), replaced(index))
            case Call(name, arguments, start):
                return Call(name, tuple(map(replaced, arguments)), start)
            case Unary(operator, operand):
                return Unary(operator, replaced(operand))
            case Binary(operator, left, right):
                return Binary(operator, replaced(left), replaced(right))
            case Comparison(operator, left, right):
                return Comparison(operator, replaced(left), replaced(right))
            case Match(subject, pattern, start):
                return Match(replaced(subject), replaced(pattern), start)
            case Logical(operator, operands):
                return Logical(operator, tuple(map(replaced, operands)))
            case Conditional(condition, then, otherwise):
                return Conditional(replaced(condition), replaced(then), replaced(otherwise))

    return replaced(node) if parameters else node


def _parameter(node: Field, parameters: Mapping[str, Any], source: str) -> Literal:
    value: Any = parameters
    for depth, part in enumerate(node.path):
        try:
            if not isinstance(value, Mapping if type(part) is str else list):
                raise KeyError(part)
            value = value[part]
        except (KeyError, IndexError):
            raise ExpressionError(
                f"expected a path within the parameter {node.path[0]}, got {part!r} (part {depth + 1}), which it lacks",
                source,
                node.start,
            ) from None
    return Literal(value)
