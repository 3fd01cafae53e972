"""Timers: when they fire, what the script then gets, and what becomes of them."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from tests.engine.keyed_kit import Keyed, stored, values
from trimtab.engine.result import BatchResult
from trimtab.engine.state import TIMER, DueTimer

SETTERS = {
    "a.py": """
from trimtab import emit, state, timer as timers

def perform(actions):
    for action, *arguments in actions:
        options = arguments.pop() if arguments and isinstance(arguments[-1], dict) else {}
        result = getattr(timers, action)(*arguments, **options)
        if action == "cancel": emit("out", result)

MAYBEdef handle(event, ctx):
    perform(event.get("do", []))
    if event.get("fail"): raise ValueError("no")

MAYBEdef on_timer(timer, ctx):
    emit("out", [timer["name"], timer["at"], timer["data"], ctx.key, ctx.source, ctx.timestamp, state.incr("fired")])
    data = timer["data"] if isinstance(timer["data"], dict) else {}
    perform(data.get("do", []))
    if data.get("fail"): raise ValueError("no")
""",
    "a.js": """
import { emit, state, timer as timers } from "trimtab";

function perform(actions) {
  for (const [action, ...args] of actions) {
    const result = timers[action](...args);
    if (action === "cancel") emit("out", result);
  }
}

export MAYBEfunction handle(event, ctx) {
  perform(event.do ?? []);
  if (event.fail) throw new Error("no");
}

