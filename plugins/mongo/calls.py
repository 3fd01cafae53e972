"""How scripts' calls reach a collection, and what their arguments may be."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from trimtab.api import Caller
from trimtab.plugins.mongo.resource import Documents
from trimtab.plugins.mongo.values import to_bson

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Place:
    """A collection, as one script calls it. ``database`` None: the one that the configuration names."""

    caller: Caller
    database: str | None
    name: str

    def call(
        self, method: str, arguments: tuple[Any, ...], work: Callable[[Documents], Result], rehearsed: Result
    ) -> Result:
        """Do as :meth:`Caller.call`, with the driver's collection."""
        return self.caller.call(
            method, arguments, lambda resource: resource.run_on(self.database, self.name, work), rehearsed
        )


def shown(*arguments: Any, **options: Any) -> tuple[Any, ...]:
    """Return arguments as people see them: the options that were given come last, as one object."""
    named = {name: value for name, value in options.items() if value is not None and value is not False}
    return (*arguments, named) if named else arguments


def pairs(keys: Any, what: str) -> list[tuple[str, Any]]:
    """Return fields with their directions: of one name, of ``{"a": 1, "b": -1}``, of ``[["a", 1], ["b", -1]]``.

    Raises ``TypeError`` that names ``what`` for anything else.
    """
    if isinstance(keys, str):
        return [(keys, 1)]
    found = list(keys.items()) if isinstance(keys, Mapping) else keys
    if isinstance(found, Sequence) and found and all(_is_pair(pair) for pair in found):
        return [(name, to_bson(direction)) for name, direction in found]
    raise TypeError(f'expected {what} as an object such as {{"at": -1}}, got {str(keys)[:80]}')


def _is_pair(pair: Any) -> bool:
    return (
        isinstance(pair, list | tuple)
        and len(pair) == 2
        and isinstance(pair[0], str)
        and isinstance(pair[1], int | str | Mapping)
    )


def _count(value: Any, what: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise TypeError(f"expected {what} as an integer from 0, got {value!r}")
    return value


def _fields(value: Any, what: str) -> Any:
    if not isinstance(value, list | tuple | Mapping):
        raise TypeError(f'expected {what} as an object such as {{"name": 1}} or as a list of names, got {value!r}')
    return to_bson(value)


def _index(value: Any, what: str) -> Any:
    return value if isinstance(value, str) else pairs(value, what)


_QUERY_OPTIONS: dict[str, Callable[[Any, str], Any]] = {
    "sort": pairs,
    "skip": _count,
    "limit": _count,
    "projection": _fields,
    "hint": _index,
}


def query_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the driver's options for a query: of those that are not None. Raises ``TypeError`` for a wrong one."""
    return {name: _QUERY_OPTIONS[name](value, name) for name, value in options.items() if value is not None}
