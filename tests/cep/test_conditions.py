"""Conditions: what they see of an event and of the partial match, what is false, and what is counted."""

from __future__ import annotations

import builtins
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.cep.rule_json import Json, graph, joined, node, quantifier, times
from trimtab.cep import Matcher, RuleError, read_rule
from trimtab.cep.conditions import Asked, Conditions
from trimtab.cep.pattern import Expr, FunctionCall, Partial
from trimtab.cep.placed import Placed, place
from trimtab.cep.runs import Event, Run, Taken
from trimtab.cep.stream import Incoming, KeyedStream


def positions(rule: Any, events: Iterable[Any], **more: Any) -> list[dict[str, list[int]]]:
    """The matches of events that come one a millisecond."""
    matcher = Matcher(rule, time="arrival", **more)
    return [match.positions for at, event in enumerate(events) for match in matcher.feed({"ts": at, **event})]


def numbers(*values: Any, name: str = "v") -> list[Json]:
    return [{name: value} for value in values]


def asked(source: str, parameters: Json | None = None, conditions: Conditions | None = None) -> Asked:
    made = (conditions or Conditions(lambda: 1000)).ask(Expr(source), parameters or {}, None, "$")
    assert isinstance(made, Asked)
    return made


def run_of(**stages: list[Any]) -> Run:
    """A partial match that has taken these events."""
    path: Taken | None = None
    first: Event | None = None
    for stage, values in stages.items():
        for value in values:
            event = Event(value, 0, 0, 0)
            path, first = Taken(stage, event, path), first or event
    assert path is not None
    assert first is not None
    return Run(0, path, first)


# --- the partial match -------------------------------------------------------------------------------------

RUN = run_of(a=[{"v": 1, "d": {"k": [7, 8]}}, {"v": 2}, {"v": 5}], b=[{"w": 9}])
LOOKS: list[tuple[str, bool]] = [
    ("first('a').v == 1", True),
    ("last('a').v == 5", True),
    ("last('a').v < v", True),
    ("v - first('a').v > 8", True),
    ("last('b').w == 9 && last(\"a\").v == 5", True),
    ("first('a').d.k[1] == 8", True),
    ("first('a')['d']['k'][0] == 7", True),
    ("all('a')[1].v == 2", True),
    ("count(all('a')) == 3", True),
    ("count(all('b')) + count(all('c')) == 1", True),
    ("count(all('c')) == 0", True),
    ("include(all('a'), last('a'))", True),
    ("last('a') == all('a')[2]", True),
    ("last('a').v > 5 ? false : first('a').v < 2", True),
    ("jsonpath(first('a'), '$.d.k[0]') == 7", True),
    ("jsonpath(all('a'), '$[*].v') == jsonpath(all('a'), '$.*.v')", True),
    ("string.length(str(last('b'))) > 3", True),
    ("last('c').v == 1", False),
    ("first('c').v == nil", False),
    ("!(last('c').v == 1)", False),
    ("v == 10 || last('c').v == 1", False),
    ("last('a').lost == nil", False),
    ("!(all('a')[3].v == 1)", False),
    ("last('a').d.k[0] == 7", False),
]


@pytest.mark.parametrize(("source", "expected"), LOOKS)
def test_an_expression_sees_what_stages_have_taken_and_what_is_missing_is_false(source: str, expected: bool) -> None:
    condition = asked(source)
    assert condition.iterative
    assert condition.ask({"v": 10}, RUN) is expected
    assert (condition.errors, condition.last_error) == (0, None)


@pytest.mark.parametrize("source", ["last('a').v == 1", "first('a').v != 1", "all('a')[0].v == 1"])
def test_the_first_event_of_a_match_sees_stages_that_have_taken_nothing(source: str) -> None:
    assert asked(source).ask({"v": 1}, None) is False
    assert asked("count(all('a')) == 0").ask({"v": 1}, None) is True


def test_first_last_and_all_may_be_fields_too() -> None:
    condition = asked("first > last && all.x == 1")
    assert not condition.iterative
    assert condition.ask({"first": 2, "last": 1, "all": {"x": 1}}, {}) is True


def test_a_parameter_may_be_the_name_of_a_stage() -> None:
    assert asked("last(stage).v == 5", {"stage": "a"}).ask({}, RUN) is True


def test_a_loop_may_go_on_as_long_as_values_rise() -> None:
    up = node(
        "up", "count(all('up')) == 0 || v > all('up')[count(all('up')) - 1].v", quantifier("LOOPING", inner="STRICT")
    )
    rule = graph(up, node("end", "v < 0"), kinds=["STRICT"])
    assert positions(rule, numbers(1, 2, 5, -1, 4, 3, -1)) == [
        {"up": [0, 1, 2], "end": [3]},
        {"up": [1, 2], "end": [3]},
        {"up": [2], "end": [3]},
        {"up": [5], "end": [6]},
    ]


