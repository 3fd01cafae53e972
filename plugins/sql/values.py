"""Values on their way between scripts and drivers. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

import msgspec

Row = dict[str, Any]

_PLAIN = frozenset({type(None), bool, int, float, str, bytes, Decimal, datetime, date, time})
_DAY = timedelta(days=1)


def to_parameter(value: Any) -> Any:
    """Return what a script gave as one of a few plain types. An object becomes JSON text.

    Raises ``TypeError`` for what no database could take.
    """
    if type(value) in _PLAIN or isinstance(value, timedelta):
        return value
    if isinstance(value, bytearray | memoryview):
        return bytes(value)
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, Mapping):
        return msgspec.json.encode(value).decode()
    match value:
        case Enum():
            return to_parameter(value.value)
        case int():
            return int(value)
        case float():
            return float(value)
        case str():
            return str(value)
        case Decimal() | date() | time():
            return value
    raise TypeError(
        f"expected a value that a database can hold (text, number, boolean, null, bytes, date, object), "
        f"got {type(value).__name__}"
    )


def from_driver(value: Any) -> Any:
    """Return what a driver gave as a value of the bindings' contract; what is none of these becomes text."""
    if type(value) in _PLAIN:
        return value
    if isinstance(value, bytearray | memoryview):
        return bytes(value)
    if isinstance(value, dict):
        return {str(name): from_driver(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [from_driver(inner) for inner in value]
    if isinstance(value, timedelta):
        return _from_timedelta(value)
    return str(value)


def _from_timedelta(value: timedelta) -> time | str:
    """Return the time of day that some drivers mean by it; beyond a day it is text: ``-30:00:00.5``."""
    hours, rest = divmod(abs(value), timedelta(hours=1))
    minutes, rest = divmod(rest, timedelta(minutes=1))
    seconds, rest = divmod(rest, timedelta(seconds=1))
    clock = time(hours % 24, minutes, seconds, rest.microseconds)
    if timedelta(0) <= value < _DAY:
        return clock
    return f"{'-' if value < timedelta(0) else ''}{hours}:{clock.isoformat()[3:]}"


def rows_of(names: Sequence[str], rows: Iterable[Sequence[Any]]) -> list[Row]:
    """Return rows as objects; ``names`` as :func:`unique` gives them."""
    return [dict(zip(names, map(from_driver, row), strict=True)) for row in rows]


def unique(names: Iterable[str]) -> list[str]:
    """Return the names of columns, each once: the second ``id`` is ``id_2``."""
    found: dict[str, None] = {}
    for name in names:
        free, number = name, 2
        while free in found:
            free, number = f"{name}_{number}", number + 1
        found[free] = None
    return list(found)
