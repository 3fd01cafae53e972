"""The operations of ``bulk``, in MongoDB's own form: ``{"updateOne": {"filter": {...}, "update": {...}}}``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pymongo import DeleteMany, DeleteOne, InsertOne, ReplaceOne, UpdateMany, UpdateOne

from trimtab.plugins.mongo.values import to_bson, to_document

Operation = InsertOne[dict[str, Any]] | ReplaceOne[dict[str, Any]] | UpdateOne | UpdateMany | DeleteOne | DeleteMany


def write_models(given: Any) -> list[Operation]:
    """Return the driver's operations. Raises ``TypeError`` or ``ValueError`` that names the wrong one."""
    if not isinstance(given, list | tuple):
        raise TypeError(f"expected the operations as a list, got {type(given).__name__}")
    return [_operation(one, f"operation {number}") for number, one in enumerate(given, 1)]


def _operation(given: Any, place: str) -> Operation:
    if not isinstance(given, Mapping) or len(given) != 1:
        raise TypeError(f'expected {place} as an object such as {{"deleteOne": {{"filter": {{}}}}}}, got {given!r}')
    ((kind, parts),) = given.items()
    if kind not in _OPERATIONS:
        raise ValueError(f"expected {place} to be one of {', '.join(_OPERATIONS)}, got {kind!r}")
    make, needed = _OPERATIONS[kind]
    optional = {"upsert"} if kind in _UPSERTING else set[str]()
    if not isinstance(parts, Mapping) or not needed <= parts.keys() <= needed | optional:
        names = " and ".join(sorted(needed)) + "".join(f" (and {name})" for name in optional)
        raise ValueError(f"expected {place}, {kind}, with {names}, got {parts!r}")
    return make(**{name: _CONVERT[name](value, f"{name} of {place}") for name, value in parts.items()})


def change(value: Any, what: str) -> Any:
    """Return an update for the driver: update operators, or a pipeline. Raises ``ValueError`` for a plain document."""
    if isinstance(value, list | tuple):
        return to_bson(value)
    plain = next((name for name in to_document(value, what) if not name.startswith("$")), None)
    if plain is not None or not value:
        came = "an empty object" if plain is None else f"the field {plain!r}"
        raise ValueError(
            f'expected {what} with operators such as {{"$set": {{...}}}}, got {came}; '
            "to put another document in its place, use replace"
        )
    return to_document(value, what)


def replacement(value: Any, what: str) -> dict[str, Any]:
    """Return a document for the driver to put in the place of another. Raises ``ValueError`` for update operators."""
    document = to_document(value, what)
    operator = next((name for name in document if name.startswith("$")), None)
    if operator is not None:
        raise ValueError(f"expected {what} as a whole document, got the operator {operator!r}; for that, use update")
    return document


def _flag(value: Any, what: str) -> bool:
    if not isinstance(value, bool):
        raise TypeError(f"expected {what} as true or false, got {value!r}")
    return value


_OPERATIONS: dict[str, tuple[Callable[..., Operation], frozenset[str]]] = {
    "insertOne": (InsertOne, frozenset({"document"})),
    "updateOne": (UpdateOne, frozenset({"filter", "update"})),
    "updateMany": (UpdateMany, frozenset({"filter", "update"})),
    "replaceOne": (ReplaceOne, frozenset({"filter", "replacement"})),
    "deleteOne": (DeleteOne, frozenset({"filter"})),
    "deleteMany": (DeleteMany, frozenset({"filter"})),
}
_UPSERTING = frozenset({"updateOne", "updateMany", "replaceOne"})
_CONVERT: dict[str, Callable[[Any, str], Any]] = {
    "document": to_document,
    "filter": to_document,
    "update": change,
    "replacement": replacement,
    "upsert": _flag,
}
