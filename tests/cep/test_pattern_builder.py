"""Patterns written in Python."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings

import trimtab
from tests.cep.random_patterns import patterns
from trimtab.cep import Matcher, Pattern, PatternBuilder, RuleError, begin, pattern, read_rule
from trimtab.cep.pattern import Combined, Condition, Expr, FunctionCall, Native, Stage, Window
from trimtab.cep.writing import write_pattern

EDGES: dict[str, Callable[[PatternBuilder], Callable[..., PatternBuilder]]] = {
    "STRICT": lambda built: built.next,
    "SKIP_TILL_NEXT": lambda built: built.followed_by,
    "SKIP_TILL_ANY": lambda built: built.followed_by_any,
    "NOT_NEXT": lambda built: built.not_next,
    "NOT_FOLLOW": lambda built: built.not_followed_by,
}


def condition_json(condition: Condition) -> Any:
    return write_pattern(Pattern((Stage("a", condition=condition),)))["nodes"][0]["condition"]


def rebuilt(stages: tuple[Stage, ...]) -> PatternBuilder:
    """The same chain, written with the builder."""
    built: PatternBuilder | None = None
    for stage in stages:
        add = pattern.begin if built is None else EDGES[stage.edge](built)
        built = add(stage.name) if stage.group is None else add(rebuilt(stage.group), name=stage.name)
        built = with_options(built, stage)
    assert built is not None
    return built


def with_options(built: PatternBuilder, stage: Stage) -> PatternBuilder:
    quantifier = stage.quantifier
    window = None if quantifier.window is None else quantifier.window / 1000
    if stage.condition is not None:
        built = built.where(condition_json(stage.condition))
    if quantifier.repeat == "LOOPING":
        built = built.times_or_more(quantifier.least, within=window)
    if quantifier.repeat == "TIMES":
        built = built.times(quantifier.least, quantifier.most, within=window)
    if quantifier.until is not None:
        built = built.until(condition_json(quantifier.until))
    flags = {
        built.optional: quantifier.optional,
        built.greedy: quantifier.greedy,
        built.consecutive: quantifier.inner == "STRICT",
        built.allow_combinations: quantifier.inner == "SKIP_TILL_ANY",
    }
    for name in [flag.__name__ for flag, is_set in flags.items() if is_set]:
        built = getattr(built, name)()
    for each in stage.windows:
        built = built.within(f"{each.size}ms", previous=each.type == "PREVIOUS_AND_CURRENT")
    return built


@given(patterns())
@settings(max_examples=200, deadline=None)
def test_everything_that_json_can_say_can_be_written(wanted: Pattern) -> None:
    built = rebuilt(wanted.stages)
    if wanted.skip.stage is not None:
        built = getattr(built, wanted.skip.kind.lower())(wanted.skip.stage)
    else:
        built = getattr(built, wanted.skip.kind.lower())()
    assert (built.build().stages, built.build().skip) == (wanted.stages, wanted.skip)


def test_a_matcher_and_a_rule_take_it_unbuilt() -> None:
    rising = (
        pattern.begin("first")
        .where("temp > 40")
        .next("second")
        .where("temp > last('first').temp")
        .within("20s")
        .skip_past_last_event()
    )
    assert read_rule(rising).pattern == rising.build()
    assert read_rule({"id": "r", "pattern": rising, "key": "room"}).pattern == rising.build()
    matcher = Matcher(rising)
    for at, temp in enumerate([39, 41, 45, 44, 60]):
        matcher.feed({"ts": at, "temp": temp})
    assert [match.positions for match in matcher.advance(1000)] == [
        {"first": [1], "second": [2]},
        {"first": [3], "second": [4]},
    ]


def test_a_callable_gets_the_event_and_what_each_stage_has_taken() -> None:
    def above_all(event: Any, partial: Any) -> bool:
        assert partial["end"] == []
        return all(event["v"] > each["v"] for each in partial["up"])

    up = pattern.begin("up").where(above_all).times(3).consecutive().followed_by("end").where("v == 0")
    matcher = Matcher(up)
    for at, value in enumerate([1, 2, 3, 0]):
        matcher.feed({"ts": at, "v": value})
    assert [match.positions for match in matcher.advance(9)] == [{"up": [0, 1, 2], "end": [3]}]


def test_each_call_returns_another_pattern() -> None:
    start = pattern.begin("a")
    hot, cold = start.where("t > 9"), start.where("t < 1")
    assert [built.build().stages[0].condition for built in (start, hot, cold)] == [None, Expr("t > 9"), Expr("t < 1")]


def test_conditions_are_joined_in_their_order() -> None:
    [stage] = pattern.begin("a").where("x").or_("y").where("z").build().stages
    assert stage.condition == Combined("and", (Combined("or", (Expr("x"), Expr("y"))), Expr("z")))
    [stage] = pattern.begin("a").or_("x").build().stages
    assert stage.condition == Expr("x")


def test_a_condition_is_an_expression_a_callable_or_json() -> None:
    def is_hot(event: Any, _partial: Any) -> bool:
        return bool(event["temp"] > 40)

    named = {"type": "PYTHON", "function": "checks.py:hot"}
    [native, call] = pattern.begin("a").where(is_hot).next("b").where(named).build().stages
    assert (native.condition, call.condition) == (Native(is_hot), FunctionCall("PYTHON", "checks.py:hot"))


def test_groups_have_names_of_their_own_or_get_some() -> None:
    inner = pattern.begin("b").next("c")
    built = pattern.begin(inner).followed_by(pattern.begin(pattern.begin("d"), name="group")).times(2).build()
    first, second = built.stages
    assert (first.name, [stage.name for stage in first.group or ()]) == ("group_2", ["b", "c"])
    assert (second.name, [stage.name for stage in second.group or ()]) == ("group_3", ["group"])
    assert second.quantifier.most == 2


@pytest.mark.parametrize(
    ("duration", "milliseconds"), [("20s", 20_000), ("1.5s", 1500), (2, 2000), (0.25, 250), ("1d", 86_400_000)]
)
def test_durations_are_those_of_the_whole_project(duration: Any, milliseconds: int) -> None:
    assert pattern.begin("a").within(duration).build().stages[0].windows == (Window(milliseconds),)
    assert pattern.begin("a").times(2, within=duration).build().stages[0].quantifier.window == milliseconds


REFUSED: list[tuple[Callable[[], Any], str]] = [
    (lambda: pattern.begin("a").not_next("b").optional().build(), "no quantifier but SINGLE behind a NOT edge"),
    (lambda: pattern.begin("a").optional().not_next("b").build(), "not optional before a NOT edge"),
    (lambda: pattern.begin("a").times(0, 2).not_followed_by("b").build(), "not optional before a NOT edge"),
    (lambda: pattern.begin("a").greedy().build(), "GREEDY with LOOPING or TIMES"),
    (lambda: pattern.begin("a").one_or_more().greedy().next("b").optional().build(), "GREEDY and then OPTIONAL"),
    (lambda: pattern.begin(pattern.begin("a")).one_or_more().greedy().build(), "GREEDY on a single node"),
    (lambda: pattern.begin(pattern.begin("a")).where("x").build(), "no condition on a group"),
    (lambda: pattern.begin("a").consecutive().build(), "that does not repeat"),
    (lambda: pattern.begin("a").until("x").build(), "untilCondition with LOOPING only"),
    (lambda: pattern.begin("a").times(2).until("x").build(), "untilCondition with LOOPING only"),
    (lambda: pattern.begin("a").one_or_more().until("x").until("y"), "expected until once"),
    (lambda: pattern.begin("a").one_or_more().times(2), "expected one quantifier"),
    (lambda: pattern.begin("a").one_or_more().consecutive().allow_combinations(), "got both"),
    (lambda: pattern.begin("a").next("a").build(), "a name that no other node has"),
    (lambda: pattern.begin("a").skip_to_first("b").build(), "a node of the outermost graph"),
    (lambda: pattern.begin(pattern.begin("a")).skip_to_last("a").build(), "a node of the outermost graph"),
    (lambda: pattern.begin("a").times(3, 2).build(), "at most as often as the least"),
    (lambda: pattern.begin("a").times(0), "a whole number from 1 on"),
    (lambda: pattern.begin("a").times(-1, 2), "a whole number from 0 on, got -1"),
    (lambda: pattern.begin("a").times_or_more(0), "a whole number from 1 on"),
    (lambda: pattern.begin("a").times(True), "a whole number"),
    (lambda: pattern.begin("a").within("20 seconds"), "a: expected a duration such as .*, got '20 seconds'"),
    (lambda: pattern.begin("a").within("0.1ms"), "at least a millisecond"),
    (lambda: pattern.begin("a").where(""), "an expression of 1 to 1,000 characters"),
    (lambda: pattern.begin("a").where(5), "an expression or a callable"),  # type: ignore[arg-type]
    (lambda: pattern.begin(""), "the name of a stage"),
    (lambda: pattern.begin(5), "the name of a stage"),  # type: ignore[arg-type]
    (lambda: pattern.begin("a", name="b"), "name= with a group only"),
]


@pytest.mark.parametrize(("write", "expected"), REFUSED, ids=[expected for _, expected in REFUSED])
def test_what_flink_refuses_for_its_form_is_refused(write: Callable[[], Any], expected: str) -> None:
    with pytest.raises(RuleError, match=expected):
        write()


def test_more_conditions_than_can_be_read_back_are_refused_with_what_to_do() -> None:
    built = pattern.begin("a")
    for number in range(16):
        built = built.where(f"x != {number}")
    assert read_rule(write_pattern(built.build())).pattern == built.build()
    with pytest.raises(RuleError, match=r"&& and \|\| join more in one expression"):
        built.where("x != 17")


def test_what_is_compiled_only_later_is_refused_there() -> None:
    with pytest.raises(RuleError, match="a window, as the rule ends with NOT_FOLLOW"):
        Matcher(pattern.begin("a").not_followed_by("b"))


def test_scripts_import_the_same_builder() -> None:
    assert (
        trimtab.pattern.begin("a").next("b").build()
        == trimtab.begin("a").next("b").build()
        == begin("a").next("b").build()
    )


def test_scripts_without_patterns_load_nothing_of_them() -> None:
    code = "import sys, trimtab; print([name for name in sys.modules if 'cep' in name])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
