"""Rules that change: what becomes of partial matches, when a change holds, and that a restart changes nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.cep.rule_json import Json, graph, group, node, quantifier, times, window
from tests.engine.rules_kit import Lane, changed, emitted, taken
from trimtab.engine.rule_versions import PARTIAL

CALLS = "def on_match(match, ctx): pass\ndef hot(event, partial): return True\n"


@pytest.fixture
def lane() -> Iterator[Lane]:
    lane = Lane()
    yield lane
    lane.close()


def rule(first: str = "a", last: str = "b", pattern: Json | None = None, **fields: Any) -> Json:
    pattern = pattern or graph(node("x", f"t == '{first}'"), node("y", f"t == '{last}'"))
    return {"id": "r", "pattern": pattern, "function": "emit:out", "source": "gps", **fields}


def event(n: int, t: str, key: Any = 1, **more: Any) -> Json:
    return {"n": n, "t": t, "ts": n, "key": key, **more}


def change(lane: Lane, document: Json) -> None:
    lane.deploy({"r.rule.json": document})


# --- partial matches ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", [None, "discard"])
def test_a_new_version_begins_with_nothing(lane: Lane, how: str | None) -> None:
    change(lane, rule())
    lane.out(event(1, "a"), watermark=1)
    change(lane, {**rule(last="c"), **({} if how is None else {"on_change": how})})
    assert lane.out(event(2, "b"), event(3, "c"), event(4, "a"), event(5, "c"), watermark=9) != []
    assert lane.counts["r.rule.json"].open == 0


def test_what_was_discarded_is_gone_from_the_rows_too(lane: Lane) -> None:
    change(lane, rule())
    lane.out(event(1, "a"), watermark=1)
    assert lane.rows.all != []
    change(lane, rule(last="c"))
    assert lane.rows.all == []


def test_what_begins_and_ends_within_a_batch_is_not_stored(lane: Lane) -> None:
    change(lane, rule())
    result = lane.process(event(1, "a"), event(2, "b"), event(3, "a", key=2), watermark=9)
    assert [row.key for row in result.changes] == ["2"]


def test_drained_partial_matches_finish_under_the_old_version_and_new_ones_begin_under_the_new(lane: Lane) -> None:
    change(lane, rule())
    lane.out(event(1, "a"), watermark=1)
    change(lane, rule(last="c", on_change="drain"))
    found = lane.out(event(2, "a"), event(3, "b"), event(4, "c"), event(5, "b"), watermark=9)
    assert taken(found) == [{"x": [1], "y": [3]}, {"x": [2], "y": [4]}]
    assert len({match["version"] for match in found}) == 2


def test_several_versions_drain_at_once_also_after_a_restart(lane: Lane) -> None:
    for n, last in enumerate("bcd", 1):
        change(lane, rule(last=last, on_change="drain"))
        lane.out(event(n, "a"), watermark=n)
    lane = lane.again()
    found = lane.out(event(11, "b"), event(12, "c"), event(13, "d"), watermark=20)
    assert taken(found) == [{"x": [1], "y": [11]}, {"x": [2], "y": [12]}, {"x": [3], "y": [13]}]
    assert len({match["version"] for match in found}) == 3
    lane.close()


def test_versions_that_have_finished_leave_nothing(lane: Lane) -> None:
    for n in range(20):
        change(lane, rule(pattern=graph(node("x", "t == 'a'"), node("y", f"t == 'b' && n > {n}")), on_change="drain"))
        lane.out(event(100 * n + 50, "a"), event(100 * n + 60, "b"), watermark=100 * n + 99)
    [running] = lane.engine._rules.versions.running.values()
    assert sum(map(len, running.draining.values())) <= 1
    change(lane, rule(last="c"))
    assert (running.draining, lane.rows.all) == ({}, [])


def test_carried_partial_matches_go_on_under_the_new_version(lane: Lane) -> None:
    change(lane, rule())
    lane.out(event(1, "a"), watermark=1)
    change(lane, rule(last="c", on_change="carry"))
    lane = lane.again()
    found = lane.out(event(2, "b"), event(3, "c"), watermark=9)
    assert taken(found) == [{"x": [1], "y": [3]}]
    lane.close()


def test_a_carried_partial_match_has_the_window_of_the_new_version(lane: Lane) -> None:
    def within(milliseconds: int, **fields: Any) -> Json:
        pattern = graph(node("x", "t == 'a'"), node("y", "t == 'b'"), window=window(milliseconds))
        return rule(pattern=pattern, timeouts="emit:timeouts", **fields)

    change(lane, within(10))
    lane.out(event(1, "a"), watermark=1)
    change(lane, within(100, on_change="carry"))
    assert taken(lane.out(event(50, "b"), watermark=60)) == [{"x": [1], "y": [50]}]
    lane.out(event(61, "a"), watermark=61)
    change(lane, within(5, on_change="carry"))
    [timeout] = emitted(lane.process(watermark=90), "timeouts")
    assert (timeout["kind"], timeout["timestamp"]) == ("timeout", 66)


X, Y = node("x", "t == 'a'"), node("y", "t == 'b'")
SHAPES: list[Json] = [
    graph(X),
    graph(Y, X),
    graph(X, Y, kinds=["STRICT"]),
    graph(X, node("z", "t == 'b'")),
    graph(X, node("y", "t == 'b'", quantifier("LOOPING"))),
    graph(X, node("y", "t == 'b'", times(2))),
    graph(X, node("y", "t == 'b'", quantifier("SINGLE", "OPTIONAL"))),
    graph(group("g", X, Y)),
    graph(X, Y, window=window(5)),
    graph(X, Y, skip="SKIP_TO_NEXT"),
    graph(X, Y, kinds=["NOT_FOLLOW"], window=window(5)),
]


@pytest.mark.parametrize("pattern", SHAPES)
def test_carry_is_refused_for_a_pattern_of_another_shape(lane: Lane, pattern: Json) -> None:
    change(lane, rule(pattern=graph(X, Y)))
    lane.out(event(1, "a"), watermark=1)
    faults = lane.refused({"r.rule.json": rule(pattern=pattern, on_change="carry")})
    assert "on_change: expected" in faults["r.rule.json"].message
    assert len(lane.out(event(2, "b"), watermark=9)) == 1, "the running version goes on"


def test_carry_is_taken_for_other_conditions_times_parameters_and_targets(lane: Lane) -> None:
    change(lane, rule(pattern=graph(X, Y, window=window(5))))
    other = graph(node("x", "t == 'c' && n > p"), node("y", None), window=window(7, unit="DAYS"))
    change(lane, rule(pattern=other, on_change="carry", parameters={"p": 1}, timeouts="emit:timeouts"))


def test_a_rule_that_is_stopped_for_a_key_goes_on_when_it_changes_whatever_becomes_of_partial_matches(
    lane: Lane,
) -> None:
    for n, how in enumerate(["discard", "drain", "carry"], 1):
        at = 100 * n
        change(lane, rule(partial_matches=1, parameters={"n": n}))
        lane.out(event(at, "a"), event(at + 1, "a"), watermark=at + 1)
        assert lane.out(event(at + 2, "a"), event(at + 3, "b"), watermark=at + 3) == []
        change(lane, rule(on_change=how, parameters={"n": n}))
        found = lane.out(event(at + 4, "a"), event(at + 5, "b"), watermark=at + 5)
        assert taken(found) == [{"x": [at + 4], "y": [at + 5]}], how


def test_a_deleted_rule_leaves_nothing_and_begins_anew_when_it_comes_back(lane: Lane) -> None:
    change(lane, rule(on_change="drain"))
    lane.out(event(1, "a"), watermark=1)
    change(lane, rule(last="c", on_change="drain"))
    lane.out(event(2, "a"), watermark=2)
    lane.deploy({"r.rule.json": None})
    assert lane.rows.all == []
    assert lane.out(event(3, "b"), event(4, "c"), watermark=9) == []
    change(lane, rule())
    assert lane.out(event(13, "b"), watermark=19) == []


def test_a_version_that_is_the_same_again_keeps_everything(lane: Lane) -> None:
    lane.deploy({"r.rule.json": rule(), "q.rule.json": rule(id="q")})
    lane.out(event(1, "a"), watermark=1)
    lane.deploy({"q.rule.json": rule("z", id="q")})
    assert len(lane.out(event(2, "b"), watermark=9)) == 1


# --- the time from which a change holds --------------------------------------------------------------------


def test_events_before_the_time_are_for_the_old_version_and_those_from_it_on_for_the_new(lane: Lane) -> None:
    change(lane, rule())
    change(lane, rule(last="c", effective_at=50))
    waiting = [event(n, t) for n, t in enumerate("abcabc", 47)]  # 47 to 52: a b c | a b c
    assert lane.out(*reversed(waiting)) == []
    found = lane.out(watermark=60)
    assert taken(found) == [{"x": [47], "y": [48]}, {"x": [50], "y": [52]}]
    assert len({match["version"] for match in found}) == 2


@pytest.mark.parametrize("step", [1, 3, 100])
@pytest.mark.parametrize("how", ["discard", "drain", "carry"])
def test_the_size_of_the_steps_of_the_watermark_does_not_matter(lane: Lane, how: str, step: int) -> None:
    change(lane, rule())
    change(lane, rule(last="c", effective_at=50, on_change=how))
    lane.out(*[event(n, t) for n, t in zip(range(40, 64), "aabc" * 6, strict=True)])
    found = [match for at in [*range(40, 140, step), 140] for match in lane.out(watermark=at)]
    old = [{"x": [n], "y": [n + 2 - n % 2]} for n in (40, 41, 44, 45)]
    new = [{"x": [n], "y": [n + 3 - n % 2]} for n in (52, 53, 56, 57, 60, 61)]
    between = {
        "discard": [{"x": [49], "y": [51]}][:0],
        "drain": [{"x": [48], "y": [50]}, {"x": [49], "y": [50]}],
        "carry": [{"x": [48], "y": [51]}, {"x": [49], "y": [51]}],
    }
    assert taken(found) == [*old, *between[how], *new]


@pytest.mark.parametrize(("how", "left"), [("discard", 0), ("drain", 2), ("carry", 2)])
def test_the_count_of_open_partial_matches_follows_a_change_at_its_time(lane: Lane, how: str, left: int) -> None:
    change(lane, rule())
    change(lane, rule(last="c", effective_at=50, on_change=how))
    lane.out(event(41, "a"), event(42, "a", key=2), watermark=45)
    assert lane.counts["r.rule.json"].open == 2
    lane.out(watermark=60)
    assert lane.counts["r.rule.json"].open == left


def test_a_time_that_has_passed_means_now(lane: Lane) -> None:
    change(lane, rule())
    lane.out(event(1, "a"), watermark=60)
    change(lane, rule(last="c", effective_at=50))
    assert taken(lane.out(event(61, "a"), event(62, "b"), event(63, "c"), watermark=70)) == [{"x": [61], "y": [63]}]


def test_a_first_version_waits_for_its_time_too(lane: Lane) -> None:
    change(lane, rule(effective_at=50))
    assert taken(lane.out(*[event(n, t) for n, t in enumerate("abab", 48)], watermark=60)) == [{"x": [50], "y": [51]}]


def test_a_change_that_waits_is_replaced_by_a_later_one_and_goes_with_the_rule(lane: Lane) -> None:
    change(lane, rule())
    change(lane, rule(last="c", effective_at=50))
    change(lane, rule(last="d", effective_at=60))
    found = lane.out(*[event(n, t) for n, t in zip(range(51, 65), "abcdabcdaabcda", strict=True)], watermark=70)
    assert taken(found) == [{"x": [51], "y": [52]}, {"x": [55], "y": [56]}, {"x": [60], "y": [63]}]
    change(lane, rule(last="c", effective_at=100))
    lane.deploy({"r.rule.json": None})
    assert lane.out(event(101, "a"), event(102, "b"), event(103, "c"), watermark=110) == []
    assert lane.rows.all == []


def test_going_back_to_what_runs_takes_back_a_change_that_waits_and_keeps_what_has_begun(lane: Lane) -> None:
    change(lane, rule())
    lane.out(event(1, "a"), watermark=1)
    change(lane, rule(last="c", effective_at=50))
    change(lane, rule())
    found = lane.out(event(2, "b"), event(60, "a"), event(61, "c"), event(62, "b"), watermark=70)
    assert taken(found) == [{"x": [1], "y": [2]}, {"x": [60], "y": [62]}]


@pytest.mark.parametrize("cut", [45, 49, 50, 55])
def test_a_change_that_waits_outlives_the_lane(lane: Lane, cut: int) -> None:
    change(lane, rule())
    change(lane, rule(last="c", effective_at=50, on_change="drain"))
    lane.out(*[event(n, t) for n, t in enumerate("abcabc", 47)], watermark=cut)
    found = taken(lane.out(watermark=cut)) if cut < 48 else []
    lane = lane.again()
    found += taken(lane.out(watermark=60))
    wanted = [{"x": [47], "y": [48]}, {"x": [50], "y": [52]}]
    assert found == [match for match in wanted if match["y"][0] > cut or cut < 48]
    lane.close()


def test_a_version_that_can_no_longer_be_read_does_not_keep_the_lane_from_starting(lane: Lane) -> None:
    change(lane, rule())
    change(lane, rule(last="c", effective_at=50))
    lane.rows.take(
        type(row)(row.script, row.key, row.name, b'{"pattern": 5}') for row in lane.rows.all if row.name == "previous"
    )
    lane = lane.again()
    assert taken(lane.out(event(50, "a"), event(51, "c"), watermark=60)) == [{"x": [50], "y": [51]}]
    lane.close()


def test_what_a_version_has_begun_that_can_no_longer_be_read_is_dropped_when_a_lane_has_missed_a_change(
    lane: Lane,
) -> None:
    change(lane, rule())
    lane.out(event(1, "a"), watermark=1)
    lane.files = {"r.rule.json": b'{"pattern": 5}'}
    started = Lane(lane, [{"r.rule.json": rule(last="c", on_change="drain")}])
    assert not any(row.name.startswith(PARTIAL) for row in started.rows.all)
    found = started.out(event(2, "b"), event(3, "a"), event(4, "c"), watermark=9)
    assert taken(found) == [{"x": [3], "y": [4]}]
    started.close()


# --- scripts that rules call -------------------------------------------------------------------------------

CALLERS: dict[str, Json] = {
    "function": rule(function="w.py:on_match"),
    "timeouts": rule(pattern=graph(X, Y, window=window(5)), timeouts="w.py:on_match"),
    "condition": rule(pattern=graph(X, node("y", {"type": "PYTHON", "function": "w.py:on_match"}))),
    "waiting": rule(function="w.py:on_match", effective_at=1000),
    "udf": {"id": "r", "rule_type": "udf", "function": "w.py:on_match", "source": "gps"},
}


@pytest.mark.parametrize("name", list(CALLERS))
def test_a_script_keeps_the_functions_that_rules_call(lane: Lane, name: str) -> None:
    assert "w.py" in lane.refused({"r.rule.json": CALLERS[name]})["r.rule.json"].message
    lane.deploy({"w.py": CALLS, "r.rule.json": CALLERS[name]})
    for text in (CALLS.replace("on_match", "other"), None):
        fault = lane.refused({"w.py": text})["w.py"]
        assert "r.rule.json" in fault.message
        assert "on_match" in fault.message
    lane.deploy({"w.py": CALLS.replace("on_match", "other"), "r.rule.json": rule(function="w.py:other")})
    lane.deploy({"w.py": None, "r.rule.json": None})


def test_a_rule_that_calls_no_function_any_more_holds_no_script(lane: Lane) -> None:
    lane.deploy({"w.py": CALLS, "r.rule.json": rule(function="w.py:on_match")})
    change(lane, rule())
    lane.deploy({"w.py": None})


PATTERN_PY = """
from trimtab import emit, pattern
pattern = pattern.begin("x").where("t == 'a'").followed_by("y").where("t == '{last}'")
def handle(match, ctx): emit("out", [{mark}, match["events"]["x"][0]["n"], match["events"]["y"][0]["n"]])
"""


def test_a_script_keeps_what_its_pattern_has_begun_when_only_the_handler_changes(lane: Lane) -> None:
    lane.deploy({"s.py": PATTERN_PY.format(last="b", mark=1)})
    lane.out(event(1, "a"), watermark=1)
    lane.deploy({"s.py": PATTERN_PY.format(last="b", mark=2)})
    assert lane.out(event(2, "b"), event(3, "a"), watermark=3) == [[2, 1, 2]]
    lane.deploy({"s.py": PATTERN_PY.format(last="c", mark=3)})
    assert lane.out(event(4, "c"), event(5, "a"), event(6, "c"), watermark=9) == [[3, 5, 6]]
    lane.out(event(11, "a"), watermark=11)
    lane = lane.again()
    assert lane.out(event(12, "c"), watermark=12) == [[3, 11, 12]]
    lane.deploy({"s.py": "def handle(event, ctx): pass\n"})
    assert lane.out(event(13, "a"), event(14, "c"), watermark=20) == []
    lane.close()


# --- a lane that begins anew -------------------------------------------------------------------------------

PATTERNS = [
    graph(X, Y),
    graph(X, node("z", "t == 'b'", quantifier("LOOPING")), node("e", "t == 'c'"), window=window(15)),
    graph(X, node("n", "t == 'b'"), kinds=["NOT_FOLLOW"], window=window(6)),
    graph(node("x", "t == 'a'", times(2, 3, inner="SKIP_TILL_ANY")), Y, skip="SKIP_PAST_LAST_EVENT"),
    graph(X, node("y", "n > last('x').n + 3"), skip={"type": "SKIP_TO_LAST", "patternName": "x"}),
]
CHANGE = st.tuples(
    st.sampled_from("rq"),
    st.integers(0, len(PATTERNS) - 1),
    st.sampled_from(["discard", "drain"]),
    st.none() | st.integers(0, 20),
    st.booleans(),
)
EVENTS = st.lists(
    st.tuples(st.integers(0, 9), st.sampled_from("abc"), st.sampled_from([1, "k", None])),
    max_size=5,
)
PASSING = st.tuples(st.just("events"), EVENTS) | st.tuples(st.just("clock"), st.integers(0, 12))
STEP = PASSING | st.tuples(st.just("change"), CHANGE)


def lane_with_a_rule() -> Lane:
    """Where always some rule looks at the source: without any, what waits in a lane is dropped at once."""
    lane = Lane()
    lane.deploy({"k.rule.json": rule("none")})
    return lane


def files_of(change: Any, there: Mapping[str, bytes], clock: int) -> Json:
    """A version of one of two rules, or that it goes, if it is there."""
    name, pattern, how, after, deleted = change
    at = {} if after is None else {"effective_at": clock + after}
    document = rule(pattern=PATTERNS[pattern], id=name, on_change=how, timeouts="emit:timeouts", **at)
    if deleted:
        return {f"{name}.rule.json": None} if f"{name}.rule.json" in there else {}
    return {f"{name}.rule.json": document}


def done(lane: Lane, step: Any, clock: int, number: int) -> list[Any]:
    """What comes of one step: events around the clock, a watermark, or a change of one of two rules."""
    kind, what = step
    if kind == "clock":
        result = lane.process(watermark=clock + what)
    elif kind == "events":
        events = [
            {"n": 10 * number + at, "t": t, "ts": clock + after, "key": key} for at, (after, t, key) in enumerate(what)
        ]
        result = lane.process(*events)
    else:
        lane.deploy(files_of(what, lane.files, clock))
        return []
    assert result.failed == []
    return sorted(
        (str(match["key"]), match["rule"], match["kind"], match["id"], match["version"], str(taken([match])))
        for sink in ("out", "timeouts")
        for match in emitted(result, sink)
    )


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(STEP, min_size=3, max_size=14), st.integers(1, 4))
def test_a_lane_that_is_cut_anywhere_goes_on_exactly(steps: list[Any], every: int) -> None:
    first: list[Any] = [("change", (name, number, "drain", None, False)) for number, name in enumerate("rq")]
    plain, cut = lane_with_a_rule(), lane_with_a_rule()
    clock = 100
    try:
        for number, step in enumerate(first + steps, 1):
            wanted = done(plain, step, clock, number)
            assert done(cut, step, clock, number) == wanted, number
            assert all(cut.counts[name].open == plain.counts[name].open for name in {*cut.counts} & {*plain.counts})
            clock += step[1] if step[0] == "clock" else 0
            if number % every == 0:
                cut = cut.again()
    finally:
        plain.close()
        cut.close()


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(STEP, min_size=2, max_size=8),
    st.lists(CHANGE, min_size=1, max_size=4),
    st.lists(PASSING, min_size=2, max_size=8),
)
def test_changes_that_a_lane_has_missed_are_made_when_it_starts(
    before: list[Any], missed: list[Any], after: list[Any]
) -> None:
    """As those of a host that was killed between a change and the next checkpoint."""
    lane, clock = lane_with_a_rule(), 100
    first: list[Any] = [("change", (name, number, "drain", None, False)) for number, name in enumerate("rq")]
    for number, step in enumerate(first + before, 1):
        done(lane, step, clock, number)
        clock += step[1] if step[0] == "clock" else 0
    files, changes = lane.files, []
    for change in missed:
        changes.append(files_of(change, files, clock))
        files = changed(files, changes[-1])
    started = Lane(lane, changes)
    try:
        for each in changes:
            lane.deploy(each)
        for number, step in enumerate(after, 100):
            assert done(started, step, clock, number) == done(lane, step, clock, number), number
            clock += step[1] if step[0] == "clock" else 0
        assert rows_of_partial_matches(started) == rows_of_partial_matches(lane)
    finally:
        started.close()
        lane.close()


def rows_of_partial_matches(lane: Lane) -> set[tuple[str, str, str]]:
    return {(row.script, row.key, row.name) for row in lane.rows.all if row.name.startswith(PARTIAL)}
