"""Statements with their values, as drivers take them. Values never become part of the text. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from trimtab.plugins.sql.placeholders import Kind, Parser, Piece, Syntax
from trimtab.plugins.sql.values import to_parameter

MOST_PARSED = 256
"""Statements that are kept parsed; scripts have few, but may also make them up."""

Params = Sequence[Any] | Mapping[str, Any] | None
"""What scripts give: a list for ``?``, an object for ``:name``."""
Driven = tuple[Any, ...] | dict[str, Any]
"""What drivers take."""


@dataclass(frozen=True, slots=True)
class Bound:
    """A statement in the words of a driver."""

    sql: str
    values: Driven


@dataclass(frozen=True)
class Binder:
    """Binds statements for one database.

    ``style``: the driver's ``paramstyle`` (PEP 249). ``question``: how the driver wants the operator ``?`` written.
    ``adapt``: makes of a plain value what the driver takes.
    """

    syntax: Syntax
    style: str
    adapt: Callable[[Any], Any] = lambda value: value
    question: str = "?"
    _parsed: dict[str, list[Piece]] = field(default_factory=dict)

    def bind(self, sql: str, params: Params = None) -> Bound:
        """Return the statement for the driver. Raises ``ValueError`` or ``TypeError`` where the two do not fit."""
        rendering = _Rendering(self)
        for piece, value in _pairs(self._pieces(sql), params):
            rendering.add(piece, value)
        return rendering.bound()

    def bind_many(self, sql: str, sets: Iterable[Params]) -> tuple[str, list[Driven]]:
        """Return one statement and the values of each of its runs. Raises as :meth:`bind` does."""
        bound = [self.bind(sql, params) for params in sets]
        texts = {one.sql for one in bound}
        if len(texts) > 1:
            raise ValueError("expected sets of values of one form, got lists of several lengths; run them one by one")
        return (texts.pop() if texts else ""), [one.values for one in bound]

    def names(self, sql: str) -> frozenset[str]:
        """Return the names of the values that a statement takes."""
        return frozenset(piece.text for piece in self._pieces(sql) if piece.kind is Kind.NAME)

    def _pieces(self, sql: str) -> list[Piece]:
        if not isinstance(sql, str):
            raise TypeError(f"expected a statement as text, got {type(sql).__name__}")
        found = self._parsed.get(sql)
        if found is None:
            if len(self._parsed) >= MOST_PARSED:
                self._parsed.clear()
            found = self._parsed[sql] = Parser(self.syntax).parse(sql)
        return found


class _Rendering:
    """A statement in the making."""

    def __init__(self, binder: Binder) -> None:
        self._binder = binder
        self._doubled = binder.style in {"format", "pyformat"}  # such drivers read % in the text
        self._text: list[str] = []
        self._values: list[Any] = []

    def add(self, piece: Piece, value: Any) -> None:
        match piece.kind:
            case Kind.TEXT:
                self._text.append(piece.text.replace("%", "%%") if self._doubled else piece.text)
            case Kind.QUESTION:
                self._text.append(self._binder.question)
            case _:
                self._text.append(self._expand(value) if isinstance(value, list | tuple) else self._mark(value))

    def _expand(self, values: Sequence[Any]) -> str:
        return ", ".join(map(self._mark, values)) or "NULL"  # in (NULL): nothing is equal to it

    def _mark(self, value: Any) -> str:
        self._values.append(self._binder.adapt(to_parameter(value)))
        match self._binder.style:
            case "qmark":
                return "?"
            case "named":
                return f":p{len(self._values)}"
        return "%s"

    def bound(self) -> Bound:
        sql = "".join(self._text)
        if self._binder.style == "named":
            return Bound(sql, {f"p{number}": value for number, value in enumerate(self._values, 1)})
        return Bound(sql, tuple(self._values))


def _pairs(pieces: list[Piece], params: Params) -> Iterable[tuple[Piece, Any]]:
    """Return each piece with its value. Raises ``ValueError`` unless every placeholder and every value is used."""
    if params is None:
        return _by_position(pieces, [], strict=True)
    if isinstance(params, Mapping):
        return _by_name(pieces, params)
    if isinstance(params, list | tuple):
        return _by_position(pieces, params, strict=False)
    raise TypeError(f"expected values as a list (for ?) or an object (for :name), got {type(params).__name__}")


def _by_position(pieces: list[Piece], params: Sequence[Any], *, strict: bool) -> Iterable[tuple[Piece, Any]]:
    wanted = sum(piece.kind is Kind.POSITION for piece in pieces)
    names = [piece.text for piece in pieces if piece.kind is Kind.NAME]
    if wanted != len(params):
        raise ValueError(f"expected {wanted} values, one for each ?, got {len(params)}; the operator ? is written ??")
    if strict and names:
        raise ValueError(f"expected values for {_listed(names)}, got none; give them as an object")
    values = iter(params)
    # With a list, :name is text: a part of an array or of JSON.
    as_text = (Piece(Kind.TEXT, f":{piece.text}") if piece.kind is Kind.NAME else piece for piece in pieces)
    return [(piece, next(values) if piece.kind is Kind.POSITION else None) for piece in as_text]


def _by_name(pieces: list[Piece], params: Mapping[str, Any]) -> Iterable[tuple[Piece, Any]]:
    names = {piece.text for piece in pieces if piece.kind is Kind.NAME}
    if any(piece.kind is Kind.POSITION for piece in pieces):
        raise ValueError("expected :name for values given as an object, got ?; the operator ? is written ??")
    if missing := sorted(names - params.keys()):
        raise ValueError(f"expected a value for {_listed(missing)}, got {_listed(sorted(params)) or 'none'}")
    if unknown := sorted(params.keys() - names):
        raise ValueError(f"expected values for {_listed(sorted(names)) or 'nothing'}, got {_listed(unknown)} too")
    return [(piece, params[piece.text] if piece.kind is Kind.NAME else None) for piece in pieces]


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f":{name}" for name in names)
