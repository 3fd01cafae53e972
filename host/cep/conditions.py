"""Conditions at run time: asked of an event, and where they want it of the partial match too.

Conditions of the same meaning are one object for all rules, so that an event is asked once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from itertools import count
from typing import Any, TypeAlias
from weakref import WeakValueDictionary

from trimtab.cep.errors import refused
from trimtab.cep.pattern import Condition, Expr, FunctionCall, Native, Partial
from trimtab.cep.runs import Run, by_stage, taken
from trimtab.expressions import Expression, ExpressionError
from trimtab.expressions.parser import parse
from trimtab.expressions.resolve import resolve
from trimtab.expressions.tree import Call, Field, Held, Literal, Node, rebuilt, walk
from trimtab.values import whole

Test: TypeAlias = Callable[[Any, Partial], bool]
Functions: TypeAlias = Callable[[FunctionCall], Test]
"""Finds the function of a script. Raises ``LookupError`` saying what there is in its place."""

_NOTHING: Any = object()
_OF_PARTIAL = {"first", "last", "all"}
"""Functions of expressions that look at the partial match: ``last('a')`` is the event that stage ``a`` took last."""


class Asked:
    """A condition that can be asked.

    ``number``: its identity. ``iterative``: it looks at the partial match, so that its answer is not that of the event
    alone. ``tree``: of an expression. ``ask(value, memo)`` for others, ``ask(value, run)`` for iterative ones;
    ``test(value)`` for others without a memo. None raises: what fails is false, and counted in ``errors``, but for a
    field that the event lacks.
    """

    __slots__ = (
        *("__weakref__", "_expression", "_failed", "_failed_with", "_last"),
        *("ask", "iterative", "number", "test", "tree"),
    )

    def __init__(self, number: int, *, iterative: bool, expression: Expression | None = None) -> None:
        self.number, self.iterative = number, iterative
        self.tree = None if expression is None else expression.tree
        self.ask: Callable[[Any, Any], bool] = lambda _value, _context: False
        self.test: Callable[[Any], bool] = lambda _value: False
        self._expression = expression
        self._failed = 0
        self._failed_with: Any = _NOTHING
        self._last: str | None = None

    @property
    def errors(self) -> int:
        """How many events it could not work with so far."""
        return self._failed if self._expression is None else self._expression.errors

    @property
    def last_error(self) -> str | None:
        """Why it could not work with the last of them."""
        return self._last if self._expression is None else self._expression.last_error

    @property
    def fields(self) -> set[str] | None:
        """The fields of events that it looks at; None: it looks at whole events."""
        if self.tree is None:
            return None
        paths = [node.path for node, _depth in walk(self.tree) if isinstance(node, Field)]
        names = {_field_of(path) for path in paths}
        return None if None in names else {name for name in names if name is not None}

    @property
    def text(self) -> str:
        """How it was written, where it is an expression."""
        return "" if self._expression is None else self._expression.source

    def failed(self, value: Any, why: str | None) -> None:
        """Count an event that it could not work with: once, however many partial matches it was asked for."""
        if value is not self._failed_with:
            self._failed += 1
        self._failed_with, self._last = value, why


def _field_of(path: tuple[Any, ...]) -> str | None:
    """Return the field of an event that a path begins with; None: the whole event."""
    first, *rest = path
    if not isinstance(first, Held):
        return str(first)
    return rest[0] if first.which != "all" and rest and isinstance(rest[0], str) else None


class Conditions:
    """The conditions of all rules of one place. ``now``: the clock behind ``now()``, ms since the epoch."""

    def __init__(self, now: Callable[[], int] | None = None) -> None:
        self._now = now
        self._numbers = count()
        self._known: WeakValueDictionary[str, Asked] = WeakValueDictionary()

    def ask(self, condition: Condition, parameters: Mapping[str, Any], functions: Functions | None, path: str) -> Asked:
        """Make a condition ready to be asked. Raises :class:`RuleError`, naming ``path``, for one that is refused."""
        match condition:
            case Expr(source, groovy):
                return self._expression(source, parameters, path, groovy=groovy)
            case Native(function):
                return self._function(function)
            case FunctionCall():
                return self._function(_found(condition, functions, path))
            case _:
                raise AssertionError("combined conditions are formulas")

    def _expression(self, source: str, parameters: Mapping[str, Any], path: str, *, groovy: bool) -> Asked:
        try:
            tree = _with_partial(resolve(_parsed(source), dict(parameters), source), source)
            known = self._known.get(key := repr(tree))
            if known is not None:
                return known
            iterative = any(isinstance(node, Field) and isinstance(node.path[0], Held) for node, _depth in walk(tree))
            expression = Expression(source, tree, now=self._now, held=_HELD if iterative else None, rows=True)
        except ExpressionError as error:
            wanted = "a GROOVY condition within the expression language" if groovy else "an expression"
            raise refused(path, wanted, f"{source!r}: {error}") from error
        except RecursionError:
            raise refused(path, "parameters that are nested less deeply", "more levels than can be read") from None
        asked = Asked(next(self._numbers), iterative=iterative, expression=expression)
        asked.test = expression.test
        asked.ask = expression.test if iterative else _ask_once(asked.number, expression.test)
        self._known[key] = asked
        return asked

    def _function(self, function: Test) -> Asked:
        asked = Asked(next(self._numbers), iterative=True)

        def ask(value: Any, run: Run | None) -> bool:
            try:
                return bool(function(whole(value), PartialEvents(run)))
            except Exception as error:  # noqa: BLE001 - user code: whatever it raises is false, counted and shown
                asked.failed(value, f"{type(error).__name__}: {error}")
                return False

        asked.ask = ask
        return asked


@lru_cache(maxsize=1024)
def _parsed(source: str) -> Node:
    """Many rules say the same of their later events; parsing is most of what a rule costs."""
    return parse(source)


def _found(condition: FunctionCall, functions: Functions | None, path: str) -> Test:
    if functions is None:
        raise refused(path, "a condition without a script's function, as there are no scripts here", condition.function)
    try:
        return functions(condition)
    except LookupError as error:
        raise refused(path, "a function of a script, such as checks.py:hotter", str(error)) from error


def _ask_once(number: int, test: Callable[[Any], bool]) -> Callable[[Any, Any], bool]:
    def ask(value: Any, memo: dict[int, bool]) -> bool:
        answer = memo[number] = test(value)
        return answer

    return ask


def _last(run: Run | None, stage: str) -> Any:
    path = None if run is None else run.path
    while path is not None:
        if path.stage == stage:
            return path.event.value
        path = path.previous
    raise KeyError(stage)


def _all(run: Run | None, stage: str) -> list[Any]:
    return [each.event.whole for each in taken(None if run is None else run.path) if each.stage == stage][::-1]


def _first(run: Run | None, stage: str) -> Any:
    events = [each.event for each in taken(None if run is None else run.path) if each.stage == stage]
    if not events:
        raise KeyError(stage)
    return events[-1].value


_HELD: dict[str, Callable[[Any, str], Any]] = {"first": _first, "last": _last, "all": _all}


class PartialEvents(dict[str, list[Any]]):
    """What each stage of a partial match has taken; [] for a stage that has taken nothing."""

    def __init__(self, run: Run | None) -> None:
        events = by_stage(None if run is None else run.path)
        super().__init__({stage: [event.whole for event in several] for stage, several in events.items()})

    def __missing__(self, stage: str) -> list[Any]:
        return []


def _with_partial(node: Node, source: str) -> Node:
    """Put a path that reads the partial match in the place of ``first``, ``last`` and ``all`` of a stage.

    Raises :class:`ExpressionError` where these are not called with the name of a stage.
    """

    def replace(node: Node) -> Node:
        if not (isinstance(node, Call) and node.name in _OF_PARTIAL):
            return rebuilt(node, replace)
        match node.arguments:
            case (Literal(str() as stage),):
                return Field((Held(node.name, stage),), node.start)
        message = f"expected the name of a stage in quotes for {node.name}, got something else"
        raise ExpressionError(message, source, node.start)

    return replace(node)