export MAYBEfunction onTimer(timer, ctx) {
  emit("out", [timer.name, timer.at, timer.data, ctx.key, ctx.source, ctx.timestamp, state.incr("fired")]);
  const data = timer.data ?? {};
  perform(data.do ?? []);
  if (data.fail) throw new Error("no");
}
""",
}
WAYS = [(name, text.replace("MAYBE", maybe)) for maybe in ("", "async ") for name, text in SETTERS.items()]

pytestmark = pytest.mark.parametrize(
    ("name", "text"), WAYS, ids=["python", "javascript", "async python", "async javascript"]
)


def at(*arguments: Any) -> dict[str, Any]:
    return {"key": "k", "ts": 100, "do": [["at", *arguments]]}


def fired(result: BatchResult) -> list[Any]:
    """Names and times of the timers that have fired."""
    assert result.failed == []
    return [row[:2] for row in values(result) if isinstance(row, list)]


def test_a_timer_in_event_time_waits_for_the_watermark(keyed: Keyed, name: str, text: str) -> None:
    keyed.deploy_files({name: text})
    result = keyed.process(at(500, {"x": 1}, {"name": "late"}), now=10_000, watermark=100)
    assert (result.emitted, result.awaits_watermark, result.next_due) == ({}, True, None)
    assert keyed.process(now=20_000, watermark=499).emitted == {}
    result = keyed.process(now=20_000, watermark=500)
    assert values(result) == [["late", 500, {"x": 1}, "k", "gps", 500, 1]]
    assert not result.awaits_watermark
    assert keyed.process(now=20_000, watermark=900).emitted == {}


def test_a_timer_in_processing_time_waits_for_the_clock(keyed: Keyed, name: str, text: str) -> None:
    keyed.deploy_files({name: text})
    event = {"key": "k", "ts": 100, "do": [["after", "5s", None, {"name": "soon", "time": "processing"}]]}
    result = keyed.process(event, now=10_000, watermark=100)
    assert (result.next_due, result.awaits_watermark) == (15_000, False)
    assert keyed.process(now=14_999, watermark=10**9).emitted == {}
    assert values(keyed.process(now=15_000)) == [["soon", 15_000, None, "k", "gps", 15_000, 1]]


def test_the_time_of_a_timer_is_that_of_its_source_unless_it_says_so(keyed: Keyed, name: str, text: str) -> None:
    keyed.deploy_files({name: text})
    keyed.process({"key": "k", "ts": 100, "do": [["after", 2, None, {"name": "gps"}]]}, now=50_000)
    keyed.process({"do": [["after", 2, None, {"name": "plain"}]]}, now=50_000, source="plain")
    assert fired(keyed.process(now=51_999, watermark=2100)) == [["gps", 2100]]
    assert values(keyed.process(now=52_000)) == [["plain", 52_000, None, None, "plain", 52_000, 1]]


def test_a_timer_of_the_same_name_is_replaced_and_one_without_is_another(keyed: Keyed, name: str, text: str) -> None:
    keyed.deploy_files({name: text})
    keyed.process(
        at(300, 1, {"name": "a"}), at(600, 2, {"name": "a"}), at(300, 3, {"name": "b"}), at(200, 4, {"name": "b"})
    )
    keyed.process(at(400, 5), at(400, 6))
    result = keyed.process(watermark=400)
    assert [row[2] for row in values(result)][:1] == [4]
    assert sorted(row[2] for row in values(result)) == [4, 5, 6]
    assert [row[2] for row in values(keyed.process(watermark=1000))] == [2]


def test_a_cancelled_timer_does_not_fire(keyed: Keyed, name: str, text: str) -> None:
    keyed.deploy_files({name: text})
    keyed.process(at(300, None, {"name": "a"}))
    cancels = {"key": "k", "ts": 100, "do": [["cancel", "a"], ["cancel", "a"]]}
    assert keyed.out({**cancels, "key": "other"}, cancels) == [False, False, True, False]
    assert keyed.process(watermark=1000).emitted == {}
    assert stored(keyed.store) == {}


def test_timers_fire_in_the_order_of_their_times(keyed: Keyed, name: str, text: str) -> None:
    keyed.deploy_files({name: text, f"b/{name}": text.replace('state.incr("fired")', '"b"')})
    events = [{"key": key, "ts": 1, "do": [["at", when]]} for key, when in [("x", 30), ("y", 10), ("x", 20), ("x", 10)]]
    keyed.process(*events)
    rows = values(keyed.process(watermark=1000))
    assert [row[1] for row in rows if row[-1] != "b"] == [10, 10, 20, 30]
    assert [row[1] for row in rows if row[3] == "x" and row[-1] == "b"] == [10, 20, 30]


def test_a_timer_may_cancel_the_next_of_its_key_when_both_are_due(keyed: Keyed, name: str, text: str) -> None:
    keyed.deploy_files({name: text})
    keyed.process(
        at(200, {"do": [["cancel", "b"]]}, {"name": "a"}), at(300, None, {"name": "b"}), at(400, None, {"name": "c"})
    )
    result = keyed.process(watermark=1000)
    assert [row if row is True else row[0] for row in values(result)] == ["a", True, "c"]


def test_a_timer_may_set_itself_again(keyed: Keyed, name: str, text: str) -> None:
    keyed.deploy_files({name: text})
    again = {"do": [["after", "100ms", {"do": [["at", 150, None, {"name": "past"}]]}, {"name": "tick"}]]}
    keyed.process(at(200, again, {"name": "tick"}), watermark=100)
    assert fired(keyed.process(watermark=200)) == [["tick", 200]]
    assert keyed.process(watermark=299).emitted == {}
    result = keyed.process(watermark=300)
    assert fired(result) == [["tick", 300]]
    assert result.next_due == 0, "what was set for the past is due at once"
    assert fired(keyed.process()) == [["past", 150]]


def test_a_failed_event_sets_and_cancels_nothing(keyed: Keyed, name: str, text: str) -> None:
    keyed.deploy_files({name: text})
    keyed.process(at(300, "kept", {"name": "a"}), at(300, "kept", {"name": "b"}))
    bad = {"key": "k", "ts": 1, "fail": True}
    bad["do"] = [["at", 200, "lost", {"name": "a"}], ["cancel", "b"], ["at", 250, "lost"]]
    assert len(keyed.process(bad).failed) == 1
    assert sorted(row[:3] for row in values(keyed.process(watermark=1000))) == [["a", 300, "kept"], ["b", 300, "kept"]]


def test_a_timer_that_fails_is_a_dead_letter_and_can_be_handled_again(keyed: Keyed, name: str, text: str) -> None:
    keyed.deploy_files({name: text})
    keyed.process(at(300, {"fail": True, "do": [["at", 400]]}, {"name": "bad"}), at(300, None, {"name": "good"}))
    result = keyed.process(watermark=300)
    assert [row[0] for row in values(result)] == ["good"]
    (failed,) = result.failed
    assert (failed.kind, failed.script, failed.key, failed.event_id) == ("timer", name, b'"k"', f'{name}:"k":bad:300')
    due = msgspec.json.decode(failed.payload, type=DueTimer)
    assert (due.name, due.timer.at, due.key) == ("bad", 300, '"k"')
    assert [other for other in stored(keyed.store)[name]['"k"'] if other.startswith(TIMER)] == []
    keyed.process(at(300, "new", {"name": "bad"}), watermark=100)
    keyed.deploy_files({name: text.replace('data.get("fail")', "False").replace("data.fail", "false")})
    batch = keyed.batch(due, source="gps", timers=True, only=name)
    result = keyed.engine.process(batch)
    keyed.seen(result)
    assert [row[:2] for row in values(result)] == [["bad", 300]]
    assert sorted(row[0] for row in values(keyed.process(watermark=1000)) if row[1] == 300) == ["bad"], (
        "the new one stays"
    )


def test_timers_of_a_script_that_is_gone_fire_when_it_is_back(keyed: Keyed, name: str, text: str) -> None:
    keyed.deploy_files({name: text})
    keyed.process(at(300, None, {"name": "a"}))
    keyed.deploy_files({name: None})
    assert keyed.process(watermark=1000).emitted == {}
    keyed.deploy_files({name: text})
    assert fired(keyed.process()) == [["a", 300]]


def test_timers_outlive_the_process(keyed: Keyed, name: str, text: str) -> None:
    keyed.deploy_files({name: text})
    rows = keyed.process(at(300, None, {"name": "a"}), at(100, None, {"name": "b", "time": "processing"})).changes
    again = Keyed(rows)
    again.deploy_files({name: text})
    assert fired(again.process(watermark=300, now=100)) == [["b", 100], ["a", 300]]
    again.close()


@pytest.mark.parametrize(
    ("action", "message"),
    [
        (["at", "noon"], "timer.at expected a time in ms since the epoch"),
        (["after", "soon"], "expected a duration"),
        (["at", 5, None, {"name": ""}], "timer: expected a name, as text that is not empty"),
        (["at", 5, None, {"time": "local"}], 'expected time "event" or "processing", got \'local\''),
        (["at", 5, "x" * 300_000], "expected at most 262144 bytes of JSON"),
    ],
)
def test_what_cannot_be_a_timer_fails_its_event(keyed: Keyed, name: str, text: str, action: Any, message: str) -> None:
    keyed.deploy_files({name: text})
    (failed,) = keyed.process({"key": "k", "ts": 1, "do": [action]}).failed
    assert message in failed.fault.message
    assert stored(keyed.store) == {}


def test_a_timer_needs_somebody_who_handles_it(keyed: Keyed, name: str, text: str) -> None:
    keyed.deploy_files({name: text.replace("on_timer", "other").replace("onTimer", "other")})
    (failed,) = keyed.process(at(300)).failed
    assert (
        "expected a function on_timer(timer, ctx) in the script (onTimer in JavaScript), got none"
        in failed.fault.message
    )
