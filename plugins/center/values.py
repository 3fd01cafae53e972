"""Settings as they come from outside, and as the artifact that they become. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any

import msgspec

_SMALLEST, _BIGGEST = -(2**63), 2**63 - 1


def artifact(settings: Mapping[str, Any]) -> bytes:
    """Return settings as JSON with sorted keys: the same bytes for the same settings.

    Dates and times become text, decimals numbers. Raises ``ValueError`` naming a setting that JSON cannot hold.
    """
    return msgspec.json.encode(_plain(settings, ""), order="deterministic")


def from_text(text: str) -> Any:
    """Return the value of a text that is JSON; any other text is the value itself."""
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        return text


def nested(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """Return settings that are named by dotted path as tables: ``limits.speed`` is ``speed`` in the table ``limits``.

    Raises ``ValueError`` for a path that is not one or comes twice, and naming both of two paths, one of which would
    lie in the value of the other.
    """
    named: dict[str, Any] = {}
    for name, value in pairs:
        if not all(name.split(".")):
            raise ValueError(f'expected names such as "max_speed" or "limits.speed", got {name!r}')
        if name in named:
            raise ValueError(f"expected each name once, got {name} twice")
        named[name] = value
    settings: dict[str, Any] = {}
    for name, value in named.items():
        _place(settings, name, value, named)
    return settings


def _place(settings: dict[str, Any], name: str, value: Any, named: Mapping[str, Any]) -> None:
    table, path = settings, ""
    *above, last = name.split(".")
    for part in above:
        path = f"{path}.{part}" if path else part
        if path in named:
            raise ValueError(
                f"expected {path} to be a value or a table, got both {path} and {name}; remove one of them"
            )
        table = table.setdefault(part, {})
    table[last] = value


def _plain(value: Any, path: str) -> Any:
    """The value as JSON holds it."""
    match value:
        case Mapping():
            return {_key(key, path): _plain(item, f"{path}.{key}" if path else key) for key, item in value.items()}
        case list():
            return [_plain(item, f"{path}[{index}]") for index, item in enumerate(value)]
        case Decimal() if value.is_finite():
            return _number(int(value) if value == value.to_integral_value() else float(value), path)
        case int() | float():
            return _number(value, path)
        case datetime() | date() | time():
            return value.isoformat()
        case str() | None:
            return value
        case _:
            raise ValueError(f"{path}: expected a JSON value, text, a number or a date, got {type(value).__name__}")


def _key(key: Any, path: str) -> str:
    if not isinstance(key, str):
        raise ValueError(f"{path}: expected text as keys, got {type(key).__name__}")
    return key


def _number(value: int | float, path: str) -> int | float:
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{path}: expected a finite number, got {value}")
    if isinstance(value, int) and not _SMALLEST <= value <= _BIGGEST:
        raise ValueError(f"{path}: expected a whole number of 64 bits, got {value}")
    return value
