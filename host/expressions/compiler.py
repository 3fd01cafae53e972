"""From the tree of an expression to a Python function: a code object, built from a syntax tree, compiled once.

All fields are read before anything is computed: a missing one makes the whole condition false, also behind ``||``.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import lru_cache
from types import CodeType
from typing import Any

from trimtab.expressions.emitter import Emitter, held_name, slot_name
from trimtab.expressions.errors import EvaluationError, ExpressionError, MissingField
from trimtab.expressions.operators import describe, item
from trimtab.expressions.templates import Template, slotted
from trimtab.expressions.tree import Held, Node

Clock = Callable[[], int] | None
HeldReader = Callable[[Any, str], Any]
"""Reads what a partial match holds of a stage. Raises ``KeyError`` where that is nothing."""

# What is around the code of an expression; LOADS and RESULT stand for its own nodes. A failed look-up is a KeyError
# or, where there is no object to look into, a TypeError.
_TEST = """
def function(event, run=None):
    try:
        LOADS
    except lookup_errors:
        return False
    except unread:
        return read_whole(event, run)
    try:
        return RESULT
    except missing:
        return False
    except failures as failure:
        record(failure, event)
        return False
"""
_VALUE = """
def function(event):
    try:
        LOADS
    except lookup_errors:
        raise absent(event) from None
    return RESULT
"""


def compile_test(
    node: Node,
    source: str,
    now: Clock,
    record: Callable[[Exception, Any], None],
    held: Mapping[str, HeldReader],
    *,
    rows: bool,
) -> Callable[..., bool]:
    """Compile a tree whose parameters are resolved to a function that tells whether it is true of an event.

    The function's second argument is the partial match that ``held`` reads, by :attr:`Held.which`. ``rows``: events may
    be :class:`~trimtab.values.Row`. ``record`` is told of every event that the function could not work with. Raises
    :class:`~trimtab.expressions.ExpressionError` for unknown functions, wrong patterns and the like.
    """
    names = {
        "missing": MissingField,
        "failures": (EvaluationError, RecursionError),
        "record": record,
        "unread": (),
        **{held_name(which): read for which, read in held.items()},
    }
    test = _Test(node, source, now, names)
    return test.compile(rows=True, unread=AttributeError, read_whole=test) if rows else test.compile(rows=False)


class _Test:
    """Makes the functions of a test. Called, it asks one that takes rows for events like all others."""

    __slots__ = ("_function", "_names", "_node", "_now", "_source")

    def __init__(self, node: Node, source: str, now: Clock, names: dict[str, Any]) -> None:
        self._node, self._source, self._now, self._names = node, source, now, names
        self._function: Callable[..., bool] | None = None

    def __call__(self, event: Any, run: Any) -> bool:
        if self._function is None:
            self._function = self.compile(rows=False)
        return self._function(event, run)

    def compile(self, *, rows: bool, **more: Any) -> Callable[..., bool]:
        shared = slotted(self._node)
        if shared is not None:
            with suppress(ExpressionError):  # what it says must be said of this source
                code, constants = _shared_test(shared[0], rows)
                slots = {slot_name(number): value for number, value in enumerate(shared[1])}
                return _run(code, {**self._names, **constants, **slots, **more})
        emitter = Emitter(self._source, self._now, rows=rows)
        result = emitter.boolean(self._node)
        return _run(_code(_TEST, result, emitter.checked_loads), {**self._names, **emitter.names, **more})


def compile_value(node: Node, source: str, now: Clock) -> Callable[[Any], Any]:
    """Compile a tree to a function that returns its value for an event."""
    emitter = Emitter(source, now)
    result = emitter.emit(node).node
    paths = list(emitter.paths)
    names = {"absent": lambda event: _absent(event, paths), **emitter.names}
    return _run(_code(_VALUE, result, emitter.loads), names)


@lru_cache(maxsize=4096)
def _shared_test(template: Template, rows: bool) -> tuple[CodeType, dict[str, Any]]:
    """Return the code of a tree with slots, and its globals but for what belongs into these."""
    emitter = Emitter("", None, rows=rows)
    result = emitter.boolean(template.node)
    return _code(_TEST, result, emitter.checked_loads), emitter.names


def _code(frame: str, result: ast.expr, loads: list[ast.stmt]) -> CodeType:
    module = _Filler(result, loads).visit(ast.parse(frame))
    return compile(ast.fix_missing_locations(module), "<expression>", "exec")


def _run(code: CodeType, names: dict[str, Any]) -> Callable[[Any], Any]:
    namespace = {"__builtins__": {}, "lookup_errors": (KeyError, TypeError, MissingField), **names}
    exec(code, namespace)  # noqa: S102 - the code of our own tree: no text of a user is evaluated
    function: Callable[[Any], Any] = namespace.pop("function")
    return function


class _Filler(ast.NodeTransformer):
    """Puts the code of an expression into a frame."""

    def __init__(self, result: ast.expr, loads: list[ast.stmt]) -> None:
        self._result = result
        self._loads = loads or [ast.Pass()]

    def visit_Expr(self, node: ast.Expr) -> Any:
        is_mark = isinstance(node.value, ast.Name) and node.value.id == "LOADS"
        return self._loads if is_mark else node

    def visit_Name(self, node: ast.Name) -> ast.expr:
        return self._result if node.id == "RESULT" else node


def _absent(event: Any, paths: list[tuple[str | int | Held, ...]]) -> MissingField:
    for path in paths:
        value = event
        try:
            for part in path:
                value = item(value, part)
        except MissingField:
            shown = "".join(f"[{part}]" if type(part) is int else f".{part}" for part in path).lstrip(".")
            return MissingField(f"expected an event with {shown}, got {describe(event)} without it")
    raise AssertionError("no field is missing")
