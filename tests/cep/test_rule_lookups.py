"""Which rules an event finds: all that it may begin a match of, and few others."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.cep.rule_json import graph, joined, node
from trimtab.cep import read_rule
from trimtab.cep.conditions import Conditions
from trimtab.cep.lookups import Index
from trimtab.cep.placed import Placed, place
from trimtab.expressions import compile_expression
from trimtab.values import Decoded

ODD = [None, True, False, "5", "a", 5, 5.0, -1, 1 << 70, float("nan"), float("inf"), [5], {"z": 5}]
FIELDS = st.dictionaries(st.sampled_from("xyz"), st.one_of(st.integers(0, 9), st.sampled_from(ODD)), max_size=3)
EVENTS = st.lists(st.one_of(FIELDS, FIELDS, FIELDS, st.sampled_from(ODD)), max_size=30)

ATOMS = st.builds(
    "{} {} {}".format,
    st.sampled_from(["x", "y", "z", "x.z"]),
    st.sampled_from(["==", "==", ">", ">=", "<", "<=", "!="]),
    st.sampled_from(["5", "5.0", "0", "1", "'5'", "'a'", "true", "nil"]),
)
EXPRESSIONS = st.recursive(
    ATOMS, lambda inner: st.builds("({} {} {})".format, inner, st.sampled_from(["&&", "&&", "||"]), inner), max_leaves=5
)


def placed(expression: str | dict[str, Any]) -> Placed:
    return place(read_rule({"id": str(expression), "pattern": graph(node("a", expression))}), Conditions(lambda: 0))


def index_of(*rules: Placed) -> Index[Placed]:
    index: Index[Placed] = Index()
    for each in rules:
        index.add(each, each.needs)
    return index


def found(index: Index[Placed], *events: Any) -> list[list[str]]:
    """What each event finds."""
    rules = index.find_all(Decoded(events))
    return [sorted({each.rule.id for each in rules.get(number, [])}) for number in range(len(events))]


@settings(max_examples=500, deadline=None)
@given(st.lists(EXPRESSIONS, max_size=8), EVENTS)
def test_an_event_finds_every_rule_whose_condition_it_meets(expressions: list[str], events: list[Any]) -> None:
    rules = [placed(expression) for expression in expressions]
    index = index_of(*rules)
    for event, names in zip(events, found(index, *events), strict=True):
        for expression in expressions:
            assert not compile_expression(expression).test(event) or expression in names
        assert {each.rule.id for each in index.find(event)} >= set(names)


@settings(max_examples=200, deadline=None)
@given(st.lists(EXPRESSIONS, min_size=2, max_size=8, unique=True), EVENTS, st.randoms())
def test_an_index_is_as_if_rules_that_went_had_never_been_there(
    expressions: list[str], events: list[Any], lot: Any
) -> None:
    rules = [placed(expression) for expression in expressions]
    index = index_of(*rules)
    left = rules[: len(rules) // 2]
    gone = rules[len(rules) // 2 :]
    lot.shuffle(gone)
    for each in gone:
        index.remove(each, each.needs)
    assert found(index, *events) == found(index_of(*left), *events)
    for each in left:
        index.remove(each, each.needs)
    assert index.empty
    assert found(index, *events) == [[] for _ in events]


@pytest.mark.parametrize(
    ("expression", "events", "finds"),
    [
        ("x == 'a' && y > 5", [{"x": "a", "y": 6}, {"x": "a", "y": 4}, {"x": "a"}, {"x": "b", "y": 6}], [0]),
        ("y < 5 && x == 'a'", [{"x": "a", "y": 4}, {"x": "a", "y": 6}, {"x": "a", "y": None}, {"y": 4}], [0, 2]),
        ("x == 1 && y == 2", [{"x": 1, "y": 2}, {"x": 1, "y": 3}, {"x": 1}], [0]),
        ("x == 1 || x == 2", [{"x": 1}, {"x": 2.0}, {"x": 3}, {}], [0, 1]),
        ("5 > x && z != 3", [{"x": 4}, {"x": 6}, {"x": None}], [0, 2]),
        ("x.z == 5", [{"x": {"z": 5}}, {"x": {"z": 4}}, {"x": 5}, {"x": {}}], [0]),
        ("x != 5", [{"x": 5}, {}], [0, 1]),
        ("x >= 5 || x <= 2", [{"x": 5}, {"x": 2}, {"x": 3}], [0, 1]),
        ("x == 1 && y <= 2", [{"x": 1, "y": 2}, {"x": 1, "y": 2.1}], [0]),
        ("x == 1 && y >= 2", [{"x": 1, "y": 2}, {"x": 1, "y": 1.9}], [0]),
        (
            joined("And", node("", "x == 1")["condition"], node("", "y > 2")["condition"]),
            [{"x": 1, "y": 1}, {"x": 1, "y": 3}],
            [1],
        ),
    ],
)
def test_an_event_that_lacks_what_a_rule_needs_does_not_find_it(
    expression: str | dict[str, Any], events: list[Any], finds: list[int]
) -> None:
    names = found(index_of(placed(expression)), *events)
    assert [number for number, each in enumerate(names) if each] == finds


def test_an_event_finds_few_of_many_rules() -> None:
    rules = [placed(f"x == 't{number}' && y > {number % 10}") for number in range(500)]
    rules += [placed(f"z > {number}") for number in range(500)]
    index = index_of(*rules)
    names = found(index, {"x": "t35", "y": 7, "z": 2}, {"x": "t35", "y": 4}, {"z": -1}, {"z": 900})
    assert list(map(len, names)) == [4, 0, 0, 500]
    same = [placed(f"x == 'one' && y > {number}") for number in range(500)]
    assert list(map(len, found(index_of(*same), {"x": "one", "y": 2.5}, {"x": "two", "y": 2.5}))) == [3, 0]
