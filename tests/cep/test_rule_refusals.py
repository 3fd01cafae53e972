"""What is wrong with a rule is said with its place in the JSON, what was expected and what came; and all of it ends."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from itertools import islice
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.cep.oracle.generate import cases
from tests.cep.rule_json import (
    SINGLE,
    Json,
    aviator,
    flink_dynamic,
    graph,
    group,
    joined,
    node,
    quantifier,
    times,
    window,
)
from tests.cep.test_pattern_writing import with_functions
from tests.fuzz.effort import effort
from tests.fuzz.records import EDGES
from trimtab.cep import Matcher, RuleError
from trimtab.cep.checks import MAX_CONDITIONS, MAX_DEPTH, MAX_STAGES
from trimtab.cep.compiler import MAX_ASKED, MAX_IN_A_ROW, MAX_STATES, MAX_WAYS
from trimtab.cep.conditions import Conditions
from trimtab.cep.pattern import FunctionCall
from trimtab.cep.placed import Placed, place
from trimtab.cep.rule import Rule, read_rule

LOOP = quantifier("LOOPING")
OPTIONAL = quantifier("SINGLE", "OPTIONAL")
HOUR = window(1, unit="HOURS")


def compiled(document: Any) -> Placed | Rule:
    """What a rule becomes; functions of scripts are all there."""

    def always(_call: FunctionCall) -> Any:
        return lambda _event, _partial: True

    rule = read_rule(document)
    return rule if rule.pattern is None else place(rule, Conditions(lambda: 0), always)


def refusal(document: Any) -> tuple[str, str, str]:
    """The one problem of a rule, the same as text and as what it is the text of."""
    found = []
    for way in (document, json.dumps(document)):
        with pytest.raises(RuleError) as caught:
            compiled(way)
        [problem] = caught.value.problems
        found.append((problem.path, problem.expected, problem.got))
    assert found[0] == found[1]
    return found[0]


def document(pattern: Any = None, **fields: Any) -> Json:
    return {"id": "r", "pattern": graph(node("a")) if pattern is None else pattern, **fields}


def changed(path: str, value: Any, of: Json | None = None) -> Json:
    """A good rule with one value changed; ``del`` as value: without it."""
    rule = copy.deepcopy(of or graph(node("a", "x > 1", times(2)), node("b"), window=window(5)))
    *parents, last = [int(part) if part.isdigit() else part for part in path.split(".")]
    inner: Any = rule
    for part in parents:
        inner = inner[part]
    if value == "del":
        del inner[last]
    else:
        inner[last] = value
    return rule


def test_the_rule_that_the_cases_change_is_a_good_one() -> None:
    assert isinstance(compiled(changed("nodes.0.name", "a")), Placed)


# --- fields, and what stands in them -----------------------------------------------------------------------

FIELDS: list[tuple[str, Any, str, str, str]] = [
    ("name", "del", "$.name", "a string", "the field is missing"),
    ("name", 5, "$.name", "a string of 1 to 1,000 characters", "5"),
    ("name", "", "$.name", "a string of 1 to 1,000 characters", '""'),
    ("name", "x" * 1001, "$.name", "a string of 1 to 1,000 characters", "xxx..."),
    ("type", "ATOMIC", "$.type", "one of COMPOSITE", '"ATOMIC"'),
    ("type", None, "$.type", "one of COMPOSITE", "null"),
    ("type", [["COMPOSITE"]], "$.type", "one of COMPOSITE", '[["COMPOSITE"]]'),
    ("quantifier", "del", "$.quantifier", "an object", "the field is missing"),
    ("quantifier", 5, "$.quantifier", "an object", "5"),
    ("quantifier", quantifier("LOOPING"), "$.quantifier", "SINGLE, as this is the whole rule", '{"consumingStr'),
    (
        "quantifier",
        quantifier("SINGLE", "OPTIONAL"),
        "$.quantifier",
        "SINGLE, as this is the whole rule",
        '{"consumingStr',
    ),
    ("condition", aviator("x"), "$.condition", "null: a graph has no condition", "AVIATOR"),
    ("nodes", "del", "$.nodes", "a list of nodes", "the field is missing"),
    ("nodes", {}, "$.nodes", "a list of nodes", "{}"),
    ("nodes", [], "$.nodes", "at least one node", "none"),
    ("nodes.0", None, "$.nodes[0]", "an object", "null"),
    ("nodes.1", [], "$.nodes[1]", "an object", "[]"),
    ("nodes.1.name", "del", "$.nodes[1].name", "a string", "the field is missing"),
    ("nodes.1.type", "GROUP", "$.nodes[1].type", "one of ATOMIC, COMPOSITE", '"GROUP"'),
    ("nodes.1.type", "ATOMICS", "$.nodes[1].type", "one of ATOMIC, COMPOSITE", "did you mean ATOMIC?"),
    ("nodes.1.quantifier", "del", "$.nodes[1].quantifier", "an object", "the field is missing"),
    ("nodes.0.quantifier.properties", "del", "$.nodes[0].quantifier.properties", "a list", "the field is missing"),
    ("nodes.0.quantifier.properties", "TIMES", "$.nodes[0].quantifier.properties", "a list", '"TIMES"'),
    ("nodes.0.quantifier.properties", ["TIME"], "$.nodes[0].quantifier.properties", "SINGLE, LOOPING", "mean TIMES?"),
    ("nodes.0.quantifier.properties", [7], "$.nodes[0].quantifier.properties", "one of SINGLE, LOOPING", "7"),
    (
        "nodes.0.quantifier.properties",
        ["TIMES", "LOOPING"],
        "$.nodes[0].quantifier.properties",
        "one of SINGLE, LOOPING and TIMES",
        '["TIMES","LOOPING"]',
    ),
    ("nodes.0.quantifier.consumingStrategy", "NOT_NEXT", "$.nodes[0].quantifier.consumingStrategy", "STRICT", "NOT_"),
    ("nodes.0.quantifier.times", "del", "$.nodes[0].quantifier.times", "how often", "nothing"),
    ("nodes.0.quantifier.times", [], "$.nodes[0].quantifier.times", "an object", "[]"),
    ("nodes.0.quantifier.times.from", "del", "$.nodes[0].quantifier.times.from", "a whole number", "is missing"),
    ("nodes.0.quantifier.untilCondition", aviator("x"), "$.nodes[0]", "untilCondition with LOOPING only", "TIMES"),
    ("nodes.0.condition", "x > 1", "$.nodes[0].condition", "an object", '"x > 1"'),
    ("nodes.0.condition", {}, "$.nodes[0].condition.type", "AVIATOR, CLASS, GROOVY, PYTHON, JS", "is missing"),
    ("nodes.0.condition.type", "AVIATORS", "$.nodes[0].condition.type", "one of AVIATOR", "did you mean AVIATOR?"),
    ("nodes.0.condition.expression", "del", "$.nodes[0].condition.expression", "a string", "is missing"),
    ("nodes.0.condition.expression", 5, "$.nodes[0].condition.expression", "a string", "5"),
    ("nodes.0.condition", {"type": "PYTHON"}, "$.nodes[0].condition.function", "a string", "is missing"),
    ("edges", "del", "$.edges", "a list of edges", "the field is missing"),
    ("edges", {}, "$.edges", "a list of edges", "{}"),
    ("edges.0", "a", "$.edges[0]", "an object", '"a"'),
    ("edges.0.source", "del", "$.edges[0].source", "a string", "is missing"),
    ("edges.0.target", 5, "$.edges[0].target", "a string", "5"),
    ("edges.0.target", "c", "$.edges[0].target", "one of a, b", '"c"'),
    ("edges.0.type", "NEXT", "$.edges[0].type", "one of STRICT", '"NEXT"; did you mean NOT_NEXT?'),
    ("window", 5, "$.window", "an object", "5"),
    ("window.type", "FIRST", "$.window.type", "one of FIRST_AND_LAST, PREVIOUS_AND_CURRENT", '"FIRST"'),
    ("window.time", "del", "$.window.time", "an object {unit, size}", "the field is missing"),
    ("window.time", None, "$.window.time", "an object", "null"),
    ("window.time.unit", "WEEKS", "$.window.time.unit", "one of DAYS, HOURS, MINUTES", '"WEEKS"'),
    ("afterMatchStrategy", "del", "$.afterMatchStrategy", "the after-match strategy", "is missing"),
    ("afterMatchStrategy", None, "$.afterMatchStrategy", "an object", "null"),
    ("afterMatchStrategy.type", "SKIP", "$.afterMatchStrategy.type", "one of NO_SKIP", "did you mean NO_SKIP?"),
    ("afterMatchStrategy.type", "SKIP_TO_LAST", "$.afterMatchStrategy.patternName", "a string", "is missing"),
    ("version", 2, "$.version", "1, the version of the format", "2"),
    ("version", True, "$.version", "1, the version of the format", "true"),
    ("version", 1.0, "$.version", "1, the version of the format", "1.0"),
]


@pytest.mark.parametrize(("where", "value", "path", "expected", "got"), FIELDS)
def test_a_field_that_is_missing_or_wrong_is_refused_at_its_place(
    where: str, value: Any, path: str, expected: str, got: str
) -> None:
    for pattern, root in ((changed(where, value), "$"), (document(changed(where, value)), "$.pattern")):
        found = refusal(pattern)
        assert found[0] == path.replace("$", root)
        assert expected in found[1]
        assert got in found[2]


UNKNOWN: list[tuple[str, str, str, str]] = [
    ("nodez", "$.nodez", "nodes", "'nodez'"),
    ("nodes.0.quantifer", "$.nodes[0].quantifer", "quantifier", "'quantifer'"),
    ("nodes.0.quantifier.property", "$.nodes[0].quantifier.property", "properties", "'property'"),
    ("nodes.0.quantifier.times.form", "$.nodes[0].quantifier.times.form", "from", "'form'"),
    ("nodes.0.condition.expr", "$.nodes[0].condition.expr", "one of type, expression", "'expr'"),
    ("edges.0.sauce", "$.edges[0].sauce", "source", "'sauce'"),
    ("window.tiem", "$.window.tiem", "time", "'tiem'"),
    ("window.time.sice", "$.window.time.sice", "size", "'sice'"),
    ("afterMatchStrategy.patternname", "$.afterMatchStrategy.patternname", "patternName", "'patternname'"),
    ("zzzzzz", "$.zzzzzz", "one of name, type, quantifier, condition, nodes, edges, window", "'zzzzzz'"),
]


@pytest.mark.parametrize(("where", "path", "nearest", "name"), UNKNOWN)
def test_an_unknown_field_is_refused_with_the_nearest_known_one(where: str, path: str, nearest: str, name: str) -> None:
    found = refusal(changed(where, 1))
    assert found[0] == path
    assert found[1].startswith(nearest)
    assert found[2] == f"the unknown field {name}"


def test_an_unknown_field_of_a_document_is_refused_with_the_nearest_known_one() -> None:
    assert refusal(document(bindingkeys=[])) == (
        "$.bindingkeys",
        "binding_keys (the nearest known field)",
        "the unknown field 'bindingkeys'",
    )


NUMBERS: list[tuple[str, str, Json | None]] = [
    ("nodes.0.quantifier.times.from", "$.nodes[0].quantifier.times.from", None),
    ("nodes.0.quantifier.times.to", "$.nodes[0].quantifier.times.to", None),
    ("window.time.size", "$.window.time.size", None),
    ("nodes.0.quantifier.times.from", "$.nodes[0].quantifier.times.from", graph(node("a", how=times(1, 1)))),
    (
        "nodes.0.quantifier.times.windowTime.size",
        "$.nodes[0].quantifier.times.windowTime.size",
        graph(node("a", how=times(1, windowTime={"unit": "DAYS", "size": 1}))),
    ),
]
BAD_NUMBERS = [-1, -(1 << 60), 1.5, 1.0, 1e300, "1", True, [1], 1 << 53, 10**30]


@pytest.mark.parametrize("bad", BAD_NUMBERS, ids=str)
@pytest.mark.parametrize(("where", "path", "of"), NUMBERS)
def test_a_number_out_of_range_is_refused(where: str, path: str, of: Json | None, bad: Any) -> None:
    found = refusal(changed(where, bad, of))
    assert found[0] == path
    assert found[1].startswith("a whole number from ")


@pytest.mark.parametrize("field", ["version", "effective_at", "partial_matches"])
@pytest.mark.parametrize("bad", BAD_NUMBERS, ids=str)
def test_a_number_of_a_document_out_of_range_is_refused(field: str, bad: Any) -> None:
    found = refusal(document(**{field: bad}))
    assert found[0] == f"$.{field}"
    assert found[1].startswith("a whole number from ")


def test_what_must_be_above_zero_is_refused_at_zero() -> None:
    assert refusal(document(partial_matches=0))[1] == "a whole number from 1 on, below 2^53"
    assert refusal(changed("window.time.size", 0))[0] == "$.window.time.size"
    loop = graph(node("a", how=quantifier("LOOPING", times={"from": 0})))
    assert refusal(loop)[:2] == (
        "$.nodes[0].quantifier.times.from",
        "a whole number from 1 on, below 2^53",
    )


@pytest.mark.parametrize(("unit", "size"), [("DAYS", 1 << 30), ("HOURS", 1 << 40), ("SECONDS", (1 << 53) - 1)])
def test_a_time_that_javascript_could_not_hold_is_refused(unit: str, size: int) -> None:
    path, expected, got = refusal(graph(node("a"), window=window(size, unit=unit)))
    assert (path, expected) == ("$.window.time", "a time below 2^53 ms")
    assert got.endswith(" ms")


DOCUMENTS: list[tuple[Any, str, str]] = [
    (document(function=5), "$.function", "a string"),
    (document(function="work"), "$.function", "emit:SINK, NAME.py:FUNCTION or NAME.js#FUNCTION"),
    (document(function="work.py#fn"), "$.function", "emit:SINK, NAME.py:FUNCTION or NAME.js#FUNCTION"),
    (document(function="work.js:fn"), "$.function", "emit:SINK, NAME.py:FUNCTION or NAME.js#FUNCTION"),
    (document(function="emit:"), "$.function", "emit:SINK, NAME.py:FUNCTION or NAME.js#FUNCTION"),
    (document(timeouts=5), "$.timeouts", "a string of 1 to 1,000 characters"),
    (document(timeouts="out"), "$.timeouts", "emit:SINK, NAME.py:FUNCTION or NAME.js#FUNCTION"),
    (document(late="out"), "$.late", "emit:SINK"),
    (document(parameters=[1]), "$.parameters", "an object"),
    (document(parameters="[1]"), "$.parameters", "an object"),
    (document(parameters="{"), "$.parameters", "JSON"),
    (document(libs={"a": 1}), "$.libs", "a list of strings"),
    (document(libs=["a", None]), "$.libs[1]", "a string"),
    (document(binding_keys="[1, true]"), "$.binding_keys[1]", "a string"),
    (document(binding_keys=5), "$.binding_keys", "a list of strings"),
    (document(rule_type="cp"), "$.rule_type", "one of cep, udf"),
    (document(rule_type="udf"), "$.function", "the function of a script, as rule_type is udf"),
    (document(time="late"), "$.time", "one of event, arrival"),
    (document(on_change="keep"), "$.on_change", "one of discard, drain, carry"),
    (document(key=""), "$.key", "a string of 1 to 1,000 characters"),
    (document(source=7), "$.source", "a string of 1 to 1,000 characters"),
    (document(id=""), "$.id", "a string of 1 to 1,000 characters"),
    (document(id=True), "$.id", "a string of 1 to 1,000 characters"),
    ({"id": "r", "function": "emit:matches"}, "$.pattern", "a pattern"),
    (document(pattern=""), "$.pattern", "JSON"),
    (document(pattern="{"), "$.pattern", "JSON"),
    (document(pattern="5"), "$.pattern", "an object"),
    (document(pattern=[5]), "$.pattern", "an object"),
    (5, "$", "a rule: an object"),
    ([], "$", "a rule: an object"),
    (None, "$", "a rule: an object"),
]


@pytest.mark.parametrize(("rule", "path", "expected"), DOCUMENTS)
def test_a_document_is_refused_at_its_place(rule: Any, path: str, expected: str) -> None:
    found = refusal(rule)
    assert found[0] == path
    assert found[1].startswith(expected)


# --- chains ------------------------------------------------------------------------------------------------


def abc(*given: tuple[str, str]) -> Json:
    rule = graph(node("a"), node("b"), node("c"))
    rule["edges"] = [{"source": source, "target": target, "type": "STRICT"} for source, target in given]
    return rule


GRAPHS: list[tuple[Json, str, str, str]] = [
    (abc(("a", "b"), ("b", "c"), ("c", "a")), "$.edges", "edges that form a chain", "a cycle"),
    (abc(("a", "a"), ("b", "c")), "$.edges", "edges that join all nodes to one chain", "'a' apart"),
    (abc(("b", "c"), ("c", "b")), "$.edges", "edges that join all nodes to one chain", "'b' apart"),
    (abc(("a", "b"), ("a", "c")), "$.edges[1].source", "one edge from each node", "a second one from 'a'"),
    (abc(("a", "c"), ("b", "c")), "$.edges[1].target", "one edge to each node", "a second one to 'c'"),
    (abc(("a", "b"), ("a", "b")), "$.edges[1].source", "one edge from each node", "a second one from 'a'"),
    (abc(("a", "b")), "$.edges", "edges that join all nodes to one chain", "'c' apart"),
    (abc(), "$.edges", "edges that join all nodes to one chain", "'b' apart"),
    (abc(("a", "b"), ("b", "rule")), "$.edges[1].target", "one of a, b, c", '"rule"'),
    (graph(node("a"), node("a")), "$.nodes[1].name", "a name that no other node has", "'a'"),
    (graph(node("rule")), "$.nodes[0].name", "a name that no other node has", "'rule'"),
    (
        graph(node("a"), group("g", node("b"), node("a"))),
        "$.nodes[1].nodes[1].name",
        "a name that no other node has",
        "'a'",
    ),
    (graph(group("g", node("g"))), "$.nodes[0].name", "a name that no other node has", "'g'"),
    (
        graph(group("g", node("a")), group("h", group("g", node("b")))),
        "$.nodes[1].nodes[0].name",
        "a name that no other node has",
        "'g'",
    ),
    (graph(group("g")), "$.nodes[0].nodes", "at least one node", "none"),
    (graph(node("$endState$")), "$.nodes[0]", "a name that no other node has", "'$endState$'"),
]


@pytest.mark.parametrize(("rule", "path", "expected", "got"), GRAPHS)
def test_a_graph_that_is_no_chain_of_different_nodes_is_refused(rule: Json, path: str, expected: str, got: str) -> None:
    assert refusal(rule) == (path, expected, got)


AB = (node("a"), node("b"))
FORMS: list[tuple[Json, str, str]] = [
    (graph(node("a"), group("g", node("b")), kinds=["NOT_NEXT"]), "$.nodes[1]", "a single node behind a NOT edge"),
    (graph(node("a"), group("g", node("b")), kinds=["NOT_FOLLOW"]), "$.nodes[1]", "a single node behind a NOT edge"),
    (graph(node("a"), node("b", how=LOOP), kinds=["NOT_NEXT"]), "$.nodes[1]", "no quantifier but SINGLE"),
    (graph(node("a", how=OPTIONAL), node("b"), kinds=["NOT_NEXT"]), "$.nodes[1]", "a stage that is not optional"),
    (graph(*AB, kinds=["NOT_FOLLOW"]), "$.nodes[1]", "a window, as the rule ends with NOT_FOLLOW"),
    (
        graph(*AB, skip={"type": "SKIP_TO_LAST", "patternName": "c"}),
        "$.afterMatchStrategy.patternName",
        "a node of the outermost graph that is no group (a, b)",
    ),
    (
        graph(group("g", *AB), skip={"type": "SKIP_TO_FIRST", "patternName": "g"}),
        "$.afterMatchStrategy.patternName",
        "a node of the outermost graph that is no group",
    ),
    (
        graph(group("g", *AB), skip={"type": "SKIP_TO_FIRST", "patternName": "b"}),
        "$.afterMatchStrategy.patternName",
        "a node of the outermost graph that is no group",
    ),
    (
        graph(node("a"), node("b", windows=[window(9, "PREVIOUS_AND_CURRENT")]), window=window(8)),
        "$",
        "windows between events of at most the rule's window (8 ms)",
    ),
    (
        graph(node("a", how=times(3, windowTime={"unit": "SECONDS", "size": 1})), window=window(999)),
        "$",
        "windows between events of at most the rule's window (999 ms)",
    ),
    (
        graph(node("s"), group("g", node("a", how=OPTIONAL), how=LOOP)),
        "$.nodes[1].nodes[0]",
        "a looping group whose every round takes an event",
    ),
    (
        graph(node("s"), group("g", group("h", node("a", how=times(0, 2))), how=LOOP)),
        "$.nodes[1].nodes[0].nodes[0]",
        "a looping group whose every round takes an event",
    ),
    (
        graph(group("g", *AB, how=OPTIONAL), node("c"), kinds=["NOT_NEXT"]),
        "$.nodes[1]",
        "a stage that is not optional before a NOT edge",
    ),
    (graph(node("a", how=quantifier("SINGLE", "GREEDY"))), "$.nodes[0]", "GREEDY with LOOPING or TIMES"),
    (graph(group("g", *AB, how=quantifier("LOOPING", "GREEDY"))), "$.nodes[0]", "GREEDY on a single node"),
    (graph({**group("g", *AB), "condition": aviator("x")}), "$.nodes[0]", "no condition on a group"),
    (graph(node("a", how=quantifier(inner="STRICT"))), "$.nodes[0]", "SKIP_TILL_NEXT as consumingStrategy"),
    (graph(node("a", windows=[window(1), window(2)])), "$.nodes[0].windows", "at most one window of each type"),
    (graph(node("a", how=times(0, 2, "OPTIONAL"))), "$.nodes[0]", "OPTIONAL once"),
    (graph(node("a", how=times(3, 2))), "$.nodes[0].quantifier.times.to", "a whole number from 3 on"),
    (graph(node("a", how=quantifier(times={"from": 1}))), "$.nodes[0].quantifier.times", "times with TIMES or LOOPING"),
]


@pytest.mark.parametrize(("rule", "path", "expected"), FORMS)
def test_what_flink_refuses_or_cannot_end_is_refused_at_its_place(rule: Json, path: str, expected: str) -> None:
    found = refusal(rule)
    assert found[0] == path
    assert found[1].startswith(expected)
    assert refusal(document(rule))[0] == path.replace("$", "$.pattern")


def dynamic(name: str, **fields: Any) -> Json:
    return {"name": name, "type": "ATOMIC", "quantifier": {"properties": ["SINGLE"]}, "condition": None, **fields}


DYNAMIC: list[tuple[Json, str, str]] = [
    (flink_dynamic(dynamic("a", times={"from": 1})), "$.nodes[0].times", "times with TIMES or LOOPING only"),
    (flink_dynamic(dynamic("a", tims=1)), "$.nodes[0].tims", "times (the nearest known field)"),
    (
        flink_dynamic(dynamic("a", quantifier={"properties": ["LOOPING"]}, untilCondition=aviator("x >"))),
        "$.nodes[0].untilCondition",
        "an expression",
    ),
    (
        flink_dynamic(dynamic("a"), dynamic("b", condition=joined("Or", aviator("x"), aviator("y +")))),
        "$.nodes[1].condition.nestedConditions[1]",
        "an expression",
    ),
    (flink_dynamic(dynamic("g", graph={"nodes": [5], "edges": []})), "$.nodes[0].graph.nodes[0]", "an object"),
    (flink_dynamic(dynamic("g", graph=[])), "$.nodes[0].graph", "an object"),
    (
        flink_dynamic(dynamic("a", afterMatchSkipStrategy={"type": "SKIP_TO_LAST", "patternName": "z"})),
        "$.nodes[0].afterMatchSkipStrategy.patternName",
        "a node of the outermost graph that is no group (a)",
    ),
    (flink_dynamic(dynamic("a"), dynamic("b"), kinds=["NOT_FOLLOW"]), "$.nodes[1]", "a window, as the rule ends"),
    ({**flink_dynamic(dynamic("a")), "version": 1}, "$.version", "one of nodes, edges"),
]


@pytest.mark.parametrize(("rule", "path", "expected"), DYNAMIC)
def test_the_dialect_of_flink_dynamic_cep_is_refused_at_its_own_places(rule: Json, path: str, expected: str) -> None:
    found = refusal(rule)
    assert found[0] == path
    assert found[1].startswith(expected)


# --- conditions --------------------------------------------------------------------------------------------

CONDITIONS: list[tuple[Json, str, str, str]] = [
    (aviator("x >"), "", "an expression", "'x >': column 4: expected a value, got the end of the expression"),
    (aviator("x > lost(1)"), "", "an expression", "expected a known function, got lost"),
    (aviator("x =~ /(/"), "", "an expression", "expected a regular expression, got /(/"),
    (aviator(r"x =~ /(a)\1/"), "", "an expression", "back references such as"),
    (aviator("x > limit.most"), "", "an expression", "expected a path within the parameter limit"),
    (aviator("x > limit[3]"), "", "an expression", "expected a path within the parameter limit"),
    (aviator("first(x).y > 1"), "", "an expression", "expected the name of a stage in quotes for first, got something"),
    (aviator("last('a', 'b').y > 1"), "", "an expression", "expected the name of a stage in quotes for last, got"),
    ({"type": "GROOVY", "expression": "x.collect { it }"}, "", "a GROOVY condition within the", "column 11"),
    ({"type": "GROOVY", "expression": "def y = x; y > 1"}, "", "a GROOVY condition within the", "column 5"),
    (
        {"type": "CLASS", "className": "com.acme.Hot"},
        ".className",
        "a class name that ends in RichAndCondition, RichOrCondition, RichNotCondition: Java classes do not run here",
        "'com.acme.Hot'",
    ),
    ({"type": "CLASS"}, ".className", "a string", "the field is missing"),
    (joined("And"), ".nestedConditions", "at least one condition, none of them null", "0"),
    (joined("Or", aviator("x"), None), ".nestedConditions", "at least one condition, none of them null", "1"),
    (joined("Not", aviator("x"), aviator("y")), ".nestedConditions", "one condition", "2"),
    (joined("And", joined("Not", aviator("x y"))), ".nestedConditions[0].nestedConditions[0]", "an expression", "'y'"),
    ({**joined("And"), "nestedConditions": 5}, ".nestedConditions", "a list of conditions", "5"),
]


@pytest.mark.parametrize(("condition", "path", "expected", "got"), CONDITIONS)
def test_a_condition_is_refused_at_its_place(condition: Json, path: str, expected: str, got: str) -> None:
    at = "$.pattern.nodes[1]"
    rule = document(graph(node("a"), node("b", condition)), parameters={"limit": {"max": 1}})
    found = refusal(rule)
    assert found[0] == f"{at}.condition{path}"
    assert found[1].startswith(expected)
    assert got in found[2]
    until = quantifier("LOOPING", untilCondition=condition)
    rule = document(graph(node("a"), node("b", None, until)), parameters={"limit": {"max": 1}})
    assert refusal(rule)[0] == f"{at}.quantifier.untilCondition{path}"


def test_a_function_of_a_script_is_refused_where_there_are_none() -> None:
    with pytest.raises(RuleError) as caught:
        Matcher(graph(node("a", {"type": "PYTHON", "function": "checks.py:hot"})))
    assert caught.value.problems[0].path == "$.nodes[0].condition"


def test_a_pattern_that_would_never_end_with_backtracking_is_matched_in_linear_time() -> None:
    matcher = Matcher(graph(node("a", "x =~ /(a+)+b/")), time="arrival")
    assert matcher.feed({"ts": 1, "x": "a" * 50_000}) == []
    assert len(matcher.feed({"ts": 1, "x": "a" * 50_000 + "b"})) == 1


# --- what would take too long ------------------------------------------------------------------------------


def nested_groups(levels: int) -> Json:
    inner = node("n0")
    for level in range(1, levels):
        inner = group(f"n{level}", inner)
    return graph(inner)


def nested_conditions(levels: int) -> Json:
    inner = aviator("x > 1")
    for _ in range(1, levels):
        inner = joined("Not", inner)
    return graph(node("a", inner))


@pytest.mark.parametrize("make", [nested_groups, nested_conditions])
def test_what_is_nested_too_deeply_is_refused(make: Any) -> None:
    assert isinstance(compiled(make(MAX_DEPTH)), Placed)
    for levels in (MAX_DEPTH + 1, 200):
        assert refusal(make(levels))[1].startswith(f"at most {MAX_DEPTH} levels of ")


@pytest.mark.parametrize("levels", [50, 900, 1100, 5000, 200_000])
@pytest.mark.parametrize(
    "text",
    [
        '{"pattern": DEEP}',
        '{"pattern": {"type": DEEP}}',
        '{"pattern": {"type": "COMPOSITE", "name": DEEP}}',
        '{"type": "COMPOSITE", "name": "r", "quantifier": DEEP}',
        '{"nodes": [{"name": "a", "type": DEEP}], "edges": []}',
        '{"nodes": DEEP, "edges": []}',
        '{"rule_type": DEEP}',
        '{"pattern": "{}", "parameters": "DEEP"}',
        '{"pattern": {}, "binding_keys": [DEEP]}',
    ],
)
def test_json_of_any_depth_is_refused(text: str, levels: int) -> None:
    with pytest.raises(RuleError) as caught:
        compiled(text.replace("DEEP", "[" * levels + "]" * levels))
    assert caught.value.problems[0].path.startswith("$")
    assert len(str(caught.value)) < 2000


def chain(count: int, how: Json = SINGLE) -> Json:
    return graph(*(node(f"s{number}", f"x == {number}", how) for number in range(count)))


def alternatives(count: int, repeats: int = 1) -> Json:
    either = joined("Or", *(aviator(f"x == {number}") for number in range(count)))
    return graph(node("a", either, times(repeats)))


TOO_LARGE: list[tuple[Json, str, str]] = [
    (graph(node("a", how=times(MAX_STATES))), "$", f"a pattern of at most {MAX_STATES} states"),
    (graph(node("a", how=times((1 << 53) - 1))), "$", f"a pattern of at most {MAX_STATES} states"),
    (graph(node("a", how=times(0, (1 << 53) - 1))), "$", f"a pattern of at most {MAX_STATES} states"),
    (graph(node("a", how=quantifier("LOOPING", times={"from": 1 << 52}))), "$", "a pattern of at most"),
    (
        graph(group("g", group("h", node("a", how=times(50)), how=times(50)), how=times(50))),
        "$",
        "a pattern of at most",
    ),
    (chain(MAX_STAGES + 1), "$.nodes", f"at most {MAX_STAGES} nodes"),
    (graph(*(group(f"g{n}", node(f"s{n}")) for n in range(MAX_STAGES // 2 + 1))), "$", f"at most {MAX_STAGES} stages"),
    (chain(MAX_IN_A_ROW + 1, OPTIONAL), "$", f"at most {MAX_IN_A_ROW} optional stages in a row"),
    (
        graph(*(group(f"g{n}", node(f"s{n}", how=OPTIONAL), how=OPTIONAL) for n in range(30))),
        "$",
        f"at most {MAX_WAYS} ways around optional stages and out of loops",
    ),
    (alternatives(MAX_CONDITIONS + 1), "$", f"at most {MAX_CONDITIONS} conditions; && and || join more"),
    (alternatives(400, 100), "$", f"at most {MAX_ASKED} conditions, each as often as its stage may repeat"),
    (graph(*(node(f"s{n}", "x" + "+x" * 499) for n in range(3))), "$.nodes[0].condition", "an expression"),
]


@pytest.mark.parametrize(("rule", "path", "expected"), TOO_LARGE, ids=[expected for _, _, expected in TOO_LARGE])
def test_what_would_be_too_large_is_refused_before_it_is_built(rule: Json, path: str, expected: str) -> None:
    found = refusal(rule)
    assert found[0] == path
    assert found[1].startswith(expected)


LARGE = {
    "repeats": graph(node("a", "x == 1", times(MAX_STATES - 2))),
    "optional repeats": graph(node("a", "x == 1", times(1, MAX_STATES // 2 - 1))),
    "nodes": chain(MAX_STAGES),
    "optional nodes": chain(MAX_IN_A_ROW, OPTIONAL),
    "conditions": alternatives(MAX_CONDITIONS),
    "groups": graph(group("g", *(node(f"s{n}", "x == 1") for n in range(90)), how=times(20))),
}


@pytest.mark.parametrize("name", list(LARGE))
def test_what_is_as_large_as_allowed_takes_events(name: str) -> None:
    matcher = Matcher(LARGE[name], time="arrival")
    for at in range(5):
        matcher.feed({"ts": at, "x": 1})


# --- texts that are no JSON --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nonsense",
        "{",
        '{"pattern": NaN}',
        '{"pattern": Infinity}',
        '{"pattern": -Infinity}',
        '{"pattern": 1e999}',
        '{"pattern": {}} {}',
        '{"parameters": {"a": "\\ud800"}, "pattern": {}}',
        '{"\\ud800": 1}',
        b'{"pattern": "\xed\xa0\x80"}',
        b"\xff\xfe{\x00}\x00",
        b"\xef\xbb\xbf{}",
        '{"version": ' + "9" * 5000 + "}",
        *EDGES,
    ],
)
def test_a_text_that_is_no_rule_is_refused(text: str | bytes) -> None:
    with pytest.raises(RuleError) as caught:
        compiled(text)
    assert str(caught.value).startswith("$")
    assert str(caught.value).encode()


@pytest.mark.parametrize(
    ("value", "path"),
    [
        ({"pattern": {**graph(node("a")), "\ud800": 1}}, "$.pattern.\\ud800"),
        ({"pattern": graph(node("\ud800"), node("\ud800"))}, "$.pattern.nodes[1].name"),
        ({"pattern": graph(node("a", "x == '\ud800")), "id": "r"}, "$.pattern.nodes[0].condition"),
        ({"pattern": graph(node("a")), "parameters": {"a": "\ud800"}}, "$.parameters"),
        ({"pattern": graph(node("a")), "parameters": {"a": object()}}, "$.parameters"),
        ({"pattern": graph(node("a")), "parameters": {"a": 10**5000}}, "$.parameters"),
        ({"pattern": graph(node("a")), "version": float("nan")}, "$.version"),
        ({"pattern": graph(node("a")), 5: 1}, "$.5"),
    ],
)
def test_values_that_json_cannot_hold_are_refused_with_words_that_can_be_written(value: Any, path: str) -> None:
    with pytest.raises(RuleError) as caught:
        compiled(value)
    assert caught.value.problems[0].path == path
    assert str(caught.value).encode()


def test_parameters_are_taken_as_they_are_now() -> None:
    parameters = {"limit": {"max": 1}}
    rule = read_rule(document(graph(node("a", "x > limit.max")), parameters=parameters))
    parameters["limit"]["max"] = 5
    assert rule.parameters == {"limit": {"max": 1}}


# --- any value, and any change to a good rule --------------------------------------------------------------

LEAVES = (
    st.none()
    | st.booleans()
    | st.sampled_from([0, -1, 1, 2, 3, 40, 1 << 31, 1 << 53, 10**30, 1.5, float("nan"), float("inf")])
    | st.sampled_from(
        [
            *("ATOMIC", "COMPOSITE", "SINGLE", "LOOPING", "TIMES", "OPTIONAL", "GREEDY", "STRICT", "SKIP_TILL_ANY"),
            *("SKIP_TILL_NEXT", "NOT_NEXT", "NOT_FOLLOW", "FIRST_AND_LAST", "PREVIOUS_AND_CURRENT", "NO_SKIP"),
            *("SKIP_TO_LAST", "SKIP_PAST_LAST_EVENT", "AVIATOR", "CLASS", "GROOVY", "PYTHON", "MILLISECONDS", "DAYS"),
            *("a", "p0", "p1", "g0", "x > 1", "x >", "x =~ /(/", "last('p0').v < v", "now() > 1", "\ud800", "\0", ""),
            *("RichAndCondition", "x.RichNotCondition", "emit:out", "work.py:fn", "{}", "[]", "cep", "udf", "drain"),
        ]
    )
    | st.text(max_size=4)
)
NAMES = st.sampled_from(
    [
        *("name", "type", "quantifier", "condition", "nodes", "edges", "window", "windows", "afterMatchStrategy"),
        *("version", "graph", "times", "from", "to", "windowTime", "untilCondition", "consumingStrategy"),
        *("innerConsumingStrategy", "properties", "unit", "size", "time", "source", "target", "expression"),
        *("className", "nestedConditions", "function", "patternName", "afterMatchSkipStrategy", "pattern", "id"),
        *("parameters", "libs", "binding_keys", "rule_type", "effective_at", "key", "on_change", "timeouts", "late"),
    ]
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES | st.text(max_size=3), inner, max_size=5),
    max_leaves=10,
)


def good(seed: int) -> Json:
    """A rule that is good, as nearly all of these are."""
    [case] = islice(cases(seed, invalid=0), 1)
    pattern: Json = with_functions(case["rule"])
    return pattern


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every container with every key in it."""
    if isinstance(value, dict | list):
        for key, inner in list(value.items() if isinstance(value, dict) else enumerate(value)):
            yield value, key
            yield from places(inner)


