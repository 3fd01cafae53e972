"""Rules in a lane: where matches, time-outs and late events go, and what fails on the way."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from tests.cep.rule_json import Json, graph, node, quantifier, window
from tests.engine.rules_kit import Lane, emitted, taken
from trimtab.engine.matches import CalledMatch
from trimtab.engine.result import FailedEvent

AB = graph(node("a", "t == 'a'"), node("b", "t == 'b'"))
SOON = graph(node("a", "t == 'a'"), node("b", "t == 'b'"), window=window(10))

PY = """
from trimtab import emit, state
def on_match(match, ctx):
    emit("out", [match["rule"], match["kind"], match["key"], match["events"]["a"][0]["n"], dict(ctx.parameters), ctx.id == match["id"], state.incr("n")])
def fail(match, ctx):
    raise ValueError("no " + match["rule"])
def hot(event, partial):
    return event["v"] > 10 * len(partial["a"])
def broken(event, partial):
    return event["v"] / event["w"] > 1
def changes(event, partial):
    partial["a"].append(1)
    partial.clear()
    return event["t"] == "b"
"""
JS = """
import { emit, state } from "trimtab";
export function onMatch(match, ctx) {
  emit("out", [match.rule, match.kind, match.key, match.events.a[0].n, ctx.parameters, ctx.id === match.id, state.incr("n")]);
}
export function fail(match, ctx) { throw new Error("no " + match.rule); }
export function hot(event, partial) { return event.v > 10 * (partial.a ?? []).length; }
export function broken(event, partial) { return event.v.w.x > 1; }
export function changes(event, partial) { partial.a?.push(1); return event.t === "b"; }
"""
SCRIPTS = {"w.py": PY, "w.js": JS}
CALLS = {"python": "w.py:on_match", "javascript": "w.js#onMatch"}
FAILS = {"python": "w.py:fail", "javascript": "w.js#fail"}


@pytest.fixture
def lane() -> Iterator[Lane]:
    lane = Lane()
    yield lane
    lane.close()


def rule(pattern: Json = AB, **fields: Any) -> Json:
    return {"id": "r", "pattern": pattern, "source": "gps", **fields}


def event(n: int, t: str, key: Any = 1, **more: Any) -> Json:
    return {"n": n, "t": t, "ts": n, "key": key, **more}


# --- where matches go --------------------------------------------------------------------------------------


def test_a_match_goes_to_a_sink_when_the_watermark_has_come(lane: Lane) -> None:
    lane.deploy({"r.rule.json": rule(function="emit:out")})
    assert lane.out(event(1, "a"), event(2, "b"), event(3, "b", key=2)) == []
    [match] = lane.out(watermark=2)
    assert set(match) == {"id", "rule", "version", "kind", "key", "timestamp", "events"}
    assert (match["rule"], match["kind"], match["key"], match["timestamp"]) == ("r", "match", 1, 2)
    assert match["events"] == {"a": [event(1, "a")], "b": [event(2, "b")]}
    assert match["id"].startswith("r.rule.json:")
    assert lane.counts["r.rule.json"].matches == 1


def test_a_rule_without_function_goes_to_the_sink_matches(lane: Lane) -> None:
    lane.deploy({"r.rule.json": rule()})
    assert taken(lane.out(event(1, "a"), event(2, "b"), watermark=9, sink="matches")) == [{"a": [1], "b": [2]}]


@pytest.mark.parametrize("language", list(CALLS))
def test_a_match_goes_to_a_function_with_parameters_and_state_of_its_key(lane: Lane, language: str) -> None:
    document = rule(function=CALLS[language], parameters={"limit": {"max": 5}, "t": "nobody looks"})
    lane.deploy({**SCRIPTS, "r.rule.json": document})
    events = [
        event(n, t, key) for n, (t, key) in enumerate([("a", 1), ("a", 2), ("b", 2), ("b", 1), ("a", 1), ("b", 1)])
    ]
    parameters = {"limit": {"max": 5}, "t": "nobody looks"}
    # Parameters come before fields: t is no field of the event here.
    assert lane.out(*events, watermark=99) == []
    lane.deploy({"r.rule.json": rule(function=CALLS[language], parameters={"limit": {"max": 5}})})
    later = [{**each, "ts": each["ts"] + 100} for each in events]
    del parameters["t"]
    assert lane.out(*later, watermark=199) == [
        ["r", "match", 2, 1, parameters, True, 1],
        ["r", "match", 1, 0, parameters, True, 1],
        ["r", "match", 1, 4, parameters, True, 2],
    ]


def test_the_identity_of_a_match_is_that_of_what_it_is_made_of(lane: Lane) -> None:
    lane.deploy({"r.rule.json": rule(function="emit:out"), "q.rule.json": rule(function="emit:out", id="q")})
    found = lane.out(event(1, "a"), event(2, "b"), event(3, "a"), event(4, "b"), watermark=9)
    other = Lane()
    other.deploy({"r.rule.json": rule(function="emit:out"), "q.rule.json": rule(function="emit:out", id="q")})
    assert other.out(event(1, "a"), event(2, "b"), event(3, "a"), event(4, "b"), watermark=9) == found
    assert len({match["id"] for match in found}) == 4
    other.close()


def test_matches_are_events_of_internal_sources_for_scripts_and_for_the_next_rule(lane: Lane) -> None:
    script = """
