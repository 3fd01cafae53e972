"""Patterns and rules written as JSON."""

from __future__ import annotations

import json
from itertools import islice
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.cep.oracle.generate import cases
from tests.cep.random_patterns import patterns
from trimtab.cep import Pattern, Rule, RuleError, read_rule
from trimtab.cep.pattern import Combined, FunctionCall, Native, Quantifier, Stage, Window
from trimtab.cep.reading import read_pattern
from trimtab.cep.rule import Target
from trimtab.cep.writing import write_pattern, write_rule


def through_text(value: Any) -> Any:
    return json.loads(json.dumps(value))


@given(patterns())
@settings(max_examples=400, deadline=None)
def test_what_is_written_is_read_back_as_it_was(pattern: Pattern) -> None:
    written = write_pattern(pattern)
    assert read_pattern(through_text(written)) == pattern
    assert write_pattern(read_pattern(written)) == written


def with_functions(rule: Any) -> Any:
    """A rule of the oracle with a named function for each condition that only the oracle knows."""
    if isinstance(rule, list):
        return [with_functions(each) for each in rule]
    if not isinstance(rule, dict):
        return rule
    if rule.get("type") == "PARTIAL":
        return {"type": "PYTHON", "function": f"checks.py:{rule['op']}"}
    return {key: with_functions(value) for key, value in rule.items()}


@given(st.integers(0, 10_000))
@settings(max_examples=100, deadline=None)
def test_rules_in_either_dialect_come_out_in_one(seed: int) -> None:
    for case in islice(cases(seed, invalid=0), 5):
        try:
            pattern = read_pattern(with_functions(case["rule"]))
        except RuleError:
            continue
        written = through_text(write_pattern(pattern))
        assert read_pattern(written) == pattern
        assert written["type"] == "COMPOSITE"


def stage_of(condition: Any, **more: Any) -> dict[str, Any]:
    return write_pattern(Pattern((Stage("a", condition=condition, **more),)))


@pytest.mark.parametrize(
    ("milliseconds", "time"),
    [
        (1, {"unit": "MILLISECONDS", "size": 1}),
        (1500, {"unit": "MILLISECONDS", "size": 1500}),
        (20_000, {"unit": "SECONDS", "size": 20}),
        (180_000, {"unit": "MINUTES", "size": 3}),
        (25 * 3_600_000, {"unit": "HOURS", "size": 25}),
        (2 * 86_400_000, {"unit": "DAYS", "size": 2}),
    ],
)
def test_a_time_is_written_in_the_largest_unit_that_holds_it(milliseconds: int, time: dict[str, Any]) -> None:
    assert stage_of(None, windows=(Window(milliseconds),))["window"] == {"type": "FIRST_AND_LAST", "time": time}


def test_a_window_that_is_not_on_the_last_stage_stands_on_its_node() -> None:
    between = Window(5000, "PREVIOUS_AND_CURRENT")
    written = write_pattern(Pattern((Stage("a"), Stage("b", windows=(between,)), Stage("c", windows=(Window(9000),)))))
    assert written["window"]["type"] == "FIRST_AND_LAST"
    time = {"unit": "SECONDS", "size": 5}
    assert [node.get("windows") for node in written["nodes"]] == [
        None,
        [{"type": "PREVIOUS_AND_CURRENT", "time": time}],
        None,
    ]


def test_defaults_are_left_out() -> None:
    assert stage_of(None)["nodes"] == [
        {"name": "a", "type": "ATOMIC", "quantifier": {"consumingStrategy": "SKIP_TILL_NEXT", "properties": ["SINGLE"]}}
    ]
    [node] = stage_of(None, quantifier=Quantifier("LOOPING"))["nodes"]
    assert node["quantifier"] == {"consumingStrategy": "SKIP_TILL_NEXT", "properties": ["LOOPING"]}


def test_the_pattern_gets_another_name_where_a_stage_has_its_own() -> None:
    written = write_pattern(Pattern((Stage("pattern"), Stage("pattern_2"))))
    assert written["name"] == "pattern_3"
    read_pattern(written)


def is_hot(event: Any, partial: Any) -> bool:
    return bool(event["temp"] > 40)


@pytest.mark.parametrize("condition", [Native(is_hot), Combined("not", (Native(is_hot),))])
@pytest.mark.parametrize("place", ["condition", "until"])
def test_a_callable_is_refused_with_its_stage_and_what_to_use(condition: Any, place: str) -> None:
    stage = Stage("b", condition=condition)
    if place == "until":
        stage = Stage("b", quantifier=Quantifier("LOOPING", until=condition))
    with pytest.raises(RuleError) as caught:
        write_pattern(Pattern((Stage("a"), Stage("g", group=(stage,)))))
    message = str(caught.value)
    assert message.startswith("b: condition: expected ")
    assert 'function: "NAME.py:FUNCTION"' in message
    assert message.endswith("got the Python callable is_hot")


RULES = [
    Rule("r", Pattern((Stage("a"),)), Target("emit", "matches")),
    Rule(
        "r",
        Pattern((Stage("a"),)),
        Target("call", "work.py", "on_match"),
        version=3,
        parameters={"limit": 40},
        libs=("_units.py",),
        binding_keys=("v1", "bus*"),
        effective_at=0,
        key="vehicle.id",
        source="gps",
        time="arrival",
        on_change="drain",
        timeouts=Target("emit", "late"),
        late=Target("emit", "too_late"),
        partial_matches=7,
    ),
    Rule("u", None, Target("call", "work.js", "fn"), parameters={"n": [1, None]}),
]


@pytest.mark.parametrize("rule", RULES)
def test_a_rule_is_read_back_as_it_was(rule: Rule) -> None:
    assert read_rule(through_text(write_rule(rule))) == rule


def test_the_fields_of_a_rule_that_say_nothing_are_left_out() -> None:
    assert set(write_rule(RULES[0])) == {"id", "pattern"}


def test_a_pattern_with_windows_of_one_type_twice_is_refused() -> None:
    written = write_pattern(Pattern((Stage("a"), Stage("b"))))
    window = {"type": "FIRST_AND_LAST", "time": {"unit": "SECONDS", "size": 1}}
    written["nodes"][0]["windows"] = [window, window]
    with pytest.raises(RuleError, match=r"\$\.nodes\[0\]\.windows: expected at most one window of each type"):
        read_pattern(written)


def test_a_function_inside_the_pattern_of_a_script_is_refused_too() -> None:
    with pytest.raises(RuleError, match=r"a: condition: expected .*, got function 1 inside the pattern of x\.js"):
        stage_of(FunctionCall("JS", "x.js#@1"))
