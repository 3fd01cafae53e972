"""From the tree of an expression to Python code: one code object, compiled once, never text that is evaluated.

All fields are read before anything is computed: a missing one makes the whole condition false, also behind ``||``.
Comparisons with a literal become Python comparisons behind a check of the type; the rest calls the operators.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple, NoReturn

from trimtab.expressions import operators
from trimtab.expressions.errors import EvaluationError, ExpressionError, MissingField
from trimtab.expressions.functions import FUNCTIONS, Function, Kind, suggestion
from trimtab.expressions.jsonpath import PathError, parse_path
from trimtab.expressions.patterns import PatternError
from trimtab.expressions.regex import matcher
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
)

_ARITHMETIC: dict[str, Callable[[Any, Any], Any]] = {
    "+": operators.add,
    "-": operators.subtract,
    "*": operators.multiply,
    "/": operators.divide,
    "%": operators.modulo,
}
_COMPARISONS: dict[str, tuple[Callable[[Any, Any], bool], type[ast.cmpop]]] = {
    "==": (operators.equal, ast.Eq),
    "!=": (operators.unequal, ast.NotEq),
    "<": (operators.less, ast.Lt),
    "<=": (operators.less_equal, ast.LtE),
    ">": (operators.greater, ast.Gt),
    ">=": (operators.greater_equal, ast.GtE),
}
# The frame of what is compiled; LOADS and RESULT stand for the expression's own nodes.
_FRAME = """
def test(event):
    try:
        LOADS
    except lookup_errors:
        return False
    try:
        return RESULT
    except missing:
        return False
    except failures as failure:
        record(failure)
        return False

def value(event):
    try:
        LOADS
    except lookup_errors:
        raise missing from None
    return RESULT
"""


class Compiled(NamedTuple):
    """The two functions of an expression."""

    test: Callable[[Any], bool]
    value: Callable[[Any], Any]
