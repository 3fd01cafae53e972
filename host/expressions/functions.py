"""The functions that expressions may call."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from types import MappingProxyType
from typing import Any

from trimtab.expressions.errors import EvaluationError
from trimtab.expressions.jsonpath import jsonpath
from trimtab.expressions.operators import describe, equal, fits_long, is_number, text
from trimtab.expressions.tree import Kind

_INTEGER = re.compile(r"[+-]?[0-9]{1,19}")


@dataclass(frozen=True, slots=True)
class Function:
    """A function: what it does, how many arguments it takes, the kind of its result where that is always the same."""

    call: Callable[..., Any]
    least: int
    most: int
    result: Kind | None = None


def suggestion(name: str) -> str:
    """Say which function an unknown name may have meant."""
    close = get_close_matches(name, FUNCTIONS, n=1)
    return f"did you mean {close[0]}?" if close else f"the functions are {', '.join(sorted(FUNCTIONS))}"


def _string(value: Any) -> str:
    if type(value) is str:
        return value
    raise EvaluationError(f"expected a string, got {describe(value)}")


def _number(value: Any) -> Any:
    if is_number(value):
        return value
    raise EvaluationError(f"expected a number, got {describe(value)}")


def _contains(value: Any, part: Any) -> bool:
    return _string(part) in _string(value)


def _starts_with(value: Any, prefix: Any) -> bool:
    return _string(value).startswith(_string(prefix))


def _ends_with(value: Any, suffix: Any) -> bool:
    return _string(value).endswith(_string(suffix))


def _length(value: Any) -> int:
    return len(_string(value))


def _index_of(value: Any, part: Any) -> int:
    return _string(value).find(_string(part))


def _substring(value: Any, begin: Any, end: Any = None) -> str:
    string = _string(value)
    first = _long(_number(begin))
    last = len(string) if end is None else _long(_number(end))
    if not 0 <= first <= last <= len(string):
        raise EvaluationError(f"expected positions within 0 and {len(string)}, got {first} and {last}")
    return string[first:last]


def _lower(value: Any) -> str:
    return _string(value).lower()


def _upper(value: Any) -> str:
    return _string(value).upper()


def _abs(value: Any) -> Any:
    return abs(_number(value))


def _pow(base: Any, exponent: Any) -> float:
    left, right = _double(_number(base)), _double(_number(exponent))
    try:
        return math.pow(left, right)
    except OverflowError:
        return -math.inf if left < 0 and right % 2 == 1 else math.inf
    except ValueError:  # 0 to a negative power, or a root of a negative number
        return math.inf if left == 0 else math.nan


def _sqrt(value: Any) -> float:
    number = _double(_number(value))
    return math.nan if number < 0 else math.sqrt(number)


def _log(value: Any) -> float:
    number = _double(_number(value))
    if number > 0:
        return math.log(number)
    return -math.inf if number == 0 else math.nan


def _round(value: Any) -> int:
    number = _number(value)
    whole: int = math.floor(_fitting(number))
    return whole + 1 if number - whole >= 0.5 else whole


def _long(value: Any) -> int:
    if type(value) is bool or (type(value) is str and _INTEGER.fullmatch(value)):
        value = int(value)
    whole: int = math.trunc(_fitting(value))
    return whole


def _fitting(value: Any) -> Any:
    if is_number(value) and fits_long(value):
        return value
    raise EvaluationError(f"expected an integer of at most 64 bits, got {describe(value)}")


def _double(value: Any) -> float:
    try:
        if (type(value) is str and "_" not in value) or is_number(value) or type(value) is bool:
            return float(value)
    except (ValueError, OverflowError):
        raise EvaluationError(f"expected a number that fits a double, got {describe(value)}") from None
    raise EvaluationError(f"expected a number, got {describe(value)}")


def _count(value: Any) -> int:
    if value is None:
        return 0
    if type(value) in (list, dict, str):
        return len(value)
    raise EvaluationError(f"expected a list, an object or a string to count, got {describe(value)}")


def _include(values: Any, wanted: Any) -> bool:
    if values is None:
        return False
    if type(values) is list:
        return any(equal(value, wanted) for value in values)
    raise EvaluationError(f"expected a list to search, got {describe(values)}")


FUNCTIONS = MappingProxyType(
    {
        "string.contains": Function(_contains, 2, 2, "boolean"),
        "string.startsWith": Function(_starts_with, 2, 2, "boolean"),
        "string.endsWith": Function(_ends_with, 2, 2, "boolean"),
        "string.length": Function(_length, 1, 1, "number"),
        "string.indexOf": Function(_index_of, 2, 2, "number"),
        "string.substring": Function(_substring, 2, 3, "string"),
        "string.toLowerCase": Function(_lower, 1, 1, "string"),
        "string.toUpperCase": Function(_upper, 1, 1, "string"),
        "math.abs": Function(_abs, 1, 1, "number"),
        "math.pow": Function(_pow, 2, 2, "number"),
        "math.sqrt": Function(_sqrt, 1, 1, "number"),
        "math.log": Function(_log, 1, 1, "number"),
        "math.round": Function(_round, 1, 1, "number"),
        "long": Function(_long, 1, 1, "number"),
        "double": Function(_double, 1, 1, "number"),
        "str": Function(text, 1, 1, "string"),
        "count": Function(_count, 1, 1, "number"),
        "include": Function(_include, 2, 2, "boolean"),
        "jsonpath": Function(jsonpath, 2, 2),
    }
)
"""By name. ``now`` is not among them: its clock comes from the caller of the compiler."""
