"""What expressions give for events."""

from __future__ import annotations

import math
from typing import Any

import pytest

from trimtab.expressions import EvaluationError, ExpressionError, MissingField, compile_expression

EVENT: dict[str, Any] = {
    "i": 7,
    "f": 2.5,
    "s": "bus",
    "t": True,
    "no": False,
    "n": None,
    "zero": 0,
    "one": 1,
    "list": [1, 2, {"k": "v"}],
    "d": {"k": 3, "x y": 4, "true": 5},
    "key": "k",
    "big": 2**62,
    "huge": 10**400,
}


def value(source: str, event: Any = EVENT) -> Any:
    return compile_expression(source).value(event)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("i + 1", 8),
        ("i / 2", 3),
        ("-i / 2", -3),
        ("-7 / -2", 3),
        ("i % 4", 3),
        ("-i % 4", -3),
        ("7 % -4", 3),
        ("-7.5 % 2", -1.5),
        ("i / 2.0", 3.5),
        ("f * 2", 5.0),
        ("i - f", 4.5),
        ("-f", -2.5),
        ("1 / 0.0", math.inf),
        ("-1 / 0.0", -math.inf),
        ("0.5 + 1e3", 1000.5),
        ("'n' + i", "n7"),
        ("i + '-' + f", "7-2.5"),
        ("'is ' + t", "is true"),
        ("n + 's'", "nulls"),
        ("'l' + list", 'l[1,2,{"k":"v"}]'),
        ("t ? i : s", 7),
        ("no ? i : s", "bus"),
        ("d.k", 3),
        ("d['x y']", 4),
        ("d[key]", 3),
        ("d.true", 5),
        ("list[0]", 1),
        ("list[one]", 2),
        ("list[2].k", "v"),
        ("list[one + 1]['k']", "v"),
    ],
)
def test_a_value_is_what_java_would_give(source: str, expected: object) -> None:
    found = value(source)
    assert found == expected
    assert type(found) is type(expected)


def test_zero_by_a_zero_with_a_point_is_not_a_number() -> None:
    assert math.isnan(value("zero / 0.0"))
    assert math.isnan(value("i % 0.0"))


@pytest.mark.parametrize(
    "source",
    [
        "i > 6", "i >= 7", "i < 8", "i <= 7", "i > 6.5", "6 < i", "f < i", "s < 'car'", "s < 'car' || s >= 'bus'",
        "s == 'bus'", "s != 'car'", "'bus' == s", "i == 7", "i == 7.0", "7 == i", "i != 8", "i != s", "s != 7",
        "one == 1", "one == 1.0", "zero == 0", "t != 1", "1 != t", "no != 0", "zero != false", "t == true", "t != no",
        "n == nil", "i != nil", "nil == n", "no != nil", "n < i", "n < 'a'", "i > n", "!(n < n)", "n <= n", "n < t",
        "!(n > 1)", "n < 1", "no < t", "huge > 1e300", "huge == huge", "list == list", "list != d",
        "t && !no", "no || t", "!(t && no)", "i > 5 && f < 3 || no", "(i > 5) == t", "t ? t : no",
        "s + i == 'bus7'", "i * 2 > 13", "i % 2 == 1 && i / 2 == 3",
    ],
)  # fmt: skip
def test_a_true_condition_is_true(source: str) -> None:
    expression = compile_expression(source)
    assert expression.test(EVENT) is True
    assert expression.value(EVENT) is True
    assert compile_expression(f"!({source})").test(EVENT) is False
    assert expression.errors == 0


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("s > 60", "expected two numbers or two strings for >, got string 'bus' and number 60"),
        ("60 < s", "expected two numbers or two strings for <, got number 60 and string 'bus'"),
        ("t > 0", "got true and number 0"),
        ("t >= zero", "got true and number 0"),
        ("list < 1", "got list and number 1"),
        ("d > i", "got object and number 7"),
        ("s < t", "got string 'bus' and true"),
        ("'a' < 1", "got string 'a' and number 1"),
        ("huge < s", "got number and string 'bus'"),
        ("s * 2 == 'busbus'", "expected two numbers for *, got string 'bus' and number 2"),
        ("i - t == 6", "expected two numbers for -, got number 7 and true"),
        ("i + t == 8", "expected two numbers or a string for +, got number 7 and true"),
        ("n + 1 == 1", "expected two numbers or a string for +, got nil and number 1"),
        ("-s == 1", "expected a number after -, got string 'bus'"),
        ("i / zero == 1", "expected a divisor other than 0, got 0"),
        ("i % 0 == 1", "expected a divisor other than 0, got 0"),
        ("big * big > 0", "expected an integer result of at most 64 bits, got a larger one; use double()"),
        ("big + big > 0", "expected an integer result of at most 64 bits"),
        ("huge * 1.5 > 0", "expected numbers below 1.8e308, got a larger one"),
        ("huge + 1 > 0", "expected an integer result of at most 64 bits"),
        ("i && t", "expected true or false, got number 7"),
        ("no || s", "expected true or false, got string 'bus'"),
        ("!n", "expected true or false, got nil"),
        ("i ? t : no", "expected true or false, got number 7"),
        ("i", "expected true or false, got number 7"),
        ("n", "expected true or false, got nil"),
        ("'true'", "expected true or false, got string 'true'"),
        ("list[t] == 1", "expected an integer or a string in [], got true"),
    ],
)  # fmt: skip
def test_a_type_error_is_false_and_counted(source: str, reason: str) -> None:
    expression = compile_expression(source)
    assert (expression.errors, expression.last_error) == (0, None)
    assert expression.test(EVENT) is False
    assert expression.test(EVENT) is False
    assert expression.errors == 2
    assert expression.last_error is not None
    assert reason in expression.last_error


