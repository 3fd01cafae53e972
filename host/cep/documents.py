"""Reads JSON objects field by field: what is wrong is refused with its path, what was expected and what came."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any, TypeVar

import msgspec

from trimtab.cep.errors import RuleError, refused

T = TypeVar("T")
LARGEST = 1 << 53
"""Numbers must be below: the integers that JavaScript can hold end there."""
_MISSING: Any = object()
_SHOWN = 60
"""Characters of a value that messages show."""
_LISTED = 20
"""Values that messages list."""


def decode(text: str | bytes, path: str) -> Any:
    """Return the value of a JSON text. Raises :class:`RuleError`."""
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise refused(path, "JSON", str(error)) from None
    except RecursionError:
        raise refused(path, "JSON that is nested less deeply", "more levels than can be read") from None


def shown(value: Any) -> str:
    """Return a value for a message: its JSON, cut short."""
    try:
        text = msgspec.json.encode(value).decode()
    except (TypeError, ValueError, RecursionError):
        text = type(value).__name__
    return text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "..."


class Fields:
    """A JSON object that is being read. ``path``: where it stands."""

    def __init__(self, value: Any, path: str, known: Sequence[str]) -> None:
        if not isinstance(value, dict):
            raise refused(path, "an object", shown(value))
        self.path = path
        self._value = value
        for name in value:
            if name not in known:
                raise self._unknown(name, known)

    def _unknown(self, name: Any, known: Sequence[str]) -> RuleError:
        name = str(name)[:_SHOWN]
        near = get_close_matches(name, known, n=1)
        hint = f"{near[0]} (the nearest known field)" if near else f"one of {', '.join(known)}"
        return refused(self.at(name), hint, f"the unknown field {name!r}")

    def at(self, name: str) -> str:
        """Return the path of a field."""
        return f"{self.path}.{name}"

    def has(self, name: str) -> bool:
        """Whether a field is there, and not null."""
        return self._value.get(name) is not None

    def get(self, name: str, expected: str) -> Any:
        """Return a field that must be there."""
        value = self._value.get(name, _MISSING)
        if value is _MISSING:
            raise refused(self.at(name), expected, "nothing: the field is missing")
        return value

    def optional(self, name: str) -> Any:
        """Return a field, or None."""
        return self._value.get(name)

    def text(self, name: str) -> str:
        """Return a string that must be there, and not be empty."""
        value = self.get(name, "a string")
        if not isinstance(value, str) or not value or len(value) > 1000:
            raise refused(self.at(name), "a string of 1 to 1,000 characters", shown(value))
        return value

    def one_of(self, name: str, values: Sequence[T]) -> T:
        """Return one of some values; it must be there."""
        return one_of(self.get(name, _listed(values)), self.at(name), values)

    def integer(self, name: str, least: int) -> int:
        """Return a whole number that must be there."""
        value = self.get(name, f"a whole number from {least} on")
        if type(value) is not int or not least <= value < LARGEST:
            raise refused(self.at(name), f"a whole number from {least} on, below 2^53", shown(value))
        return value

    def items(self, name: str, expected: str) -> list[Any]:
        """Return a list that must be there."""
        value = self.get(name, expected)
        if not isinstance(value, list):
            raise refused(self.at(name), expected, shown(value))
        return value


def one_of(value: Any, path: str, values: Sequence[T]) -> T:
    """Return the one of some values that a value is equal to."""
    if isinstance(value, str) and value in values:
        return values[values.index(value)]
    near = get_close_matches(value[:_SHOWN], _written(values), n=1) if isinstance(value, str) else []
    hint = f"; did you mean {near[0]}?" if near else ""
    raise refused(path, _listed(values), shown(value) + hint)


def _written(values: Sequence[Any]) -> list[str]:
    return [str(each)[:_SHOWN] for each in values]


def _listed(values: Sequence[Any]) -> str:
    some = ", ".join(_written(values[:_LISTED]))
    return f"one of {some}" + (f" and {len(values) - _LISTED} more" if len(values) > _LISTED else "")
