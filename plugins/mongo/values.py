"""Values between scripts and MongoDB: relaxed extended JSON, with nothing lost on the way there and back.

What JSON can hold stays as it is. All else is an object such as ``{"$oid": "..."}``; so are integers that JavaScript's
numbers cannot hold. Query and update operators are no such objects and go through as they are, ``$regex`` too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any, cast

from bson import DBRef, Decimal128, Int64, json_util
from bson.datetime_ms import DatetimeMS
from bson.errors import BSONError

_SAFE = 2**53 - 1
"""The greatest integer up to which JavaScript's numbers hold every one."""
_INT64 = range(-(2**63), 2**63)
_RELAXED = json_util.RELAXED_JSON_OPTIONS


def to_bson(value: Any) -> Any:
    """Return what the driver stores for a script's value. Raises ``ValueError`` or ``TypeError`` for what it cannot."""
    convert = _TO_BSON.get(type(value)) or next((c for t, c in _TO_BSON.items() if isinstance(value, t)), None)
    if convert is None:
        raise TypeError(f"expected a value that MongoDB can hold, got {type(value).__name__}; make it text or a number")
    return convert(value)


def to_document(value: Any, what: str) -> dict[str, Any]:
    """Return what the driver stores for a script's object. Raises ``TypeError`` with ``what`` for anything else."""
    document = to_bson(value) if isinstance(value, Mapping) else value
    if not isinstance(document, dict):
        raise TypeError(f"expected {what} as an object, got {type(value).__name__}: {str(value)[:80]}")
    return cast("dict[str, Any]", document)


def to_script(value: Any) -> Any:
    """Return what scripts get for a value of the driver's."""
    if isinstance(value, dict):
        return {name: to_script(part) for name, part in value.items()}
    if isinstance(value, list):
        return [to_script(part) for part in value]
    if isinstance(value, int) and not isinstance(value, bool):
        return int(value) if -_SAFE <= value <= _SAFE else {"$numberLong": str(int(value))}
    if isinstance(value, DBRef):
        return to_script(value.as_doc())
    return json_util.default(value, _RELAXED)


def _object(value: Mapping[str, Any]) -> Any:
    """Convert an object: extended JSON where all of its names say so, else name by name."""
    first = next(iter(value), "")
    if first in _WRAPPERS and value.keys() <= _WRAPPERS[first]:
        try:
            return _unwrap(first, value)
        except (ArithmeticError, BSONError, LookupError, TypeError, ValueError) as error:
            reason = f"{type(error).__name__}: {error}"
        raise ValueError(f"expected extended JSON with {first}, got {str(dict(value))[:80]} ({reason})")
    return {_name(name): to_bson(part) for name, part in value.items()}


def _unwrap(first: str, value: Mapping[str, Any]) -> Any:
    if first == "$date" and isinstance(value[first], str):
        return DatetimeMS(datetime.fromisoformat(value[first]))  # json_util's may be a millisecond off
    if first in {"$date", "$numberLong"}:
        number = _integer(int(to_bson(value[first])))
        return DatetimeMS(number) if first == "$date" else Int64(number)
    return json_util.object_hook(dict(value), _RELAXED)


_WRAPPERS: dict[str, frozenset[str]] = {
    name: frozenset({name})
    for name in (
        "$binary",
        "$date",
        "$maxKey",
        "$minKey",
        "$numberDecimal",
        "$numberDouble",
        "$numberInt",
        "$numberLong",
        "$oid",
        "$regularExpression",
        "$timestamp",
        "$uuid",
    )
} | {"$code": frozenset({"$code", "$scope"})}
"""The names of extended JSON, and which may stand with each. None of them is an operator of queries or updates."""


def _name(name: Any) -> str:
    if not isinstance(name, str):
        raise TypeError(f"expected names of fields as text, got {type(name).__name__}: {name!r}")
    return name


def _integer(value: int) -> int:
    if value not in _INT64:
        raise ValueError(f"expected an integer of at most 64 bits, got {value}; use {{'$numberDecimal': '...'}}")
    return value


def _decimal(value: Decimal) -> Decimal128:
    try:
        return Decimal128(value)
    except ArithmeticError:
        raise ValueError(f"expected a decimal of at most 34 digits, got {value}; round it") from None


def _same(value: Any) -> Any:
    return value


_TO_BSON: dict[type, Callable[[Any], Any]] = {
    type(None): _same,
    bool: _same,
    int: _integer,
    float: _same,
    str: _same,
    dict: _object,
    list: lambda value: [to_bson(part) for part in value],
    tuple: lambda value: [to_bson(part) for part in value],
    bytes: _same,
    bytearray: bytes,
    datetime: DatetimeMS,
    Decimal: _decimal,
    Mapping: _object,
}
"""How each type of a script's values is converted. A naive ``datetime`` counts as UTC."""