@st.composite
def mutations(draw: st.DrawFn) -> Any:
    """A good rule of which some parts are taken out, put in twice, exchanged, of another type or another name."""
    rule: Any = good(draw(st.integers(0, 3000)))
    if draw(st.booleans()):
        rule = {"id": "r", "pattern": rule, **draw(st.dictionaries(NAMES, VALUES, max_size=2))}
    rule = copy.deepcopy(rule)
    for _ in range(draw(st.integers(1, 4))):
        found = list(places(rule))
        if not found:
            break
        container, key = found[draw(st.integers(0, len(found) - 1))]
        kind = draw(st.sampled_from(["delete", "duplicate", "retype", "rename", "exchange", "wrap"]))
        if kind == "delete":
            del container[key]
        elif kind == "duplicate" and isinstance(container, list):
            container.insert(draw(st.integers(0, len(container))), copy.deepcopy(container[key]))
        elif kind == "retype":
            container[key] = draw(VALUES)
        elif kind == "rename" and isinstance(container, dict):
            container[draw(NAMES)] = container.pop(key)
        elif kind == "exchange":
            other, at = found[draw(st.integers(0, len(found) - 1))]
            other[at], container[key] = copy.deepcopy(container[key]), copy.deepcopy(other[at])
        elif kind == "wrap":
            container[key] = draw(st.sampled_from([[container[key]], {"nodes": [container[key]], "edges": []}]))
    return rule


