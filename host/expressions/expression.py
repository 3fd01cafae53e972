"""What the rest of the program sees of an expression."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from trimtab.expressions.compiler import HeldReader, compile_test, compile_value
from trimtab.expressions.errors import EvaluationError
from trimtab.expressions.resolve import resolve
from trimtab.expressions.tree import Field, Node, walk


class Expression:
    """A compiled expression over events. Made by :func:`compile_expression`; for use by one thread."""

    __slots__ = ("_failures", "_now", "_value", "fields", "source", "test", "tree")

    def __init__(
        self,
        source: str,
        tree: Node,
        *,
        now: Callable[[], int] | None,
        held: Mapping[str, HeldReader] | None = None,
        rows: bool = False,
    ) -> None:
        self._failures = _Failures() if held is None else _FailuresByEvent()
        self._now = now
        self._value: Callable[[Any], Any] | None = None
        self.source = source
        """The text it was compiled from."""
        self.tree = tree
        """Its syntax tree, with the values of parameters in the place of their names."""
        self.fields = frozenset(_names(node) for node, _ in walk(tree) if isinstance(node, Field))
        """The paths that it reads from an event, each up to the first index: ``a.b[0].c`` reads ``("a", "b")``."""
        self.test: Callable[..., bool] = compile_test(tree, source, now, self._failures.record, held or {}, rows=rows)
        """Tell whether it is true of an event, which may be any JSON value; it is only looked at.

        Where the tree has :class:`~trimtab.expressions.tree.Held`, ``held`` reads that in a second argument.
        With ``rows`` events may be :class:`~trimtab.values.Row` too.

        Never raises for what an event holds: where a field is missing or a type does not fit, the answer is False,
        as it is where the result is no boolean. All but missing fields is counted in :attr:`errors`.
        """

    @property
    def errors(self) -> int:
        """How many events :attr:`test` could not work with so far, missing fields aside."""
        return self._failures.count

    @property
    def last_error(self) -> str | None:
        """Why it could not work with the last of them."""
        return self._failures.last

    def value(self, event: Any) -> Any:
        """Return its value for an event.

        Raises :class:`MissingField` if the event lacks a field, :class:`EvaluationError` if a type does not fit.
        """
        if self._value is None:
            self._value = compile_value(self.tree, self.source, self._now)
        try:
            return self._value(event)
        except RecursionError:
            raise _too_deep() from None

    def __repr__(self) -> str:
        return f"Expression({self.source!r})"


def compile_expression(
    source: str, *, parameters: Mapping[str, Any] | None = None, now: Callable[[], int] | None = None
) -> Expression:
    """Check and compile an expression.

    ``parameters``: names that stand for fixed JSON values; they come before the fields of events. Their values are
    taken now and must not change later.
    ``now``: the clock behind ``now()``, in ms since the epoch; without one, ``now()`` is refused.
    Raises :class:`ExpressionError` with the place and the reason.
    """
    # Only here: a process that compiles no expression does not load the parser library.
    from trimtab.expressions.parser import parse

    return Expression(source, resolve(parse(source), dict(parameters or {}), source), now=now)


class _Failures:
    """Counts the events that an expression could not work with. Apart, so that its code holds no reference cycle."""

    __slots__ = ("count", "last")

    def __init__(self) -> None:
        self.count = 0
        self.last: str | None = None

    def record(self, error: Exception, _event: Any) -> None:
        self.count += 1
        self.last = str(_too_deep() if isinstance(error, RecursionError) else error)


class _FailuresByEvent(_Failures):
    """Counts an event once, for however many partial matches in a row it was asked about."""

    __slots__ = ("_event",)

    def __init__(self) -> None:
        super().__init__()
        self._event: Any = self

    def record(self, error: Exception, event: Any) -> None:
        if event is not self._event:
            super().record(error, event)
        self._event = event


def _too_deep() -> EvaluationError:
    return EvaluationError("expected values that are nested less deeply")


def _names(node: Field) -> tuple[str, ...]:
    names = []
    for part in node.path:
        if type(part) is not str:
            break
        names.append(part)
    return tuple(names)