def test_a_condition_sees_the_partial_match_that_asks_and_no_other() -> None:
    rule = graph(node("a", "t == 'a'"), node("b", "t == 'b' && v == last('a').v"))
    events = [{"t": "a", "v": 1}, {"t": "a", "v": 2}, {"t": "b", "v": 2}, {"t": "b", "v": 1}]
    assert positions(rule, events) == [{"a": [1], "b": [2]}, {"a": [0], "b": [3]}]


def test_an_until_condition_sees_the_partial_match() -> None:
    loop = quantifier("LOOPING", untilCondition={"type": "AVIATOR", "expression": "v < last('a').v"})
    rule = graph(node("s", "v == 0"), node("a", "v > 0", loop), node("e", "v == 1"), kinds=["STRICT", "SKIP_TILL_NEXT"])
    assert positions(rule, numbers(0, 5, 6, 1)) == [{"s": [0], "a": [1, 2], "e": [3]}, {"s": [0], "a": [1], "e": [3]}]
    assert positions(rule, numbers(0, 5, 3, 6, 1)) == [{"s": [0], "a": [1], "e": [4]}]


# --- joined ------------------------------------------------------------------------------------------------

LEAVES = st.sampled_from(["v > 2", "v < 4", "w == 1", "last('s').v == 0", "lost == 1", "w > 'x'"])
TREES: st.SearchStrategy[Any] = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.tuples(st.sampled_from(["And", "Or"]), st.lists(inner, min_size=1, max_size=3)),
        st.tuples(st.just("Not"), st.lists(inner, min_size=1, max_size=1)),
    ),
    max_leaves=8,
)


def as_json(tree: Any) -> Json:
    if isinstance(tree, str):
        return {"type": "AVIATOR", "expression": tree}
    return joined(tree[0], *map(as_json, tree[1]))


def truth(tree: Any, event: Json) -> bool:
    """Each part is asked as a whole: one that misses a field, or meets a wrong type, is false."""
    if isinstance(tree, str):
        known = {
            "v > 2": event["v"] > 2,
            "v < 4": event["v"] < 4,
            "w == 1": event["w"] == 1,
            "last('s').v == 0": True,
        }
        return bool(known.get(tree, False))
    parts = [truth(part, event) for part in tree[1]]
    answers = {"And": all(parts), "Or": any(parts), "Not": not parts[0]}
    return answers[str(tree[0])]


@settings(max_examples=100, deadline=None)
@given(TREES, st.integers(0, 5), st.integers(0, 2))
def test_class_conditions_join_their_parts(tree: Any, v: int, w: int) -> None:
    rule = graph(node("s", "v == 0"), node("a", as_json(tree)), kinds=["STRICT"])
    event = {"v": v, "w": w}
    assert bool(positions(rule, [{"v": 0, "w": 0}, event])) is truth(tree, event)


@pytest.mark.parametrize("prefix", ["", "org.apache.flink.cep.pattern.conditions.", "com.acme.My"])
def test_any_class_name_with_the_ending_joins(prefix: str) -> None:
    condition = {**joined("Not", {"type": "AVIATOR", "expression": "v > 2"}), "className": f"{prefix}RichNotCondition"}
    assert positions(graph(node("a", condition)), numbers(1, 3)) == [{"a": [0]}]


# --- what fails --------------------------------------------------------------------------------------------


def stream_of(rules: dict[str, Any], conditions: Conditions | None = None) -> tuple[KeyedStream, dict[str, Placed]]:
    conditions = conditions or Conditions(lambda: 0)
    stream = KeyedStream(event_time=False)
    placed = {name: place(read_rule({"id": name, "pattern": rule}), conditions) for name, rule in rules.items()}
    for each in placed.values():
        stream.add(each)
    return stream, placed


def feed(stream: KeyedStream, *events: Any) -> None:
    for at, event in enumerate(events):
        stream.feed([Incoming(at, at, None, event)], [])


def test_a_type_error_is_counted_once_an_event_however_many_rules_and_partial_matches_ask() -> None:
    hot = "string.length(t) > 1"
    rule = graph(node("a", "v > 0"), node("b", hot))
    stream, placed = stream_of({"one": rule, "two": graph(node("x", "v > 0"), node("y", hot)), "three": rule})
    feed(stream, {"v": 1, "t": "x"}, {"v": 2, "t": "x"}, {"v": 0, "t": 5}, {"v": 0, "t": None}, {"v": 0})
    for each in placed.values():
        assert each.condition_errors == 2
        assert each.last_condition_error == "expected a string, got nil"


