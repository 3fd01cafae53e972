"""Which columns of a result are which of a rule. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from trimtab.plugins.rules.documents import DELETED, FIELDS, REQUIRED

COLUMNS = (*FIELDS, DELETED)
_WHOLE = frozenset({"version", "effective_at", "partial_matches"})
"""Columns that hold whole numbers."""


def check_columns(names: Mapping[str, str]) -> None:
    """Raise ``ValueError`` for a column that a rule does not have, and for a name that is empty."""
    for column, name in names.items():
        if column not in COLUMNS:
            raise ValueError(f"expected one of {', '.join(COLUMNS)}, got {column}")
        if not name:
            raise ValueError(f"expected the name of the column that is {column}, got none")


class Columns:
    """Where the columns of a rule are in a result. Capitals make no difference; other columns are ignored."""

    def __init__(self, names: Mapping[str, str], found: Collection[str]) -> None:
        """``names``: what columns of a rule are called, where they do not have their own names.

        ``found``: those of the result. Raises ``ValueError`` where one is missing that must be there.
        """
        folded = {each.casefold(): each for each in found}
        self._places: dict[str, str] = {}
        for column in COLUMNS:
            name = names.get(column, column)
            there = name if name in found else folded.get(name.casefold())
            if there is not None:
                self._places[column] = there
            elif column in REQUIRED or column in names:
                raise ValueError(f"expected a column {name}, got {', '.join(found) or 'none'}; see `columns`")

    def fields(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """Return the fields of a rule that a row holds."""
        return {
            column: _whole(row[place]) if column in _WHOLE else row[place] for column, place in self._places.items()
        }


def _whole(value: Any) -> Any:
    """The whole number that a database holds in a type of its own, a time in milliseconds; anything else is itself."""
    match value:
        case Decimal() | float() if value == value // 1:
            return int(value)
        case datetime():
            return round((value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp() * 1000)
        case str() if value.isascii() and value.isdecimal() and len(value) < 20:
            return int(value)
    return value
