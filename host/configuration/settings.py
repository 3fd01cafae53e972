"""``[settings]`` and ``[resources]`` as JSON, because they are artifacts: ``${NAME}`` stays as written."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import msgspec

from trimtab.configuration.checking import Problems, key_path, show
from trimtab.configuration.variables import Variables
from trimtab.errors import ConfigurationError

_SMALLEST, _BIGGEST = -(2**63), 2**63 - 1


def encode(tree: dict[str, Any], path: str, problems: Problems) -> bytes:
    """Return a table as JSON with sorted keys; dates and times become text. What JSON cannot hold is a problem."""
    _check(tree, path, problems)
    return b"" if problems else msgspec.json.encode(tree, order="deterministic")


def expand(source: bytes, path: str, learn: Callable[[set[str]], None] = lambda _secrets: None) -> dict[str, Any]:
    """Return the table at ``path`` that :func:`encode` wrote, with the environment variables put in.

    ``learn`` is told their values: they are secrets. Raises :class:`ConfigurationError` for variables that are not set.
    """
    problems = Problems()
    variables = Variables(problems)
    tree: dict[str, Any] = variables.expand(msgspec.json.decode(source), path)
    learn(variables.values)
    if problems:
        raise ConfigurationError(list(problems))
    return tree


def _check(value: Any, path: str, problems: Problems) -> None:
    if isinstance(value, dict):
        for key, item in value.items():
            _check(item, key_path(path, key), problems)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            _check(item, f"{path}[{index}]", problems)
    elif isinstance(value, float) and not math.isfinite(value):
        problems.add(path, "a finite number", show(value))
    elif isinstance(value, int) and not _SMALLEST <= value <= _BIGGEST:
        problems.add(path, "a whole number of 64 bits", show(value))
