"""``jsonpath(json, path)``: the part of JSONPath that conditions need: ``$.a.b[0]['c']``, ``.*`` and ``[*]``."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

import msgspec

from trimtab.expressions.errors import EvaluationError, MissingField
from trimtab.expressions.operators import item

_STEP = re.compile(r"\.(?P<name>[\w$-]+)|\[(?P<index>[0-9]{1,9})\]|\['(?P<key>[^']*)'\]|(?P<all>\.\*|\[\*\])")

Step = str | int | None
"""A name, an index, or None for all."""


class PathError(ValueError):
    """The text is not a path."""


@lru_cache(256)
def parse_path(path: str) -> tuple[Step, ...]:
    """Return the steps of a path. Raises :class:`PathError`."""
    if not path.startswith("$"):
        raise PathError(f"expected a path such as $.a.b[0], got {path[:40]!r}; begin it with $")
    steps: list[Step] = []
    at = 1
    while at < len(path):
        found = _STEP.match(path, at)
        if found is None:
            raise PathError(f"expected .name, [0], ['name'], .* or [*] in the path, got {path[at : at + 40]!r}")
        steps.append(_step(found))
        at = found.end()
    return tuple(steps)


def _step(found: re.Match[str]) -> Step:
    if found["all"]:
        return None
    if found["index"]:
        return int(found["index"])
    return found["name"] or found["key"]


def jsonpath(json: Any, path: Any) -> Any:
    """Return what lies at a path in JSON text, or in a value that is decoded already.

    A path with ``*`` gives the list of what was found; another one raises :class:`MissingField` if nothing was.
    """
    if type(path) is not str:
        raise EvaluationError("expected a path as a string, such as '$.a.b'")
    try:
        steps = parse_path(path)
        value = msgspec.json.decode(json) if type(json) is str else json
    except (ValueError, msgspec.DecodeError) as error:
        raise EvaluationError(str(error)) from None
    found = [value]
    for step in steps:
        found = [below for value in found for below in _below(value, step)]
    if None in steps:
        return found
    if not found:
        raise MissingField(f"nothing at {path}")
    return found[0]


def _below(value: Any, step: Step) -> Iterable[Any]:
    if step is None:
        return value.values() if type(value) is dict else value if type(value) is list else ()
    try:
        return (item(value, step),)
    except MissingField:
        return ()
