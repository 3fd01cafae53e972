"""From what a row or a document says to the artifact of a rule. Pure."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date, time
from decimal import Decimal
from typing import Any

import msgspec

from trimtab.api import Fault
from trimtab.plugins.rules.names import rule_name

REQUIRED = ("id", "version", "pattern", "function")
FIELDS = (
    *REQUIRED,
    *("parameters", "libs", "binding_keys", "rule_type", "effective_at"),
    *("key", "source", "time", "on_change", "timeouts", "late", "partial_matches"),
)
"""Fields of a rule, and of the columns that hold them where they are not named otherwise."""
DELETED = "is_deleted"
"""The field that belongs to the row and not to the rule."""
_JSON = frozenset(("pattern", "parameters", "libs", "binding_keys"))
"""Fields whose text is JSON, where it is."""
_OF_A_RULE = frozenset(("pattern", "function", "rule_type", DELETED))
"""Fields of which a document has some, and a bare pattern none."""

_DIGITS = re.compile(r"\s*[0-9]{1,18}\s*")
_TRUE = frozenset(("1", "true", "t", "yes", "y", "\x01"))
_FALSE = frozenset(("", "0", "false", "f", "no", "n", "\x00"))


@dataclass(frozen=True, slots=True)
class Entry:
    """One version of a rule, as a place has it."""

    name: str
    """Of the artifact."""
    rank: tuple[int, int]
    """The highest of a name counts. A version that is no number stands above all that are: it is the one to refuse."""
    deleted: bool
    content: bytes
    """The document as JSON with sorted keys: the same bytes as long as it says the same."""
    fault: Fault | None = None
    """What is wrong with the row itself."""


class WithoutIdError(ValueError):
    """A row or document of which nobody can say what rule it is. The message: what it has for an id."""


def entry(fields: Mapping[str, Any]) -> Entry:
    """Return what the fields of a row or a document say. What is wrong in them is left for whoever reads the rule.

    Raises :class:`WithoutIdError`.
    """
    rule_id = _id(fields.get("id"))
    name = rule_name(rule_id)
    document: dict[str, Any] = {"id": rule_id}
    for field, value in fields.items():
        if field not in ("id", "version", DELETED):
            given = _value(field, value)
            if given is not None or field == "pattern":
                document[field] = given
    rank = (0, 1)
    if "version" in fields:
        version = document["version"] = _version(fields["version"])
        rank = (0, version) if isinstance(version, int) else (1, 0)
    deleted = _flag(fields.get(DELETED))
    if deleted is None:
        message = f"{DELETED}: expected true or false, got {_shown(fields[DELETED])}"
        return Entry(name, rank, False, _json(document), Fault("RowError", message, name))
    return Entry(name, rank, deleted, _json(document))


def document_entry(document: Any, rule_id: str | None = None) -> Entry:
    """Return what a JSON document says: an object with the fields of a rule.

    ``rule_id``: where the place tells it; then whatever else it is, is the pattern, a bare one or one to be refused.
    Raises :class:`WithoutIdError`.
    """
    if rule_id is None:
        return entry({"pattern": None, **document} if isinstance(document, dict) else {"id": None, "pattern": document})
    if not isinstance(document, dict) or not _OF_A_RULE.intersection(document):
        return entry({"id": rule_id, "pattern": document})
    own = document.get("id", rule_id)
    found = entry({**document, "id": rule_id})
    if str(own) == rule_id:
        return found
    message = f"$.id: expected {rule_id!r}, by which the place knows it, got {_shown(own)}"
    return replace(found, fault=Fault("RowError", message, found.name))


def _id(value: Any) -> str:
    value = _plain(value)
    if isinstance(value, bool) or not isinstance(value, str | int) or value == "":
        raise WithoutIdError("nothing" if value in (None, "") else _shown(value))
    return str(value)


def _version(value: Any) -> Any:
    """A whole number, also where a column holds it as text or decimal; else what it was, and text for nothing."""
    value = _plain(value)
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, str) and _DIGITS.fullmatch(value):
        return int(value)
    return "" if value is None else value


def _value(field: str, value: Any) -> Any:
    """A field as the document has it; None for one that is not there."""
    value = _plain(value)
    if value == "":
        return None
    if field in _JSON and isinstance(value, str):
        try:
            return msgspec.json.decode(value)
        except (msgspec.DecodeError, RecursionError, UnicodeEncodeError):
            return value if value.strip() else None
    return value


def _flag(value: Any) -> bool | None:
    """What a flag says; None: nothing that it can."""
    text = "" if value is None else str(_plain(value)).strip().lower()
    return text in _TRUE if text in _TRUE or text in _FALSE else None


def _plain(value: Any) -> Any:
    """A value of a database as JSON has it."""
    match value:
        case bytes():
            return value.decode(errors="backslashreplace")
        case Decimal() if value.is_finite():
            return int(value) if value == value.to_integral_value() else float(value)
        case date() | time():
            return value.isoformat()
        case Decimal():
            return str(value)
        case float() if not math.isfinite(value):
            return str(value)
    return value


def _json(document: Mapping[str, Any]) -> bytes:
    try:
        return msgspec.json.encode(document, order="deterministic")
    except (OverflowError, UnicodeEncodeError):
        return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
