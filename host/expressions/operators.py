"""What the operators do with the values of events: JSON values, with Aviator's and so Java's rules.

Integers have 64 bits, as Java's ``long``; a result that does not fit is an error here, not a wrong number.
Numbers with a point follow IEEE 754: a division by zero gives an infinity. A boolean is not a number.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any

import msgspec

from trimtab.expressions.errors import EvaluationError, MissingField

MAX_TEXT = 1_000_000
"""Characters that a joined string may have."""
_KINDS = {int: "number", float: "number", str: "string", list: "list", dict: "object"}


def describe(value: Any) -> str:
    """Name a value for a message: its kind and the beginning of its text."""
    if value is None:
        return "nil"
    if type(value) is bool:
        return "true" if value else "false"
    kind = _KINDS.get(type(value), type(value).__name__)
    if type(value) is str:
        return f"{kind} {value[:40]!r}"
    return f"{kind} {value}" if is_number(value) and fits_long(value) else kind


def is_number(value: Any) -> bool:
    """Tell whether a value is a number. A boolean is not."""
    kind = type(value)
    return kind is int or kind is float


def fits_long(number: int | float) -> bool:
    """Tell whether the whole part of a number fits 64 bits."""
    return -(2**63) <= number <= 2**63 - 1


def text(value: Any) -> str:
    """Return a value as text: a string as it is, everything else as JSON has it."""
    if type(value) is str:
        return value
    try:
        return str(value) if is_number(value) else msgspec.json.encode(value).decode()
    except (ValueError, OverflowError, TypeError):  # a huge integer, half a surrogate pair, no JSON value
        raise EvaluationError(f"expected a value that can be written as text, got {describe(value)}") from None


def boolean(value: Any) -> bool:
    """Return a value that must be a boolean."""
    if value is True or value is False:
        return value
    raise EvaluationError(f"expected true or false, got {describe(value)}")


def item(target: Any, index: Any) -> Any:
    """``target[index]``: only lists and objects have items. Raises :class:`MissingField` for one that is not there."""
    if type(index) is str and type(target) is dict and index in target:
        return target[index]
    if type(index) is int and type(target) is list and 0 <= index < len(target):
        return target[index]
    if type(index) not in (str, int):
        raise EvaluationError(f"expected an integer or a string in [], got {describe(index)}")
    raise MissingField(f"expected an item {index!r}, got {describe(target)} without it")


# --- comparison ---


def equal(left: Any, right: Any) -> bool:
    """``==``: values of different kinds are not equal, ``1`` and ``1.0`` are."""
    return left == right and (type(left) is bool) is (type(right) is bool)


def unequal(left: Any, right: Any) -> bool:
    """``!=``."""
    return not equal(left, right)


def _ordering(symbol: str, compare: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool]:
    def ordered(left: Any, right: Any) -> bool:
        if is_number(left) and is_number(right):
            return compare(left, right)
        if left is None or right is None:
            return compare(left is not None, right is not None)  # nil comes before everything
        if type(left) is type(right) and type(left) in (str, bool):
            return compare(left, right)
        raise _unfit(symbol, "two numbers or two strings", left, right)

    return ordered


less = _ordering("<", operator.lt)
less_equal = _ordering("<=", operator.le)
greater = _ordering(">", operator.gt)
greater_equal = _ordering(">=", operator.ge)


# --- arithmetic ---


def add(left: Any, right: Any) -> Any:
    """``+``: the sum of two numbers, or a string joined with anything."""
    if is_number(left) and is_number(right):
        return _bounded(operator.add, left, right)
    if type(left) is not str and type(right) is not str:
        raise _unfit("+", "two numbers or a string", left, right)
    joined = text(left) + text(right)
    if len(joined) > MAX_TEXT:
        raise EvaluationError(f"expected a string of at most {MAX_TEXT} characters, got {len(joined)}")
    return joined


def subtract(left: Any, right: Any) -> Any:
    """``-`` between two numbers."""
    return _bounded(operator.sub, *_numbers("-", left, right))


def multiply(left: Any, right: Any) -> Any:
    """``*`` between two numbers."""
    return _bounded(operator.mul, *_numbers("*", left, right))


def divide(left: Any, right: Any) -> Any:
    """``/``: of two integers the quotient without its fraction."""
    return _bounded(_quotient, *_numbers("/", left, right))


def modulo(left: Any, right: Any) -> Any:
    """``%``: the remainder has the sign of the left operand."""
    return _bounded(_remainder, *_numbers("%", left, right))


def negate(value: Any) -> Any:
    """``-`` before a number."""
    if not is_number(value):
        raise EvaluationError(f"expected a number after -, got {describe(value)}")
    return -value


def _numbers(symbol: str, left: Any, right: Any) -> tuple[Any, Any]:
    if is_number(left) and is_number(right):
        return left, right
    raise _unfit(symbol, "two numbers", left, right)


def _bounded(compute: Callable[[Any, Any], Any], left: Any, right: Any) -> Any:
    try:
        result = compute(left, right)
    except OverflowError:  # an integer that no float can hold
        raise EvaluationError("expected numbers below 1.8e308, got a larger one") from None
    if type(result) is int and not fits_long(result):
        raise EvaluationError("expected an integer result of at most 64 bits, got a larger one; use double()")
    return result


def _quotient(left: Any, right: Any) -> Any:
    if type(left) is int and type(right) is int:
        if right == 0:
            raise EvaluationError("expected a divisor other than 0, got 0")
        quotient = abs(left) // abs(right)
        return quotient if (left < 0) is (right < 0) else -quotient
    if right != 0:
        return left / right
    return math.nan if left == 0 or left != left else math.copysign(math.inf, left) * math.copysign(1, right)


def _remainder(left: Any, right: Any) -> Any:
    if type(left) is int and type(right) is int:
        if right == 0:
            raise EvaluationError("expected a divisor other than 0, got 0")
        remainder = abs(left) % abs(right)
        return -remainder if left < 0 else remainder
    try:
        return math.fmod(left, right)
    except ValueError:
        return math.nan


def _unfit(symbol: str, wanted: str, left: Any, right: Any) -> EvaluationError:
    return EvaluationError(f"expected {wanted} for {symbol}, got {describe(left)} and {describe(right)}")
