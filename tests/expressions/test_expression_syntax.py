"""How the text of an expression is read, and what is said of mistakes in it."""

from __future__ import annotations

import subprocess
import sys

import pytest

from trimtab.errors import TrimtabError
from trimtab.expressions import ExpressionError, compile_expression
from trimtab.expressions.tree import Binary, Call, Comparison, Conditional, Field, Index, Literal, Logical, Match, Node

A, B, C = Field(("a",)), Field(("b",)), Field(("c",))


@pytest.mark.parametrize(
    ("source", "tree"),
    [
        ("a + b * c", Binary("+", A, Binary("*", B, C))),
        ("a - b - c", Binary("-", Binary("-", A, B), C)),
        ("(a + b) * c", Binary("*", Binary("+", A, B), C)),
        ("a < b == c", Comparison("==", Comparison("<", A, B), C)),
        ("a == b && c", Logical("&&", (Comparison("==", A, B), C))),
        ("a || b && c", Logical("||", (A, Logical("&&", (B, C))))),
        ("a && b && c", Logical("&&", (A, B, C))),
        ("a ? b : b ? c : a", Conditional(A, B, Conditional(B, C, A))),
        ("a || b ? b : c", Conditional(Logical("||", (A, B)), B, C)),
        ("-5", Literal(-5)),
        ("a.b['c'][0].d", Field(("a", "b", "c", 0, "d"))),
        ("a[b]", Index(A, B)),
        ("a[-1]", Index(A, Literal(-1))),
        ("a[b].c", Index(Index(A, B), Literal("c"))),
        ("a.true", Field(("a", "true"))),
        ("truest", Field(("truest",))),
        ("größe", Field(("größe",))),
        ("$x", Field(("$x",))),
        ("a =~ /b\\/c/", Match(A, Literal("b\\/c"))),
        ("a / b / c", Binary("/", Binary("/", A, B), C)),
        ("count(a)", Call("count", (A,))),
    ],
)
def test_an_expression_is_read_with_the_usual_precedence(source: str, tree: Node) -> None:
    assert compile_expression(source).tree == tree


@pytest.mark.parametrize(
    ("source", "value"),
    [
        ("1", 1),
        ("1.5", 1.5),
        (".5", 0.5),
        ("1e3", 1000.0),
        ("2.5E-1", 0.25),
        ("18446744073709551615", 2**64 - 1),
        ("true", True),
        ("false", False),
        ("nil", None),
        ("'it\\'s'", "it's"),
        ('"say \\"hi\\""', 'say "hi"'),
        ("'a\\n\\t\\\\\\u00e9\\#{'", "a\n\t\\é#{"),
        ("'two\nlines'", "two\nlines"),
        ("'日本'", "日本"),
        ("''", ""),
    ],
)
def test_a_literal_has_its_value(source: str, value: object) -> None:
    found = compile_expression(source).value({})
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("", "column 1: expected a value, got nothing"),
        ("speed >", "column 8: expected a value, got the end of the expression"),
        ("speed > > 5", "column 9: expected a value, got '>'"),
        ("a b", "column 3: expected an operator, got 'b'"),
        ("(a", "column 3: expected an operator or ')', got the end of the expression"),
        ("a[1", "column 4: expected an operator or ']', got the end of the expression"),
        ("a ? b", "column 6: expected an operator or ':', got the end of the expression"),
        ("a..b", "column 3: expected a name, got '.'"),
        ("a = 5", "column 3: expected an operator, got '='; use =="),
        ("a and b", "column 3: expected an operator, got 'and'; use &&"),
        ("'é' == größe &", "column 14: expected an operator, got '&'; use &&"),
        ("a == 'bc", "column 6: expected a closing ', got the end of the expression"),
        ("a =~ /bc", "column 6: expected a closing /, got the end of the expression"),
        ("a\n  && #", "line 2, column 6: expected a value, got '#'"),
        (
            r"a == '\d'",
            r"column 7: expected an escape such as \n, \t, \\ or \u0041, got \d; a backslash is written \\",
        ),
        ("'#{a}'", r"column 1: expected a plain string, got '#{'; use + to join strings, \# for a plain #"),
        ("a > 1e999", "column 5: expected a number below 1.8e308, got 1e999"),
        ("9" * 500, "column 1: expected a number of at most 400 digits, got 500"),
        ("count(a)(b)", "column 9: expected the name of a function before '('"),
        ("1 < string.contain(a, 'b')", "column 5: expected a known function, got string.contain; did you mean string"),
        ("zzz(a)", "column 1: expected a known function, got zzz; the functions are count, double,"),
        ("string.contains(a)", "column 1: expected 2 argument(s) for string.contains, got 1"),
        ("string.substring(a)", "column 1: expected 2 to 3 argument(s) for string.substring, got 1"),
        ("a > now()", "column 5: expected an expression without now(): there is no clock here"),
        ("a =~ /(/", "column 6: expected a regular expression, got /(/: missing ): ("),
        ("a =~ b", "column 5: expected a pattern such as /a.*/ or a string after =~, got something computed"),
        ("jsonpath(a, 'b')", "column 1: expected a path such as $.a.b[0], got 'b'; begin it with $"),
        ("a" * 10_001, "column 1: expected at most 10000 characters, got 10001; split the expression"),
        ("a" + "+a" * 200, "column 1: expected at most 100 levels of nesting, got 201; split the expression"),
        ("!" * 9_000 + "a", "column 1: expected at most 100 levels of nesting, got 9001; split the expression"),
        ("a" + ".a" * 4_000, "column 1: expected at most 100 levels of nesting, got 4001; split the expression"),
    ],
)
def test_a_mistake_is_refused_with_its_place_what_was_expected_and_what_came(source: str, message: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        compile_expression(source)
    assert str(caught.value).startswith(message)


def test_the_error_has_its_parts_as_fields() -> None:
    with pytest.raises(TrimtabError) as caught:
        compile_expression("a &&\n b c")
    error = caught.value
    assert isinstance(error, ExpressionError)
    assert (error.line, error.column, error.source) == (2, 4, "a &&\n b c")
    assert error.message == "expected an operator, got 'c'"


def test_brackets_and_chains_may_be_long() -> None:
    assert compile_expression("(" * 2000 + "true" + ")" * 2000).test({})
    assert compile_expression(" || ".join(f"id == {number}" for number in range(700))).test({"id": 699})


def test_an_expression_may_have_a_hundred_levels() -> None:
    assert compile_expression("!" * 98 + "a[0]").test({"a": [True]})
    assert compile_expression("1" + " + 1" * 97 + " == 98 || a").test({"a": 1})
    assert compile_expression("a ? 1 : " * 98 + "2").value({"a": False}) == 2


def test_the_fields_are_the_paths_up_to_the_first_index() -> None:
    expression = compile_expression("a.b > 1 && (c['d'] == 2 || e[0].f == 3) && x[y] == limit", parameters={"limit": 1})
    assert expression.fields == {("a", "b"), ("c", "d"), ("e",), ("x",), ("y",)}
    assert expression.source.startswith("a.b > 1")


def test_the_parser_library_is_loaded_only_when_something_is_compiled() -> None:
    code = "import sys, trimtab.expressions; sys.exit('lark' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
