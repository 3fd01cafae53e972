"""``[settings]``: free values for scripts, kept as JSON because they are an artifact with versions."""

from __future__ import annotations

import math
from typing import Any

import msgspec

from trimtab.configuration.checking import Problems, key_path, show
from trimtab.configuration.variables import Variables
from trimtab.errors import ConfigurationError

_SMALLEST, _BIGGEST = -(2**63), 2**63 - 1


def encode_settings(settings: dict[str, Any], problems: Problems) -> bytes:
    """Return settings as JSON with sorted keys; dates and times become text. What JSON cannot hold is a problem."""
    _check(settings, "settings", problems)
    return b"" if problems else msgspec.json.encode(settings, order="deterministic")


def expand_settings(source: bytes) -> dict[str, Any]:
    """Return the settings that ``Config.settings_source`` holds, with the environment variables put in.

    Raises :class:`ConfigurationError` for variables that are not set.
    """
    problems = Problems()
    settings: dict[str, Any] = Variables(problems).expand(msgspec.json.decode(source), "settings")
    if problems:
        raise ConfigurationError(list(problems))
    return settings


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