from trimtab import emit, handler
@handler(source="alarms")
def seen(event, ctx): emit("late", [event["rule"], ctx.key, ctx.timestamp])
"""
    second = {
        "id": "second",
        "source": "alarms",
        "pattern": graph(node("x", "rule == 'r'"), node("y", "events.a[0].n > 3")),
        "function": "emit:out",
    }
    lane.deploy({"s.py": script, "r.rule.json": rule(function="emit:alarms"), "second.rule.json": second})
    result = lane.process(
        event(1, "a"), event(2, "b"), event(4, "a"), event(5, "b"), event(6, "a", 2), event(7, "b", 2), watermark=9
    )
    assert result.failed == []
    assert emitted(result, "late") == [["r", 1, 2], ["r", 1, 5], ["r", 2, 7]]
    [match] = emitted(result)
    assert [match["key"], match["rule"]] == [1, "second"]
    assert [inner["events"]["a"][0]["n"] for stage in ("x", "y") for inner in match["events"][stage]] == [1, 4]


def test_matches_that_lead_back_to_their_own_rule_end_as_dead_letters(lane: Lane) -> None:
    circle = {"id": "c", "source": "alarms", "pattern": graph(node("x")), "function": "emit:alarms"}
    lane.deploy({"r.rule.json": rule(function="emit:alarms"), "c.rule.json": circle})
    result = lane.process(event(1, "a"), event(2, "b"), watermark=9)
    [failed] = result.failed
    assert "expected matches that end somewhere, got c" in failed.fault.message
    assert failed.kind == "match"
    assert taken(lane.out(event(11, "a"), event(12, "b"), sink="out")) == []


# --- time-outs and late events -----------------------------------------------------------------------------


@pytest.mark.parametrize(("target", "sink"), [("emit:timeouts", "timeouts"), ("w.py:on_match", "out")])
def test_time_outs_go_to_their_output(lane: Lane, target: str, sink: str) -> None:
    lane.deploy({**SCRIPTS, "r.rule.json": rule(SOON, timeouts=target)})
    lane.out(event(1, "a"), event(20, "a"), event(21, "b"), watermark=10)
    found = lane.out(watermark=30, sink=sink)
    if sink == "out":
        assert found == [["r", "timeout", 1, 1, {}, True, 1]]
    else:
        assert [(each["kind"], each["timestamp"]) for each in found] == [("timeout", 11)]
    assert (lane.counts["r.rule.json"].timeouts, lane.counts["r.rule.json"].matches) == (1, 1)


def test_time_outs_without_output_are_counted(lane: Lane) -> None:
    lane.deploy({"r.rule.json": rule(SOON)})
    result = lane.process(event(1, "a"), watermark=30)
    assert (result.emitted, result.failed) == ({}, [])
    assert lane.counts["r.rule.json"].timeouts == 1


def test_late_events_are_counted_and_go_to_the_sink_of_the_rules_that_want_them(lane: Lane) -> None:
    lane.deploy({"r.rule.json": rule(late="emit:late"), "q.rule.json": rule()})
    lane.out(event(5, "a"), watermark=10)
    result = lane.process(event(10, "a"), event(11, "a"), event(9, "b"))
    assert [each["n"] for each in emitted(result, "late")] == [10, 9]
    assert lane.late == {"gps": 2}


@pytest.mark.parametrize("late", ["w.py:on_match", "emit:alarms", "emit:nobody"])
def test_late_events_go_to_no_function_and_no_source(lane: Lane, late: str) -> None:
    faults = lane.refused({**SCRIPTS, "r.rule.json": rule(late=late)})
    assert set(faults) == {"r.rule.json"}
    assert "$.late: expected" in faults["r.rule.json"].message


def test_arrival_time_is_the_lanes_clock(lane: Lane) -> None:
    lane.deploy({"r.rule.json": rule(SOON, function="emit:out", timeouts="emit:timeouts", source="plain")})
    lane.now = 100
    assert lane.out({"n": 1, "t": "a", "key": 1}, source="plain") == []
    lane.now = 109
    assert taken(lane.out({"n": 2, "t": "b", "key": 1}, {"n": 3, "t": "a", "key": 1}, source="plain")) == [
        {"a": [1], "b": [2]}
    ]
    due = lane.process(source="plain").next_due
    assert due is not None
    assert due <= 119
    lane.now = 119
    [timeout] = emitted(lane.process(source="plain"), "timeouts")
    assert (timeout["timestamp"], taken([timeout])) == (119, [{"a": [3]}])


# --- conditions of scripts ---------------------------------------------------------------------------------


def scripted(function: str, language: str) -> Json:
    kind = {"py": "PYTHON", "js": "JS"}[language]
    name = f"w.py:{function}" if language == "py" else f"w.js#{function}"
    return {"type": kind, "function": name}


@pytest.mark.parametrize("language", ["py", "js"])
def test_a_function_of_a_script_may_look_at_the_partial_match(lane: Lane, language: str) -> None:
    loop = quantifier("LOOPING", inner="STRICT", untilCondition=None)
    pattern = graph(node("a", scripted("hot", language), loop), node("e", "v < 0"), kinds=["STRICT"])
    lane.deploy({**SCRIPTS, "r.rule.json": rule(pattern, function="emit:out")})
    events = [event(n, "", v=v) for n, v in enumerate([5, 15, 25, -1, 5, 5, -1])]
    assert taken(lane.out(*events, watermark=99)) == [
        {"a": [0, 1, 2], "e": [3]},
        {"a": [1, 2], "e": [3]},
        {"a": [2], "e": [3]},
        {"a": [5], "e": [6]},
    ]


@pytest.mark.parametrize("language", ["py", "js"])
def test_a_function_of_a_script_that_fails_is_false_and_counted_and_shown(lane: Lane, language: str) -> None:
    pattern = graph(node("a", "t == 'a'"), node("b", scripted("broken", language)))
    lane.deploy({**SCRIPTS, "r.rule.json": rule(pattern, function="emit:out")})
    assert lane.out(event(1, "a"), event(2, "b"), event(3, "b", v=None), watermark=9) == []
    assert lane.counts["r.rule.json"].condition_errors >= 2
    assert lane.counts["r.rule.json"].last_error
    assert taken(lane.out(event(12, "b", v={"w": {"x": 2}}), watermark=19)) == (
        [{"a": [1], "b": [12]}] if language == "js" else []
    )


@pytest.mark.parametrize("language", ["py", "js"])
def test_what_a_function_does_to_the_partial_match_changes_nothing(lane: Lane, language: str) -> None:
    pattern = graph(node("a", "t == 'a'"), node("b", scripted("changes", language)))
    lane.deploy({**SCRIPTS, "r.rule.json": rule(pattern, function="emit:out")})
    found = lane.out(event(1, "a"), event(2, "c"), event(3, "b"), watermark=9)
    assert taken(found) == [{"a": [1], "b": [3]}]


def test_a_type_error_of_an_expression_is_counted_and_shown(lane: Lane) -> None:
    lane.deploy({"r.rule.json": rule(graph(node("a", "string.length(t) > 0 && n + 0 > 0")))})
    lane.out({"n": "x", "t": "a", "ts": 1}, {"n": 2, "t": 5, "ts": 2}, {"t": "a", "ts": 3}, watermark=9)
    lane.out(watermark=10)
    count = lane.counts["r.rule.json"]
    assert count.condition_errors == 2
    assert count.last_error == "expected a string, got number 5"


def test_a_handler_that_changes_an_event_does_not_change_what_rules_see(lane: Lane) -> None:
    script = "def handle(event, ctx): event['t'] = 'a'; event['n'] = 0\n"
    lane.deploy({"a.py": script, "r.rule.json": rule(function="emit:out")})
    assert taken(lane.out(event(1, "a"), event(2, "x"), event(3, "b"), watermark=9)) == [{"a": [1], "b": [3]}]


# --- functions that fail -----------------------------------------------------------------------------------


FIXED = {
    "python": {"w.py": PY.replace("def fail", "def old") + "def fail(match, ctx): on_match(match, ctx)\n"},
    "javascript": {"w.js": JS.replace("function fail", "function old") + "export { onMatch as fail };\n"},
}


@pytest.mark.parametrize("language", list(FAILS))
def test_a_match_that_a_function_fails_on_is_a_dead_letter_that_can_be_handled_again(lane: Lane, language: str) -> None:
    files = {
        **SCRIPTS,
        "r.rule.json": rule(function=FAILS[language], parameters={"p": 1}),
        "q.rule.json": rule(id="q", function="emit:out"),
    }
    lane.deploy(files)
    result = lane.process(event(1, "a"), event(2, "b"), watermark=9)
    assert len(emitted(result)) == 1, "what other rules find goes on"
    [failed] = result.failed
    assert (failed.kind, failed.fault.message, failed.key) == ("match", "no r", b"1")
    call = msgspec.json.decode(failed.payload, type=CalledMatch)
    assert (call.parameters, failed.event_id) == ({"p": 1}, msgspec.json.decode(call.match)["id"])
    assert replayed(lane, failed) == [failed]
    lane.deploy(FIXED[language])
    result = again(lane, failed)
    assert result.failed == []
    assert emitted(result) == [["r", "match", 1, 1, {"p": 1}, True, 1]], "with the parameters of then"


def again(lane: Lane, *failed: FailedEvent) -> Any:
    data = b"\n".join(each.payload for each in failed)
    return lane.process(*[0] * len(failed), data=data, matches=True, only=failed[0].script)


def replayed(lane: Lane, failed: FailedEvent) -> list[FailedEvent]:
    found: list[FailedEvent] = again(lane, failed).failed
    return found


def test_a_function_that_is_gone_makes_dead_letters_of_what_is_handled_again(lane: Lane) -> None:
    lane.deploy({**SCRIPTS, "r.rule.json": rule(function="w.py:fail")})
    [failed] = lane.failed(event(1, "a"), event(2, "b"), watermark=9)
    lane.deploy({"r.rule.json": None, "w.py": None})
    [once_more] = replayed(lane, failed)
    assert "no script w.py runs" in once_more.fault.message
    assert (once_more.kind, once_more.payload, once_more.script) == ("match", failed.payload, "w.py")


# --- too many ----------------------------------------------------------------------------------------------


def test_a_rule_with_too_many_partial_matches_is_stopped_for_that_key_and_said_so(lane: Lane) -> None:
    lane.deploy(
        {"r.rule.json": rule(function="emit:out", partial_matches=2), "q.rule.json": rule(id="q", function="emit:late")}
    )
    many = [event(n, "a", key) for n, key in enumerate([1, 1, 2, 1, 2, 1])]
    result = lane.process(*many, event(9, "b", 1), event(9, "b", 2), watermark=20)
    assert taken(emitted(result)) == [{"a": [2], "b": [9]}, {"a": [4], "b": [9]}]
    assert len(emitted(result, "late")) == 6
    [entry] = lane.log
    assert (entry.level, entry.script) == ("error", "r.rule.json")
    assert "expected at most 2 partial matches for one key, got more for 1" in entry.message
    assert (lane.counts["r.rule.json"].stopped, lane.counts["q.rule.json"].stopped) == (1, 0)
    assert lane.out(event(31, "a"), event(32, "b"), watermark=40) == []
    lane = lane.again()
    assert lane.out(event(41, "a"), event(42, "b"), watermark=50) == [], "also after a restart"
    lane.deploy({"r.rule.json": rule(function="emit:out", partial_matches=3)})
    assert taken(lane.out(event(51, "a"), event(52, "b"), watermark=60)) == [{"a": [51], "b": [52]}]
    lane.close()


def test_a_rule_may_be_stopped_by_its_first_event_and_stays_so_in_another_lane(lane: Lane) -> None:
    either = graph(
        node("a", "t == 'a'", quantifier("SINGLE", "OPTIONAL")), node("b", "t == 'a'"), node("c", "t == 'c'")
    )
    lane.deploy({"r.rule.json": rule(either, function="emit:out", partial_matches=1)})
    lane.out(event(1, "a"), watermark=1)
    assert lane.counts["r.rule.json"].stopped == 1
    lane = lane.again()
    assert lane.out(event(2, "c"), event(3, "a"), event(4, "c"), watermark=9) == []
    assert lane.counts["r.rule.json"].stopped == 0, "it was told before"
    lane.close()


# --- rules without pattern ---------------------------------------------------------------------------------

UDF = {
    "w.py": """