def check(document: Any) -> None:
    """It is a rule that takes events, or refused with a place and words that can be written."""
    found = compiled_or_refused(document)
    if isinstance(found, Placed):
        assert 0 < len(found.machine.automaton.states) <= MAX_STATES
    if isinstance(found, RuleError):
        assert found.problems
        assert all(problem.path and problem.expected and problem.got for problem in found.problems)
        assert len(str(found).encode()) < 20_000


def compiled_or_refused(document: Any) -> Placed | Rule | RuleError:
    try:
        return compiled(document)
    except RuleError as error:
        return error


@effort(150)
@given(mutations())
def test_any_change_to_a_good_rule_gives_a_rule_or_a_refusal_with_its_place(document: Any) -> None:
    check(document)


@effort(150)
@given(VALUES | st.dictionaries(NAMES, VALUES))
@example({"pattern": {"type": "COMPOSITE", "nodes": [{"type": "COMPOSITE", "nodes": []}]}})
@example({"nodes": [{}], "edges": []})
def test_any_value_is_a_rule_or_refused_with_its_place(document: Any) -> None:
    check(document)


@effort(100)
@given(st.integers(0, 3000), st.integers(0, 10_000), st.binary(max_size=4), st.integers(0, 8))
def test_any_bytes_are_a_rule_or_refused_with_their_place(seed: int, at: int, put: bytes, cut: int) -> None:
    content = json.dumps(good(seed)).encode()
    at %= len(content)
    check(content[:at] + put + content[at + cut :])


def test_most_of_the_rules_that_are_changed_are_good() -> None:
    assert sum(isinstance(compiled_or_refused(good(seed)), Placed) for seed in range(40)) >= 30
