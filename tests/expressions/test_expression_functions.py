"""What each function gives."""

from __future__ import annotations

import math
from typing import Any

import pytest

from trimtab.expressions import EvaluationError, MissingField, compile_expression
from trimtab.expressions.functions import FUNCTIONS

EVENT: dict[str, Any] = {
    "s": "Größe",
    "l": [1, "a", None, 2.0, True],
    "d": {"k": 1, "j": 2},
    "n": None,
    "i": 7,
    "t": True,
    "json": '{"a": {"b": [{"c": 5}, {"c": 6}, {}]}, "x-y": 1, "sp ace": 2}',
    "broken": '{"a": ',
    "huge": 10**5000,
}

FACTS: list[tuple[str, object]] = [
    ("string.contains(s, 'öß')", True),
    ("string.contains(s, 'x')", False),
    ("string.startsWith(s, 'Gr')", True),
    ("string.endsWith(s, 'Gr')", False),
    ("string.length(s)", 5),
    ("string.indexOf(s, 'ö')", 2),
    ("string.indexOf(s, 'x')", -1),
    ("string.substring(s, 2)", "öße"),
    ("string.substring(s, 1, 3)", "rö"),
    ("string.substring(s, 5)", ""),
    ("string.toLowerCase('AbC')", "abc"),
    ("string.toUpperCase('AbC')", "ABC"),
    ("math.abs(-3)", 3),
    ("math.abs(-2.5)", 2.5),
    ("math.pow(2, 10)", 1024.0),
    ("math.pow(10, 400)", math.inf),
    ("math.pow(-10, 401)", -math.inf),
    ("math.pow(0, -1)", math.inf),
    ("math.sqrt(16)", 4.0),
    ("math.log(1)", 0.0),
    ("math.log(0)", -math.inf),
    ("math.round(2.5)", 3),
    ("math.round(-2.5)", -2),
    ("math.round(-2.6)", -3),
    ("math.round(0.49999999999999994)", 0),
    ("math.round(7)", 7),
    ("long('-12')", -12),
    ("long(2.9)", 2),
    ("long(-2.9)", -2),
    ("long(t)", 1),
    ("double('1.5e2')", 150.0),
    ("double(i)", 7.0),
    ("double(t)", 1.0),
    ("str(1.5)", "1.5"),
    ("str(nil)", "null"),
    ("str(t)", "true"),
    ("str('a')", "a"),
    ("str(d)", '{"k":1,"j":2}'),
    ("count(l)", 5),
    ("count(d)", 2),
    ("count(s)", 5),
    ("count(n)", 0),
    ("include(l, 'a')", True),
    ("include(l, 2)", True),
    ("include(l, nil)", True),
    ("include(l, 'b')", False),
    ("include(l, false)", False),
    ("include(n, 1)", False),
    ("jsonpath(json, '$.a.b[1].c')", 6),
    ("jsonpath(json, \"$['a'].b[0]['c']\")", 5),
    ("jsonpath(json, '$.a.b[*].c')", [5, 6]),
    ("jsonpath(json, '$.a.*[0]')", [{"c": 5}]),
    ("jsonpath(json, '$.z.*')", []),
    ("jsonpath(json, '$.x-y')", 1),
    ("jsonpath(json, \"$['sp ace']\")", 2),
    ("jsonpath(d, '$.k')", 1),
    ("jsonpath(l, '$[1]')", "a"),
    ("jsonpath('7', '$')", 7),
    ("jsonpath(json, '$.a').b[0].c", 5),
    ("jsonpath(json, '$.' + 'x-y')", 1),
]


@pytest.mark.parametrize(("source", "expected"), FACTS)
def test_a_function_gives_its_value(source: str, expected: object) -> None:
    found = compile_expression(source).value(EVENT)
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_every_function_has_a_fact(name: str) -> None:
    assert any(source.startswith(f"{name}(") for source, _ in FACTS)


@pytest.mark.parametrize("source", ["math.sqrt(-1)", "math.log(-1)", "math.pow(-1, 0.5)"])
def test_what_has_no_answer_is_not_a_number(source: str) -> None:
    assert math.isnan(compile_expression(source).value({}))


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("string.length(i)", "expected a string, got number 7"),
        ("string.contains(s, i)", "expected a string, got number 7"),
        ("string.toLowerCase(n)", "expected a string, got nil"),
        ("string.substring(s, 9)", "expected positions within 0 and 5, got 9 and 5"),
        ("string.substring(s, 3, 2)", "expected positions within 0 and 5, got 3 and 2"),
        ("string.substring(s, -1)", "expected positions within 0 and 5, got -1 and 5"),
        ("math.abs('1')", "expected a number, got string '1'"),
        ("math.abs(t)", "expected a number, got true"),
        ("math.sqrt(huge)", "expected a number that fits a double, got number"),
        ("math.round(1e30)", "expected an integer of at most 64 bits, got number"),
        ("math.round(math.pow(10, 400))", "expected an integer of at most 64 bits, got number"),
        ("long('1_000')", "expected an integer of at most 64 bits, got string '1_000'"),
        ("long('12.5')", "got string '12.5'"),
        ("long(n)", "got nil"),
        ("double('1_0')", "expected a number, got string '1_0'"),
        ("double('abc')", "expected a number that fits a double, got string 'abc'"),
        ("double(l)", "expected a number, got list"),
        ("str(huge)", "expected a value that can be written as text, got number"),
        ("count(i)", "expected a list, an object or a string to count, got number 7"),
        ("include(s, 'a')", "expected a list to search, got string 'Größe'"),
        ("jsonpath(broken, '$.a')", "Input data was truncated"),
        ("jsonpath(json, s)", "expected a path such as $.a.b[0], got 'Größe'; begin it with $"),
        ("jsonpath(json, '$.a' + '[x]')", "expected .name, [0], ['name'], .* or [*] in the path, got '[x]'"),
        ("jsonpath(json, i)", "expected a path as a string, such as '$.a.b'"),
    ],
)
def test_a_wrong_argument_is_an_evaluation_error_with_the_reason(source: str, reason: str) -> None:
    with pytest.raises(EvaluationError) as caught:
        compile_expression(source).value(EVENT)
    assert reason in str(caught.value)


def test_a_path_that_leads_to_nothing_is_a_missing_field() -> None:
    expression = compile_expression("!(jsonpath(json, '$.a.z') == 1)")
    assert expression.test(EVENT) is False
    assert expression.errors == 0
    with pytest.raises(MissingField):
        expression.value(EVENT)


def test_now_is_the_clock_that_was_given() -> None:
    times = iter((1000, 2000))
    expression = compile_expression("now() - at > 500", now=lambda: next(times))
    assert expression.test({"at": 600}) is False
    assert expression.test({"at": 600}) is True
