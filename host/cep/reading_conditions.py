"""Reads the JSON of conditions, the same in both dialects."""

from __future__ import annotations

from typing import Any

from trimtab.cep.checks import MAX_DEPTH
from trimtab.cep.documents import Fields
from trimtab.cep.errors import refused
from trimtab.cep.pattern import Combined, Condition, Expr, FunctionCall, Native

CONDITIONS = ("AVIATOR", "CLASS", "GROOVY", "PYTHON", "JS")
_COMPOSITES = {"RichAndCondition": "and", "RichOrCondition": "or", "RichNotCondition": "not"}


def read_condition(value: Any, path: str, depth: int = 1) -> Condition | None:
    """Return the condition of a decoded JSON value; None for null."""
    if value is None:
        return None
    if callable(value):
        return Native(value)
    if depth > MAX_DEPTH:
        raise refused(path, f"at most {MAX_DEPTH} levels of conditions", "more")
    kind = Fields(value, path, tuple(value) if isinstance(value, dict) else ()).one_of("type", CONDITIONS)
    if kind == "CLASS":
        return _class_condition(value, path, depth)
    if kind in ("AVIATOR", "GROOVY"):
        return Expr(Fields(value, path, ("type", "expression")).text("expression"), groovy=kind == "GROOVY")
    fields = Fields(value, path, ("type", "function"))
    return FunctionCall("PYTHON" if kind == "PYTHON" else "JS", fields.text("function"))


def _class_condition(value: Any, path: str, depth: int) -> Condition:
    known = ("type", "className", "args", "nestedConditions", "subClassName")
    fields = Fields(value, path, known)
    name = fields.text("className")
    how: Any = next((how for ending, how in _COMPOSITES.items() if name.endswith(ending)), None)
    if how is None:
        expected = f"a class name that ends in {', '.join(_COMPOSITES)}: Java classes do not run here; use AVIATOR"
        raise refused(fields.at("className"), expected, repr(name))
    at = fields.at("nestedConditions")
    parts = [
        read_condition(part, f"{at}[{number}]", depth + 1)
        for number, part in enumerate(fields.items("nestedConditions", "a list of conditions"))
    ]
    given = tuple(part for part in parts if part is not None)
    if not given or len(given) < len(parts) or (how == "not" and len(given) != 1):
        wanted = "one condition" if how == "not" else "at least one condition, none of them null"
        raise refused(at, wanted, str(len(given)))
    return Combined(how, given)
