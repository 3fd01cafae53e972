"""Scripts that look for a pattern."""

from __future__ import annotations

from typing import Any

import pytest

from tests.python_engine.python_engine_kit import Kit
from trimtab.cep import Matcher, begin
from trimtab.cep.pattern import Native, Pattern, Stage

RISING = """
    from trimtab import begin

    source = "gps"
    pattern = (
        begin("first").where("temp > 40").next("second").where("temp > last('first').temp").within("20s")
        .skip_past_last_event()
    )

    def handle(match, ctx):
        pass
    """


def test_a_script_with_a_pattern_handles_matches(kit: Kit) -> None:
    script = kit.load(RISING)
    wanted = begin("first").where("temp > 40").next("second").where("temp > last('first').temp").within("20s")
    assert script.pattern == wanted.skip_past_last_event().build()
    assert [(spec.name, spec.match, spec.source) for spec in script.handlers] == [("handle", True, "gps")]
    assert script.function("handle") == 0


JSON = {"nodes": [{"name": "a", "quantifier": {"properties": ["SINGLE"]}}], "edges": []}


@pytest.mark.parametrize(
    "source",
    [
        "from trimtab import pattern\npattern = pattern.begin('a')\ndef handle(match, ctx): pass",
        "from trimtab.cep import pattern as p\npattern = p.begin('a').build()\ndef handle(match, ctx): pass",
        f"pattern = {JSON}\ndef handle(match, ctx): pass",
    ],
)
def test_every_form_of_a_pattern_is_taken(kit: Kit, source: str) -> None:
    script = kit.load(source)
    assert script.pattern.stages == (Stage("a"),)
    assert script.handlers[0].match


@pytest.mark.parametrize("value", ["re.compile('a+')", "'a pattern'", "{'a': 1}", "[1]", "None", "lambda: 1"])
def test_anything_else_of_that_name_is_the_scripts_own(kit: Kit, value: str) -> None:
    script = kit.load(f"import re\npattern = {value}\ndef handle(event, ctx): pass")
    assert script.pattern is None
    assert not script.handlers[0].match


def test_what_is_imported_does_not_make_a_pattern(kit: Kit) -> None:
    script = kit.load("from trimtab import pattern, begin\ndef handle(event, ctx): pass")
    assert script.pattern is None


def test_handlers_of_events_may_stand_beside_it(kit: Kit) -> None:
    script = kit.load("""
        from trimtab import begin, handler

        pattern = begin("a")

        @handler(source="gps")
        def events(event, ctx):
            pass

        @handler(timeout="5s")
        def handle(match, ctx):
            pass

        def on_timer(timer, ctx):
            pass
    """)
    found = [(spec.name, spec.match, spec.timer, spec.timeout) for spec in script.handlers]
    assert found == [("events", False, False, 1.0), ("handle", True, False, 5.0), ("on_timer", False, True, 1.0)]
    assert script.function("handle") == 1


def positions(pattern: Pattern, *events: Any) -> list[Any]:
    matcher = Matcher(pattern)
    for at, event in enumerate(events):
        matcher.feed({"ts": at, **event})
    found = [match.positions for match in matcher.advance(1000)]
    return [found, matcher.placed.condition_errors, matcher.placed.last_condition_error]


def test_callables_are_conditions_that_see_the_partial_match(kit: Kit) -> None:
    script = kit.load("""
        from trimtab import begin

        def above(event, partial):
            return event["v"] > partial["a"][0]["v"] and partial["c"] == []

        pattern = begin("a").where(lambda event, _: event["v"] > 1).next(begin("b").where(above)).next("c")

        def handle(match, ctx):
            pass
    """)
    found, errors, _ = positions(script.pattern, {"v": 1}, {"v": 2}, {"v": 3}, {"v": 0})
    assert (found, errors) == ([{"a": [1], "b": [2], "c": [3]}], 0)


def test_a_callable_is_held_to_the_time_limit_and_its_error_has_a_place(kit: Kit) -> None:
    script = kit.load("""
        from trimtab import begin

        def slow(event, partial):
            while event["hangs"]:
                pass
            return event["x"]

        pattern = begin("a").where(slow)

        def handle(match, ctx):
            pass
    """)
    found, errors, last = positions(script.pattern, {"hangs": True})
    assert (found, errors) == ([], 1)
    assert "TimeLimitExceeded" in last
    found, errors, last = positions(script.pattern, {"hangs": False})
    assert (found, errors) == ([], 1)
    assert "script.py:6" in last
    assert "KeyError" in last


def test_a_callable_that_two_stages_share_is_one_condition(kit: Kit) -> None:
    script = kit.load("""
        from trimtab import begin

        def hot(event, partial):
            return event["v"] > 1

        pattern = begin("a").where(hot).next("b").where(hot).one_or_more().until(hot)

        def handle(match, ctx):
            pass
    """)
    first, second = script.pattern.stages
    assert isinstance(first.condition, Native)
    assert first.condition is second.condition is second.quantifier.until


def test_what_cannot_be_said_is_refused_where_it_is_said(kit: Kit) -> None:
    fault = kit.refusal("""
        from trimtab import begin
        pattern = (
            begin("a")
            .within("20 seconds")
        )
        def handle(match, ctx): pass
    """)
    assert (fault.name, fault.file, fault.line) == ("RuleError", "script.py", 4)
    assert "a: expected a duration" in fault.message


def test_what_flink_refuses_is_refused_when_the_script_is_loaded(kit: Kit) -> None:
    fault = kit.refusal("""
        from trimtab import begin
        pattern = begin("a").greedy()
        def handle(match, ctx): pass
    """)
    assert (fault.name, fault.file) == ("RuleError", "script.py")
    assert fault.message == "a: expected GREEDY with LOOPING or TIMES, got SINGLE"


def test_a_pattern_without_handle_is_refused(kit: Kit) -> None:
    fault = kit.refusal("from trimtab import begin\npattern = begin('a')\ndef on_match(match, ctx): pass")
    assert fault.message == "expected a function handle(match, ctx), as the script has a pattern, got none"
