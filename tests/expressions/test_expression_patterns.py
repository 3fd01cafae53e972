"""Regular expressions: what matches, what is refused, and that nothing takes long."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trimtab.expressions import ExpressionError, compile_expression
from trimtab.expressions.patterns import PatternError
from trimtab.expressions.regex import matcher


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
        (r"a.c", "a\u2028c", False),
        (r"(?s)a.c", "a\nc", True),
        (r"\d+", "٣", False),
        (r"\w+", "größe", False),
        (r"[\u4e00-\u9fa5]+", "公共汽车", True),
        (r"[^@\s]+@[^@\s]+\.[a-z]{2,}", "me@example.org", True),
        (r"(\d{1,3}\.){3}\d{1,3}", "10.0.0.255", True),
        (r"(\d{1,3}\.){3}\d{1,3}", "10.0.0.2555", False),
        (r"a{2}b{1,2}c{2,}", "aabbcccc", True),
        (r"a{2}b{1,2}c{2,}", "aabbbcc", False),
        (r"x{0,2}", "", True),
        (r"x{,2}y", "xxxy", False),
        (r"(?:ab|cd)+?", "abcdab", True),
        (r"(?P<name>a|b)c", "bc", True),
        (r"[]a]{2}", "]a", True),
        (r"[^]a]", "]", False),
        (r"a\/b\x41\.", "a/bA.", True),
        (r"a{x}", "a{x}", True),
        (r"", "", True),
        (r"(^a|b$)", "b", True),
        (r"(|a)+", "aaa", True),
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
    assert expression.last_error == "expected a string of at most 10000 characters for =~, got number 1"
    assert expression.test({"a": "x" * 10_001}) is False
    assert expression.errors == 2


def test_a_string_may_be_a_pattern() -> None:
    assert compile_expression("id =~ 'a\\\\d' && id =~ \"a.\"").test({"id": "a1"})


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        ("(", "missing .*, unterminated subpattern"),
        ("*a", "nothing to repeat"),
        (r"\p{L}", r"bad escape \\p"),
        ("[a-z&&[^b]]", "Possible set"),
        (r"(a)\1", "back references are not supported"),
        (r"\bword\b", r"\\b and back references are not supported"),
        ("(?=a)a", "look-around"),
        ("(?<!a)b", "look-around"),
        ("(?x)a b", "look-around, flags"),
        ("a(?i:b)", "look-around, flags"),
        ("(?>a)", "look-around, flags"),
        ("a*+", "possessive .* is not supported"),
        ("a^b", "can only stand at the beginning"),
        ("(a$)*b", "can only stand at the end"),
        ("a{1001}", "at most 1000 characters with all its repetitions"),
        ("((a{99}){99}){99}", "at most 1000 characters with all its repetitions"),
        ("(a?b?c?d?){250}", "too many of its characters can follow each other"),
        ("a{99999999999999999999}", "repetition number is too large"),
        ("a" * 501, "at most 500 characters, got 501"),
        ("a)", "unbalanced parenthesis"),
    ],
)
def test_a_pattern_that_cannot_run_safely_is_refused_with_the_reason(pattern: str, reason: str) -> None:
    with pytest.raises(PatternError, match=reason):
        matcher(pattern)


def test_a_bad_pattern_is_refused_at_its_column() -> None:
    with pytest.raises(ExpressionError, match=r"^column 16: expected a regular expression, got /\[/: unterminated"):
        compile_expression("a == 1 && b =~ /[/")


@pytest.mark.parametrize(
    "pattern",
    ["(a+)+b", "(a|a)*b", "(a|aa)+$", "(.*a){20}", ".*.*.*.*=", ".*a.*b.*c.*d.*", "a?" * 100 + "a" * 100, "(x+x+)+y"],
)
@pytest.mark.parametrize("unit", ["a", "ab", "abcd", "x", "a="])
def test_no_pattern_takes_more_than_linear_time(pattern: str, unit: str) -> None:
    matches = matcher(pattern)
    began = time.process_time()
    matches((unit * 10_000)[:9_999] + "\n")
    assert time.process_time() - began < 2


_CHARS = st.sampled_from(["a", "b", ".", r"\d", "[ab]", "[^a]", r"\.", "é"])
_PATTERNS = st.recursive(
    _CHARS,
    lambda inner: st.one_of(
        st.tuples(inner, inner).map("".join),
        st.tuples(inner, inner).map(lambda pair: f"({pair[0]}|{pair[1]})"),
        st.tuples(inner, st.sampled_from(["*", "+", "?", "{2}", "{1,2}", "{2,}", "{0,3}", "*?"])).map(
            lambda pair: f"(?:{pair[0]}){pair[1]}"
        ),
    ),
    max_leaves=6,
)


@settings(deadline=None)
@given(_PATTERNS, st.lists(st.text("ab1.é", max_size=6), max_size=10))
def test_the_automaton_agrees_with_python(pattern: str, subjects: list[str]) -> None:
    matches, reference = matcher(pattern), re.compile(pattern, re.ASCII)
    for subject in subjects:
        assert matches(subject) is (reference.fullmatch(subject) is not None)


def test_steps_that_are_no_longer_kept_are_found_anew() -> None:
    matches = matcher(".*a.{12}")
    subject = "".join("ab"[(number * number // 7) % 2] for number in range(9_000))
    expected = re.fullmatch(".*a.{12}", subject) is not None
    assert matches(subject) is expected
    assert matches("".join(chr(0x4E00 + number) for number in range(6_000))) is False
    assert matches("a" + "b" * 12) is True
