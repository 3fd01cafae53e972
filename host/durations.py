"""Durations, as people write them: ``"200ms"``, ``"5s"``, ``"2m"``, ``"1h"``, ``"1d"``."""

from __future__ import annotations

import re
from typing import Annotated

from msgspec import Meta

EXPECTED = 'a duration such as "200ms", "5s", "2m", "1h", "1d", or a number of seconds'

LONGEST = 100 * 365 * 86400.0
"""Seconds. Longer ones are mistakes, and do not fit where ms since the epoch are stored."""

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_TEXT = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)", re.ASCII)


def parse_duration(value: str | int | float) -> float:
    """Return a duration in seconds. A number is seconds; text is a number and a unit (ms, s, m, h, d).

    Raises ``ValueError``, saying what was expected and what came, for anything else: no unit, a negative
    number or one above a hundred years, another type.
    """
    seconds = _seconds(value)
    if seconds is None or not 0 <= seconds <= LONGEST:
        raise ValueError(f"expected {EXPECTED}, got {value!r}")
    return seconds


def check_positive_duration(value: str | int | float) -> None:
    """Raise ``ValueError`` for anything but a duration above 0: a check for keys of a configuration."""
    if parse_duration(value) == 0:
        raise ValueError("expected more than 0 seconds")


def _seconds(value: object) -> float | None:
    if isinstance(value, str):
        match = _TEXT.fullmatch(value.strip())
        return float(match[1]) * _UNITS[match[2]] if match else None
    if isinstance(value, int | float) and not isinstance(value, bool):
        try:
            return float(value)
        except OverflowError:
            return None
    return None


Duration = Annotated[str | int | float, Meta(extra={"expected": EXPECTED, "check": parse_duration})]
"""Type of a configuration key that holds a duration, as written; :func:`parse_duration` turns it into seconds."""