def test_a_type_error_is_counted_once_an_event_also_where_each_partial_match_is_asked_about() -> None:
    stream, placed = stream_of({"r": graph(node("a", "v > 0"), node("b", "v > last('a').w"))})
    feed(stream, {"v": 1, "w": "x"}, {"v": 2, "w": "x"}, {"v": 3, "w": "x"}, {"v": -1}, {"v": -1})
    assert placed["r"].condition_errors == 4
    assert "expected two numbers or two strings for >" in str(placed["r"].last_condition_error)


@pytest.mark.parametrize("batch", [True, False])
@pytest.mark.parametrize("condition", ["v > 5", "v < 5", "t == 'x' && v >= 5", "t == 'x' && 5 >= v"])
def test_a_type_error_is_counted_although_rules_are_looked_up_by_number(condition: str, batch: bool) -> None:
    stream, placed = stream_of(
        {"r": graph(node("a", condition)), "q": graph(node("a", "v > 7")), "p": graph(node("a"))}
    )
    events = [{"v": value, "t": "x"} for value in ("7", 7, [7], {"v": 7}, 3, None)]
    incoming = [Incoming(at, at, None, event) for at, event in enumerate([*events, {"t": "x"}, None])]
    for part in [incoming] if batch else [[each] for each in incoming]:
        stream.feed(part, [])
    assert placed["r"].condition_errors == 3
    assert "expected two numbers or two strings for" in str(placed["r"].last_condition_error)


def test_a_field_that_an_event_lacks_is_no_error() -> None:
    stream, placed = stream_of({"r": graph(node("a", "v + 0 > 0"))})
    feed(stream, {}, {"w": 1}, None, 5, [1])
    assert (placed["r"].matches, placed["r"].condition_errors) == (0, 0)


def test_a_function_that_fails_is_false_and_counted() -> None:
    def first(event: Any, partial: Partial) -> bool:
        return bool(partial["nobody"] == [] and 1 / event["v"] > 0)

    matcher = Matcher(
        graph(node("a", {"type": "PYTHON", "function": "checks.py:first"})),
        time="arrival",
        functions=lambda _call: first,
    )
    found = [len(matcher.feed({"ts": 1, "v": value})) for value in (1, 0, "x", 2)]
    assert found == [1, 0, 0, 1]
    assert matcher.placed.condition_errors == 2
    assert str(matcher.placed.last_condition_error).startswith("TypeError: unsupported operand")


def test_a_function_is_found_by_language_and_name_or_the_rule_is_refused() -> None:
    seen: list[FunctionCall] = []

    def find(call: FunctionCall) -> Any:
        seen.append(call)
        raise LookupError("checks.js has no function hotter; it has hot")

    rule = graph(node("a"), node("b", {"type": "JS", "function": "checks.js#hotter"}))
    with pytest.raises(RuleError, match="it has hot") as caught:
        Matcher(rule, functions=find)
    assert seen == [FunctionCall("JS", "checks.js#hotter")]
    assert caught.value.problems[0].path == "$.nodes[1].condition"


# --- shared ------------------------------------------------------------------------------------------------


def test_conditions_of_the_same_meaning_are_one_whatever_rules_they_stand_in() -> None:
    conditions = Conditions(lambda: 0)
    one = asked("v > limit && t == 'x'", {"limit": 5}, conditions)
    assert asked(' v>5 && (t == "x")', {}, conditions) is one
    assert asked("v > limit && t == 'x'", {"limit": 6}, conditions) is not one
    assert asked("v > limit && t == 'x'", {"limit": 5.0}, conditions) is not one
    assert asked("v == limit", {"limit": True}, conditions) is not asked("v == limit", {"limit": 1}, conditions)
    number = one.number
    del one
    assert asked("v > 5 && t == 'x'", {}, conditions).number != number, "it goes with the last rule that asks it"


def test_an_event_is_asked_once_by_all_rules() -> None:
    times_asked = 0

    def now() -> int:
        nonlocal times_asked
        times_asked += 1
        return 7

    rule = graph(node("a", "now() == 7", times(2)), node("b", "now() == 7"), kinds=["SKIP_TILL_ANY"])
    stream, placed = stream_of({str(number): rule for number in range(20)}, Conditions(now))
    feed(stream, {}, {}, {}, {})
    assert times_asked == 4
    assert all(each.matches > 0 for each in placed.values())