from trimtab import emit, state, timer
def process(event, ctx):
    emit("out", [ctx.key, ctx.parameters["p"], state.incr("n")])
    if "at" in event: timer.at(event["at"], name="t")
    if event.get("fail"): raise ValueError("no")
def on_timer(timer, ctx): emit("out", [ctx.key, ctx.parameters["p"], "timer", state.get("n")])
""",
    "w.js": """
import { emit, state, timer } from "trimtab";
export function process(event, ctx) {
  emit("out", [ctx.key, ctx.parameters.p, state.incr("n")]);
  if (event.at) timer.at(event.at, null, { name: "t" });
  if (event.fail) throw new Error("no");
}
export function onTimer(timer, ctx) { emit("out", [ctx.key, ctx.parameters.p, "timer", state.get("n")]); }
""",
}
PROCESS = {"w.py": "w.py:process", "w.js": "w.js#process"}


def udf(name: str, **fields: Any) -> Json:
    return {"id": "u", "rule_type": "udf", "function": PROCESS[name], "source": "gps", **fields}


@pytest.mark.parametrize("name", list(UDF))
def test_a_udf_gets_the_events_of_its_keys_with_its_parameters_and_state(lane: Lane, name: str) -> None:
    lane.deploy(
        {
            name: UDF[name],
            "u.rule.json": udf(name, parameters={"p": "u"}, binding_keys=["bus-*", "17"]),
            "v.rule.json": udf(name, parameters={"p": "v"}, binding_keys=["bus-1"]),
        }
    )
    events = [event(n, "", key) for n, key in enumerate(["bus-1", "car-1", 17, "17", "bus-2", "bus-1", None])]
    assert lane.out(*events) == [
        *[["bus-1", "u", 1], ["bus-1", "v", 1], [17, "u", 1], ["17", "u", 1]],
        *[["bus-2", "u", 1], ["bus-1", "u", 2], ["bus-1", "v", 2]],
    ]


@pytest.mark.parametrize("name", list(UDF))
def test_timers_and_state_of_a_udf_are_its_own_and_outlive_the_lane(lane: Lane, name: str) -> None:
    lane.deploy(
        {
            name: UDF[name],
            "u.rule.json": udf(name, parameters={"p": "u"}),
            "v.rule.json": udf(name, parameters={"p": "v"}),
        }
    )
    lane.out(event(1, "", at=50), watermark=2)
    lane = lane.again()
    assert lane.out(watermark=60) == [[1, "u", "timer", 1], [1, "v", "timer", 1]]
    lane.deploy({"v.rule.json": None})
    assert lane.out(event(61, ""), watermark=61) == [[1, "u", 2]]
    lane.deploy({"v.rule.json": udf(name, parameters={"p": "v2"})})
    [failed] = lane.failed(event(62, "", key=2, fail=True), watermark=62)[:1]
    assert (failed.script, failed.fault.message) == ("u.rule.json", "no")
    lane.close()
