"""From the tree of an expression to the Python syntax tree of what computes it.

Comparisons of fields with literals become Python comparisons behind a check of the type, which is what makes common
conditions fast; everything else calls the operators.
"""

from __future__ import annotations

import ast
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from trimtab.expressions import operators
from trimtab.expressions.errors import ExpressionError
from trimtab.expressions.functions import FUNCTIONS, Function, suggestion
from trimtab.expressions.jsonpath import PathError, parse_path
from trimtab.expressions.regex import PatternError, matcher
from trimtab.expressions.tree import (
    Binary,
    Call,
    Comparison,
    Conditional,
    Field,
    Held,
    Index,
    Kind,
    Literal,
    Logical,
    Match,
    Node,
    Slot,
    Unary,
)
from trimtab.values import FIELD, MISSING, whole

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
_KINDS: dict[type, Kind] = {int: "number", float: "number", str: "string", bool: "boolean"}


@dataclass(frozen=True, slots=True)
class Code:
    """A Python expression, the kind of its value where that is known, and whether it may stand twice.

    ``plain``: its value is a string, or a number that Python does not take for true or false.
    """

    node: ast.expr
    kind: Kind | None = None
    simple: bool = False
    plain: bool = False


class Emitter:
    """Emits the code of one expression, and collects what the code needs.

    ``rows``: events may be rows. The code takes their attributes, and raises ``AttributeError`` for what has none.
    """

    def __init__(self, source: str, now: Callable[[], int] | None, *, rows: bool = False) -> None:
        self.names: dict[str, Any] = {}
        """The globals of the code."""
        self.loads: list[ast.stmt] = []
        """Statements that read the fields, from ``event`` and the partial match ``run``, into locals."""
        self.paths: dict[tuple[str | int | Held, ...], str] = {(): "event"}
        """The local of each path that is read."""
        self._source = source
        self._now = now
        self._rows = rows
        self._of_rows: list[str] = []
        """Locals that may be ``MISSING``."""

    def emit(self, node: Node) -> Code:
        """Return the code of a node. Raises :class:`ExpressionError` for what cannot be right."""
        match node:
            case Literal(value):
                return self._literal(value)
            case Slot(number, kind):
                return Code(_name(slot_name(number)), kind, simple=True, plain=True)
            case Field((Held(),) as path):
                return Code(self.call(whole, Code(_name(self._load(path)))))
            case Field(path):
                return Code(_name(self._load(path)), simple=True)
            case Index(target, index):
                return Code(self.call(operators.item, self.emit(target), self.emit(index)))
            case Call():
                return self._function(node)
            case Match(subject, pattern, start):
                return Code(self.call(self._matcher(pattern, start), self.emit(subject)), "boolean")
            case _:
                return self._operation(node)

    def _operation(self, node: Unary | Binary | Comparison | Logical | Conditional) -> Code:
        match node:
            case Unary("!", operand):
                return Code(ast.UnaryOp(ast.Not(), self.boolean(operand)), "boolean")
            case Unary(_, operand):
                return Code(self.call(operators.negate, self.emit(operand)), "number")
            case Binary(operator, left, right):
                return self._arithmetic(operator, self.emit(left), self.emit(right))
            case Comparison(operator, left, right):
                return Code(self._comparison(operator, self.emit(left), self.emit(right)), "boolean")
            case Logical(operator, operands):
                joined = ast.And() if operator == "&&" else ast.Or()
                return Code(ast.BoolOp(joined, [self.boolean(operand) for operand in operands]), "boolean")
            case Conditional(condition, then, otherwise):
                first, second = self.emit(then), self.emit(otherwise)
                kind = first.kind if first.kind == second.kind else None
                return Code(ast.IfExp(self.boolean(condition), first.node, second.node), kind)

    @property
    def checked_loads(self) -> list[ast.stmt]:
        """The loads, and the end where a row lacks a field: then the whole expression is false."""
        if not self._of_rows:
            return self.loads
        missing = self._constant(MISSING)
        lacks: list[ast.expr] = [ast.Compare(_name(local), [ast.Is()], [missing]) for local in self._of_rows]
        test = lacks[0] if len(lacks) == 1 else ast.BoolOp(ast.Or(), lacks)
        return [*self.loads, ast.If(test, [ast.Return(ast.Constant(value=False))], [])]

    def boolean(self, node: Node) -> ast.expr:
        """Return the code of a node that must give true or false."""
        code = self.emit(node)
        return code.node if code.kind == "boolean" else self.call(operators.boolean, code)

    def call(self, function: Callable[..., Any], *arguments: Code) -> ast.expr:
        """Return the code of a call."""
        return ast.Call(self._constant(function), [argument.node for argument in arguments], [])

    def _constant(self, value: Any) -> ast.expr:
        for name, known in self.names.items():
            if known is value:
                return _name(name)
        name = f"constant{len(self.names)}"
        self.names[name] = value
        return _name(name)

    def _literal(self, value: Any) -> Code:
        if value is None or type(value) in _KINDS:
            return Code(ast.Constant(value), _KINDS.get(type(value)), simple=True)
        return Code(self._constant(value), simple=True)

    def _load(self, path: tuple[str | int | Held, ...]) -> str:
        if path not in self.paths:
            *parents, last = path
            if isinstance(last, Held):
                read: ast.expr = ast.Call(_name(held_name(last.which)), [_name("run"), ast.Constant(last.stage)], [])
            elif type(last) is int:
                read = self.call(operators.item, Code(_name(self._load(tuple(parents)))), Code(ast.Constant(last)))
            else:
                target = _name(self._load(tuple(parents)))
                read = ast.Subscript(target, ast.Constant(last), ast.Load())
                if self._rows and (not parents or isinstance(parents[-1], Held)):
                    self._of_rows.append(f"field{len(self.loads)}")
                    attribute = ast.Attribute(target, f"{FIELD}{last}", ast.Load())
                    read = ast.IfExp(self._is(Code(target), dict), read, attribute)
            local = self.paths[path] = f"field{len(self.loads)}"
            self.loads.append(ast.Assign([ast.Name(local, ast.Store())], read))
        return self.paths[path]

    def _arithmetic(self, operator: str, left: Code, right: Code) -> Code:
        kind: Kind | None = "number"
        if operator == "+" and not left.kind == right.kind == "number":
            kind = "string" if "string" in (left.kind, right.kind) else None
        return Code(self.call(_ARITHMETIC[operator], left, right), kind)

    def _comparison(self, operator: str, left: Code, right: Code) -> ast.expr:
        function, sign = _COMPARISONS[operator]
        direct = ast.Compare(left.node, [sign()], [right.node])
        if operator in ("==", "!="):
            return direct if _python_equality(left, right) else self.call(function, left, right)
        if left.kind is not None and left.kind == right.kind:
            return direct
        if not (left.simple and right.simple):
            return self.call(function, left, right)
        unknown, known = (left, right.kind) if left.kind is None else (right, left.kind)
        if known == "number":
            guard = self._is_number(unknown)
        elif known == "string":
            guard = self._is(unknown, str)
        elif known is None:
            guard = ast.BoolOp(ast.And(), [self._is_number(left), self._is_number(right)])
        else:
            return self.call(function, left, right)
        return ast.IfExp(guard, direct, self.call(function, left, right))

    def _is_number(self, code: Code) -> ast.expr:
        return ast.BoolOp(ast.Or(), [self._is(code, float), self._is(code, int)])

    def _is(self, code: Code, kind: type) -> ast.expr:
        return ast.Compare(self.call(type, code), [ast.Is()], [self._constant(kind)])

    def _matcher(self, pattern: Node, start: int) -> Callable[[Any], bool]:
        if not (isinstance(pattern, Literal) and type(pattern.value) is str):
            raise self._error("expected a pattern such as /a.*/ or a string after =~, got something computed", start)
        try:
            return matcher(pattern.value)
        except PatternError as error:
            raise self._error(str(error), start) from None

    def _function(self, node: Call) -> Code:
        if node.name == "now":
            function = Function(self._clock(node), 0, 0, "number")
        elif node.name in FUNCTIONS:
            function = FUNCTIONS[node.name]
        else:
            raise self._error(f"expected a known function, got {node.name}; {suggestion(node.name)}", node.start)
        count = len(node.arguments)
        if not function.least <= count <= function.most:
            wanted = f"{function.least} to {function.most}" if function.least < function.most else f"{function.least}"
            raise self._error(f"expected {wanted} argument(s) for {node.name}, got {count}", node.start)
        if node.name == "jsonpath":
            self._check_path(node)
        return Code(self.call(function.call, *map(self.emit, node.arguments)), function.result)

    def _clock(self, node: Call) -> Callable[[], int]:
        if self._now is None:
            raise self._error("expected an expression without now(): there is no clock here", node.start)
        return self._now

    def _check_path(self, node: Call) -> None:
        path = node.arguments[1]
        try:
            if isinstance(path, Literal) and type(path.value) is str:
                parse_path(path.value)
        except PathError as error:
            raise self._error(str(error), node.start) from None

    def _error(self, message: str, start: int) -> ExpressionError:
        return ExpressionError(message, self._source, start)


def slot_name(number: int) -> str:
    """Return the global under which the code finds what belongs into a slot."""
    return f"slot{number}"


def held_name(which: str) -> str:
    """Return the global under which the code finds what reads a partial match."""
    return f"held_{which}"


def _name(name: str) -> ast.expr:
    return ast.Name(name, ast.Load())


def _python_equality(left: Code, right: Code) -> bool:
    """Tell whether Python's ``==`` does the same: it takes True for 1 and False for 0."""
    if (
        left.plain
        or right.plain
        or "string" in (left.kind, right.kind)
        or (left.kind is not None and left.kind == right.kind)
    ):
        return True
    values = [code.node.value for code in (left, right) if isinstance(code.node, ast.Constant)]
    return any(value is None or (type(value) is not bool and value not in (0, 1)) for value in values)