def test_parameters_come_before_fields_and_rules_have_their_own() -> None:
    conditions = Conditions(lambda: 0)
    pattern = graph(node("a", "v > limit"))
    stream = KeyedStream(event_time=False)
    placed = [
        place(read_rule({"id": str(limit), "pattern": pattern, "parameters": {"limit": limit}}), conditions)
        for limit in (1, 5, 9)
    ]
    for each in placed:
        stream.add(each)
    feed(stream, *({"v": value, "limit": 0} for value in (1, 3, 7, 11)))
    assert [each.matches for each in placed] == [3, 2, 1]


# --- the language ------------------------------------------------------------------------------------------

WORDS = [
    *("1 + 2 - 3 * 4 / 5 % 6 == v", "v == 1", "v != 1", "v < 1", "v <= 1", "v > 1", "v >= 1", "t =~ /a.*/"),
    *("v > 1 && v < 5 || !(v == 3)", "v > 1 ? true : false", "(v)>(1)", "d.e.f == 1", "l[0] == 1", "t == 'x'"),
    *('t == "x"', "v == nil", "t == true", "-v == 1", "string.contains(t, 'x')", "string.startsWith(t, 'x')"),
    *("string.endsWith(t, 'x')", "string.length(t) == 1", "string.indexOf(t, 'x') == 0"),
    *("string.substring(t, 0, 1) == 'x'", "string.toLowerCase(t) == 'x'", "string.toUpperCase(t) == 'X'"),
    *("math.abs(v) == 1", "math.pow(v, 2) == 1.0", "math.sqrt(v) == 1.0", "math.log(v) == 0.0", "math.round(v) == 1"),
    *("long(v) == 1", "double(v) == 1.0", "str(v) == '1'", "count(l) == 1", "include(l, 1)", "now() > 1"),
    *("jsonpath(j, '$.a.b') == 1", "first('a').v == 1", "last('a').v == 1", "all('a')[0].v == 1"),
]


@pytest.mark.parametrize("source", WORDS)
@pytest.mark.parametrize("kind", ["AVIATOR", "GROOVY"])
def test_every_word_of_the_language_is_taken(source: str, kind: str) -> None:
    event = {"ts": 0, "v": 1, "t": "x", "d": {"e": {"f": 1}}, "l": [1], "j": '{"a": {"b": 1}}'}
    matcher = Matcher(
        graph(node("a"), node("b", {"type": kind, "expression": source}), kinds=["STRICT"]), time="arrival"
    )
    matcher.feed(event)
    matcher.feed(event)
    is_type_error = source == "t == true"
    assert matcher.placed.condition_errors == 0 or is_type_error


# --- what is behind an event's values stays out of reach ---------------------------------------------------

PYTHON_NAMES = sorted(
    {name for kind in (dict, list, str, int, float, bool, type(None), Run, Event, type) for name in dir(kind)}
    | set(dir(builtins))
)
VALUES: list[Any] = [{"x": 1}, [1], "x", 1, 1.5, True, None]


@settings(max_examples=400, deadline=None)
@given(
    st.sampled_from(PYTHON_NAMES),
    st.sampled_from(["v", "last('a')", "last('a').v", "all('a')", "first('a').v"]),
    st.sampled_from(VALUES),
    st.booleans(),
)
def test_no_name_of_python_reaches_into_a_value(name: str, target: str, value: Any, subscript: bool) -> None:
    path = f"{target}['{name}']" if subscript else f"{target}.{name}"
    try:
        conditions = [asked(text) for text in (f"{path} != nil || true", f"!({path} == 1)", f"str({path}) != ''")]
    except RuleError:  # such as True and None, which are no names
        return
    for condition in conditions:
        run = run_of(a=[{"v": value}])
        assert condition.ask({"v": value}, run if condition.iterative else {}) is False
        assert condition.errors == 0


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(PYTHON_NAMES))
def test_no_name_of_python_is_a_variable_or_a_function(name: str) -> None:
    known = {"all", "str", "count"}
    try:
        variable = asked(f"{name} != nil || true")
    except RuleError:
        assert name in ("True", "False", "None") or not name.isidentifier()
    else:
        assert variable.ask({"v": 1}, {}) is False or name in ("true", "false", "nil")
    if name not in known:
        with pytest.raises(RuleError):
            asked(f"{name}(v)")
        with pytest.raises(RuleError):
            asked(f"v.{name}()")


def test_no_text_of_a_rule_is_part_of_a_program() -> None:
    evil = "'); import os; os._exit(3)  # \\\n"
    rule = graph(node(evil, "v > 0", times(2)), node("b", "t == x", quantifier("LOOPING")))
    document = {"id": evil, "pattern": rule, "parameters": {"x": evil}}
    assert positions(document, [{"v": 1, "t": ""}, {"v": 1, "t": ""}, {"v": 0, "t": evil}]) == [
        {evil: [0, 1], "b": [2]}
    ]
