"""Regular expressions: what matches, what is refused with which reason, and that every pattern is answered."""

from __future__ import annotations

import subprocess
import sys

import pytest

from trimtab.expressions import EvaluationError, ExpressionError, compile_expression
from trimtab.expressions.regex import PatternError, matcher


@pytest.mark.parametrize(
    ("pattern", "subject", "matches"),
    [
        (r"bus", "bus", True),
        (r"bus", "a bus", False),
        (r"bus.*", "bus 12", True),
        (r"^bus$", "bus", True),
        (r"bus$", "bus\n", False),
        (r"(?i)BUS-\d+", "bus-7", True),
        (r"a.c", "a\nc", False),
        (r"(?s)a.c", "a\nc", True),
        (r"\d+", "٣", False),
        (r"\w+", "größe", False),
        (r"\p{L}+", "größe", True),
        (r".*\bbus\b.*", "a bus.", True),
        (r".*\bbus\b.*", "a business", False),
        (r"[\u4e00-\u9fa5]+", "公共汽车", True),
        (r"\\u0041", r"\u0041", True),
        (r"\x{1F600}", "😀", True),
        (r"[^@\s]+@[^@\s]+\.[a-z]{2,}", "me@example.org", True),
        (r"(\d{1,3}\.){3}\d{1,3}", "10.0.0.255", True),
        (r"(\d{1,3}\.){3}\d{1,3}", "10.0.0.2555", False),
        (r"(?<name>a|b)c", "bc", True),
        (r"[]a]{2}", "]a", True),
        (r"[\]]a[b]", "]ab", True),
        (r"[\[&\&]+", "[&&", True),
        (r"a\/b\x41\.", "a/bA.", True),
        (r"", "", True),
        (r"(|a)+", "aaa", True),
        (r".", "\ud800", True),
        (r"a", "\ud800", False),
    ],
)
def test_a_pattern_matches_the_whole_string_as_in_java(pattern: str, subject: str, matches: bool) -> None:
    assert matcher(pattern)(subject) is matches


def test_nil_matches_nothing_and_what_is_no_string_is_a_type_error() -> None:
    expression = compile_expression("a =~ /.*/")
    assert expression.test({"a": "x"}) is True
    assert expression.test({"a": None}) is False
    assert expression.errors == 0
    assert expression.test({"a": 1}) is False
    assert expression.last_error == "expected a string of at most 100000 characters for =~, got number 1"
    assert expression.errors == 1


def test_a_string_that_is_too_long_is_an_error() -> None:
    matches = matcher("x*")
    assert matches("x" * 100_000) is True
    with pytest.raises(EvaluationError, match="at most 100000 characters for =~, got one of 100001"):
        matches("x" * 100_001)


def test_a_string_may_be_a_pattern() -> None:
    assert compile_expression("id =~ 'a\\\\d' && id =~ \"a.\"").test({"id": "a1"})


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        ("(", r"got /(/: missing ): ("),
        ("é(", r"got /é(/: missing ): é("),
        ("*a", "no argument for repetition operator: *"),
        ("[a-z&&[^b]]", r"expected no class within a class, got /[a-z&&[^b]]/; write \[ or \&"),
        ("[[:alpha:]]", "expected no class within a class"),
        (r"(a)\1", r"invalid escape sequence: \1; write \\ for a backslash"),
        (r"(a)\1", r"back references such as \1 are not supported: write out what they repeat"),
        (r"a\Z", r"invalid escape sequence: \Z; write \\ for a backslash, \z for the end"),
        (r"\ud83d\ude00", r"invalid escape sequence: \u; write \\ for a backslash, \z for the end, \x{1F600}"),
        ("(?=a)a", "invalid perl operator: (?=; look-around, atomic groups and the like are not supported; use !, &&"),
        ("(?<!a)b", "invalid perl operator: (?<!; look-around"),
        ("(?>a)", "invalid perl operator: (?>; look-around, atomic groups"),
        ("a*+", "bad repetition operator: *+; possessive repetition is not supported; leave out the last sign"),
        ("((a{99}){99}){99}", "invalid repetition size: {99}; repeat at most 1000 times in all"),
        (r"\pL{500}", "pattern too large - compile failed; repeat less"),
        ("a" * 501, "expected a pattern of at most 500 characters, got 501"),
    ],
)
def test_a_pattern_that_cannot_run_safely_is_refused_with_the_reason(pattern: str, reason: str) -> None:
    with pytest.raises(PatternError) as caught:
        matcher(pattern)
    assert reason in str(caught.value)


def test_a_bad_pattern_is_refused_at_its_column_and_nothing_is_printed(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ExpressionError, match=r"^column 16: expected a regular expression, got /\(/: missing \)"):
        compile_expression("a == 1 && b =~ /(/")
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("pattern", "matches"),
    [
        ("(a+)+$", True),
        ("(a+)+b", False),
        ("(a|aa)+b", False),
        ("(.*a){20}", True),
        ("a?" * 100 + "a" * 100, False),
        ("(x+x+)+y", False),
        (".*a.{300}", True),
    ],
)
def test_a_pattern_that_would_never_end_with_backtracking_is_answered(pattern: str, matches: bool) -> None:
    assert matcher(pattern)("a" * 50_000) is matches


def test_the_library_is_loaded_only_when_a_pattern_is_compiled() -> None:
    code = """if True:
        import sys
        from trimtab.expressions import compile_expression
        compile_expression("a == 1")
        assert "re2" not in sys.modules
        compile_expression("a =~ /b/")
        assert "re2" in sys.modules
    """
    subprocess.run([sys.executable, "-c", code], check=True)