@pytest.mark.parametrize(
    "source",
    [
        "lost > 1",
        "lost == nil",
        "lost != 1",
        "i == 7 || lost == 1",
        "lost == 1 || i == 7",
        "!(lost == 1)",
        "!lost",
        "t ? t : lost",
        "d.lost == 1",
        "!(d['lost'] == 1)",
        "t || list[9] == 1",
        "i.k == 1",
        "s[0] == 'b'",
        "s.length > 0",
        "n.k == nil",
        "list.k == 1",
        "d[0] == 1",
        "!(d[s] == 1)",
        "!(list[i] == 1)",
        "!(list[-1] == 1)",
        "!(s[zero] == 'b')",
        "!(list[key] == 1)",
        "s.__class__ != nil",
        "d.keys != nil",
    ],
)
def test_a_missing_field_makes_the_whole_condition_false_and_is_no_error(source: str) -> None:
    expression = compile_expression(source)
    assert expression.test(EVENT) is False
    assert expression.errors == 0
    with pytest.raises(MissingField):
        expression.value(EVENT)


def test_the_missing_field_is_named() -> None:
    with pytest.raises(MissingField, match=r"expected an event with d\.list\[1\], got object without it"):
        value("i > 1 && d.list[1].x == 2", {"i": 1, "d": {"list": [1]}})


@pytest.mark.parametrize("event", [None, 1, 1.5, "speed", True, [], [1], ["speed"], {}, {"Speed": 1}])
def test_an_event_may_be_any_json_value(event: object) -> None:
    assert compile_expression("speed > 60").test(event) is False
    assert compile_expression("1 < 2").test(event) is True


def test_an_expression_without_fields_is_evaluated() -> None:
    assert compile_expression("1 > 2").test({}) is False


def test_a_list_nested_too_deeply_is_an_error_and_not_a_crash() -> None:
    deep: list[Any] = []
    other: list[Any] = []
    for _ in range(100_000):
        deep, other = [deep], [other]
    expression = compile_expression("a == b")
    assert expression.test({"a": deep, "b": other}) is False
    assert expression.last_error == "expected values that are nested less deeply"
    with pytest.raises(EvaluationError, match="nested less deeply"):
        expression.value({"a": deep, "b": other})


def test_a_joined_string_has_a_limit() -> None:
    expression = compile_expression("+".join(["a"] * 90) + " == ''")
    assert expression.test({"a": "x" * 100_000}) is False
    assert expression.last_error == "expected a string of at most 1000000 characters, got 1100000"


def test_parameters_come_before_fields() -> None:
    parameters = {"limit": 60, "types": ["bus", "car"], "by": {"bus": {"max": 80}}, "pattern": "b.*"}
    event = {"limit": 1000, "speed": 70, "type": "bus"}

    def test(source: str) -> bool:
        return compile_expression(source, parameters=parameters).test(event)

    assert test("speed > limit")
    assert test("include(types, type)")
    assert test("types[1] == 'car'")
    assert test("by.bus.max == 80")
    assert test("by[type].max > speed")
    assert test("type =~ pattern")


def test_a_parameter_is_a_literal_in_the_tree() -> None:
    with_parameter = compile_expression("speed > limit.max", parameters={"limit": {"max": 60}})
    assert with_parameter.tree == compile_expression("speed > 60").tree
    assert with_parameter.fields == {("speed",)}


def test_a_path_that_a_parameter_lacks_is_refused() -> None:
    with pytest.raises(ExpressionError, match=r"column 9: expected a path within the parameter limit: .* item 'mim'"):
        compile_expression("speed > limit.mim", parameters={"limit": {"max": 60}})


def test_two_expressions_do_not_share_their_counts() -> None:
    first, second = compile_expression("a > 1"), compile_expression("a > 1")
    first.test({"a": "x"})
    assert (first.errors, second.errors) == (1, 0)


def test_an_expression_shows_its_source() -> None:
    assert repr(compile_expression("a > 1")) == "Expression('a > 1')"


def test_the_event_is_not_changed() -> None:
    event = {"a": [1, {"b": 2}], "c": "x"}
    compile_expression("a[1].b + 1 > 2 && c + a != ''").test(event)
    assert event == {"a": [1, {"b": 2}], "c": "x"}
