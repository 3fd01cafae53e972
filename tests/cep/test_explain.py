"""Why a rule fires or does not."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cep.oracle.replay import with_callables
from trimtab.cep import Matcher, PatternBuilder, RuleError, begin, read_rule
from trimtab.cep.explain import Explanation
from trimtab.cep.steps import Moment, Step
from trimtab.cep.stream import Incoming
from trimtab.values import LATEST

CASES = sorted((Path(__file__).parent / "cases").glob("*.jsonl.gz"))
EVERY = 9
"""One in so many of the recorded cases is explained."""


def explained(rule: Any, *events: Any, time: str = "event", key: str | None = None) -> tuple[list[Moment], Explanation]:
    """What happens; events without a time come one a ms."""
    explanation = Explanation(read_rule(rule), lambda: 0, None, event_time=time == "event")
    incoming = [
        Incoming(event.get("ts", at), at, None if key is None else event.get(key), event)
        for at, event in enumerate(events)
    ]
    return list(explanation.moments(incoming)), explanation


def recorded() -> Iterator[dict[str, Any]]:
    for path in CASES:
        with gzip.open(path, "rt") as lines:
            yield from (json.loads(line) for number, line in enumerate(lines) if number % EVERY == 0)


def steps(moments: list[Moment], what: str) -> list[Step]:
    return [step for moment in moments for step in moment.steps if step.what == what]


def test_what_is_explained_is_what_is_found() -> None:
    told = 0
    for case in recorded():
        rule = with_callables(case["rule"])
        try:
            matcher = Matcher(rule, time=case["time"])
        except RuleError:
            continue
        found = [match for event in case["events"] for match in matcher.feed(dict(event))]
        found += matcher.advance(LATEST)
        moments, explanation = explained(rule, *case["events"], time=case["time"])
        matches = [match for match in found if match.kind == "match"]
        assert [step.events for step in steps(moments, "match")] == [match.positions for match in matches], case["id"]
        assert explanation.placed.timeouts == len(found) - len(matches), case["id"]
        assert explanation.summary.matches == len(matches)
        assert explanation.summary.events == len(case["events"])
        told += 1
        _check_that_it_is_whole(moments, explanation)
    assert told > 300


def _check_that_it_is_whole(moments: list[Moment], explanation: Explanation) -> None:
    """Every partial match begins once and ends at most once; those that do not end live at the end."""
    begun: set[int] = set()
    ended: set[int] = set()
    for step in (step for moment in moments for step in moment.steps):
        if step.partial is None:
            continue
        if step.what in ("began", "branched"):
            assert step.partial not in begun
            begun.add(step.partial)
        is_withheld = step.what == "dropped" and step.stage is not None
        if step.what in ("died", "expired", "dropped") and step.partial in begun and not is_withheld:
            assert step.partial not in ended
            ended.add(step.partial)
    assert explanation.summary.open <= len(begun - ended)


def test_a_partial_match_begins_advances_and_is_complete() -> None:
    moments, _ = explained(
        begin("a").where("t == 'a'").followed_by("b").where("t == 'b'"), {"t": "a"}, {"t": "c"}, {"t": "b"}
    )
    first, second, third = moments
    assert (first.event, first.steps) == (0, [Step("began", 1, stage="a", events={"a": [0]}, waits_for=["b"])])
    waits, nothing = second.steps
    assert (waits.what, waits.partial, waits.waits_for) == ("waits", 1, ["b"])
    [answer] = waits.answers
    assert (answer.stage, answer.true) == ("b", False)
    [said] = answer.conditions
    assert (said.condition, said.true, said.values) == ("t == 'b'", False, {"t": "c"})
    assert (nothing.what, nothing.answers[0].stage) == ("nothing", "a")
    assert third.steps[0] == Step("match", 1, stage="b", events={"a": [0], "b": [2]})


def ending(pattern: PatternBuilder, *types: str, key: str | None = None) -> Step:
    """The step with which partial match 1 ends."""
    moments, _ = explained(pattern, *({"t": letter, "n": number} for number, letter in enumerate(types)), key=key)
    ends = [step for what in ("died", "expired", "dropped") for step in steps(moments, what) if step.partial == 1]
    assert len(ends) == 1, moments
    return ends[0]


def letter(name: str) -> str:
    return f"t == '{name}'"


def test_a_strict_stage_that_sees_another_event_ends_it() -> None:
    step = ending(begin("a").where(letter("a")).next("b").where("t == 'b' && n > 5"), "a", "c")
    assert (step.what, step.why, step.waits_for) == ("died", "strict", ["b"])
    assert step.answers[0].conditions[0].values == {"t": "c", "n": 1}


def test_an_event_that_must_not_come_ends_it() -> None:
    pattern = begin("a").where(letter("a")).not_followed_by("x").where(letter("x")).followed_by("b").where(letter("b"))
    step = ending(pattern, "a", "c", "x")
    assert (step.what, step.why, step.stage, step.waits_for) == ("died", "not", "x", ["b"])


def test_the_end_of_its_window_ends_it() -> None:
    step = ending(begin("a").where(letter("a")).followed_by("b").where(letter("b")).within("3ms"), "a", "c")
    assert (step.what, step.why, step.limit, step.waits_for) == ("expired", "window", 3, ["b"])


def test_a_window_between_two_events_ends_it() -> None:
    pattern = begin("a").where(letter("a")).followed_by("b").where(letter("b")).within("2ms", previous=True)
    step = ending(pattern, "a", "c", "c")
    assert (step.what, step.why, step.limit) == ("expired", "window between", 2)


def test_a_match_that_skips_it_ends_it() -> None:
    pattern = begin("a").where(letter("a")).followed_by_any("b").where(letter("b")).skip_past_last_event()
    moments, _ = explained(pattern, {"t": "a"}, {"t": "a"}, {"t": "b"})
    [step] = [step for step in steps(moments, "dropped") if step.partial == 2]
    assert (step.why, step.after) == ("skip", steps(moments, "match")[0].partial)


def test_an_event_that_ends_the_loop_too_early_ends_it() -> None:
    pattern = begin("a").where(letter("a")).times_or_more(3).until(letter("x")).followed_by("b").where(letter("b"))
    step = ending(pattern, "a", "c", "x")
    assert (step.what, step.why) == ("died", "until")


def test_a_branch_is_another_partial_match_with_a_parent() -> None:
    pattern = begin("a").where(letter("a")).followed_by_any("b").where(letter("b")).followed_by("c").where(letter("c"))
    moments, explanation = explained(pattern, {"t": "a"}, {"t": "b"}, {"t": "b"})
    assert [(step.partial, step.parent) for step in steps(moments, "branched")] == [(2, 1), (3, 1)]
    assert explanation.summary.open == 3


def test_a_match_that_waits_for_an_earlier_partial_match_is_withheld_and_comes_later() -> None:
    pattern = (
        begin("a").where("t == 'a' || t == 'b'").followed_by("b").where("t == 'b' && n == last('a').n").within("9ms")
    ).skip_to_next()
    moments, explanation = explained(pattern, {"t": "a", "n": 1}, {"t": "a", "n": 2}, {"t": "b", "n": 2})
    [withheld] = steps(moments, "withheld")
    assert (withheld.partial, withheld.after, withheld.events) == (2, 1, {"a": [1], "b": [2]})
    [match] = steps(moments, "match")
    assert (match.partial, match.events) == (2, withheld.events)
    assert explanation.summary.withheld == 0


def test_a_missing_field_and_an_error_are_told() -> None:
    moments, _ = explained(begin("a").where("v > 1 && w.x > 2"), {"v": 2}, {"v": "high", "w": {"x": 3}})
    missing, error = (step.answers[0].conditions[0] for step in steps(moments, "nothing"))
    assert (missing.values, missing.error) == ({"v": 2, "w.x": "(missing)"}, None)
    assert error.error is not None
    assert "string 'high'" in error.error


def test_what_conditions_see_of_the_partial_match_is_told() -> None:
    pattern = begin("a").where("v > 0").followed_by("b").where("v > last('a').v && count(all('a')) > 1")
    moments, _ = explained(pattern, {"v": 5}, {"v": 3})
    [step] = [step for step in steps(moments, "waits") if step.partial == 1]
    assert step.answers[0].conditions[0].values == {"v": 3, "last('a').v": 5, "all('a')": [{"v": 5}]}


def test_several_conditions_are_told_one_by_one() -> None:
    def small(event: Any, _partial: Any) -> bool:
        return bool(event["v"] < 3)

    moments, _ = explained(
        begin("a").where("v > 1").where(small).where({"type": "AVIATOR", "expression": "w"}), {"v": 5}
    )
    [step] = steps(moments, "nothing")
    assert [(said.condition.rpartition(".")[2], said.true) for said in step.answers[0].conditions] == [
        ("v > 1", True),
        ("small()", False),
        ("w", False),
    ]


def test_keys_to_which_the_rule_is_not_bound_are_told() -> None:
    rule = {"pattern": begin("a").where(letter("a")), "binding_keys": ["v1"]}
    moments, _ = explained(rule, {"t": "a", "id": "v1"}, {"t": "a", "id": "v2"}, key="id")
    assert [[step.what for step in moment.steps] for moment in moments] == [["began", "match"], ["unbound"]]
    assert [moment.key for moment in moments] == ["v1", "v2"]


def test_too_many_partial_matches_are_told() -> None:
    rule = {"pattern": begin("a").where(letter("a")).followed_by("b").where(letter("b")), "partial_matches": 2}
    moments, _ = explained(rule, *({"t": "a"} for _ in range(4)))
    assert [moment.steps[-1].what for moment in moments] == ["began", "began", "stopped", "stopped"]


def test_the_summary_tells_which_partial_match_came_furthest() -> None:
    pattern = begin("a").where(letter("a")).followed_by("b").where(letter("b")).next("c").where("t == 'c' && v > 10")
    events = [{"t": "a"}, {"t": "a"}, {"t": "b"}, {"t": "c", "v": 9}, {"t": "a"}]
    _, explanation = explained(pattern, *events)
    summary = explanation.summary
    furthest = summary.furthest
    assert furthest is not None
    assert (furthest.events, furthest.waits_for, furthest.event) == ({"a": [0], "b": [2]}, ["c"], 3)
    assert (furthest.last.what, furthest.last.why) == ("died", "strict")
    assert furthest.last.answers[0].conditions[0].values == {"t": "c", "v": 9}
    assert (summary.events, summary.began, summary.matches, summary.open) == (5, 3, 0, 1)
    assert {name: (count.took, count.refused) for name, count in summary.stages.items()} == {
        "a": (3, 2), "b": (2, 1), "c": (0, 2)
    }  # fmt: skip


def test_a_match_that_is_withheld_to_the_end_is_the_furthest() -> None:
    pattern = begin("a").where("t != 'c'").followed_by("b").where("t == 'b' && n == last('a').n").skip_to_next()
    _, explanation = explained(pattern, {"t": "a", "n": 1}, {"t": "a", "n": 2}, {"t": "b", "n": 2})
    furthest = explanation.summary.furthest
    assert furthest is not None
    assert (furthest.partial, furthest.last.what, furthest.last.after) == (2, "withheld", 1)
    assert (explanation.summary.matches, explanation.summary.withheld) == (0, 1)


def test_a_loop_that_lives_on_behind_its_match_is_not_the_furthest() -> None:
    pattern = begin("a").where(letter("a")).followed_by("b").where(letter("b")).one_or_more()
    moments, explanation = explained(pattern, {"t": "a"}, {"t": "b"}, {"t": "c"})
    assert [step.partial for step in steps(moments, "match")] == [1]
    assert explanation.summary.open == 1
    assert explanation.summary.furthest is None


def test_partial_matches_that_became_matches_are_not_the_furthest() -> None:
    pattern = begin("a").where(letter("a")).next("b").where(letter("b"))
    _, explanation = explained(pattern, {"t": "a"}, {"t": "b"})
    assert explanation.summary.furthest is None


def test_matches_when_time_runs_out_are_told_with_the_clock() -> None:
    pattern = begin("a").where(letter("a")).not_followed_by("x").where(letter("x")).within("3ms")
    moments, _ = explained(pattern, {"t": "a"}, {"t": "c"})
    assert (moments[-1].time, moments[-1].event) == (3, None)
    assert [step.what for step in moments[-1].steps] == ["match"]


def test_a_rule_without_pattern_is_refused() -> None:
    with pytest.raises(RuleError, match="udf, which has no pattern"):
        explained({"rule_type": "udf", "function": "x.py:f"})
