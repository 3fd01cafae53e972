"""``state``, ``timer``, ``onTimer``, ``migrate`` in scripts whose handlers run to their end."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest

from tests.javascript.javascript_support import load
from trimtab.errors import ChangeRefused
from trimtab.testing import Handled, ScriptRunner

HEAD = 'import { emit, state, timer } from "trimtab";\n'
FULL = "for (const all = []; ; ) all.push(new Array(10000).fill(e));"


@pytest.fixture
def runner() -> Iterator[ScriptRunner]:
    with ScriptRunner(key="k", timestamp="t") as made:
        yield made


Run = Callable[..., Handled]


@pytest.fixture
def run(runner: ScriptRunner) -> Run:
    """Load a script with this body of ``handle(e, ctx)``, and hand it events."""

    def handle(body: str, *events: Any, head: str = "", rest: str = "") -> Handled:
        runner.load(script__js=f"{HEAD}{head}\nexport function handle(e, ctx) {{ {body}\n }}\n{rest}")
        return runner.handle(*events)

    return handle


def keyed(*keys: Any) -> list[dict[str, Any]]:
    return [{"k": key, "n": n} for n, key in enumerate(keys)]


def values(handled: Handled, name: str) -> Mapping[str, bytes | None]:
    """What the state holds under a name in the end, by key."""
    return {row.key: row.value for row in handled.changes if row.name == name}


# --- state ---


def test_state_belongs_to_the_key_of_the_event(run: Run, runner: ScriptRunner) -> None:
    handled = run("emit('out', [e.k, state.incr('count')]);", *keyed("a", "b", "a"))
    assert handled.emitted == [["a", 1], ["b", 1], ["a", 2]]
    assert values(handled, "count") == {'"a"': b"2", '"b"': b"1"}
    assert runner.handle(*keyed("b", "a")).emitted == [["b", 2], ["a", 3]]


def test_state_holds_json_values_by_name(run: Run) -> None:
    body = """
      const none = [state.get("x"), state.get("x", 5), state.delete("x")];
      const value = { list: [1, null, "ü"] };
      state.set("x", value); value.list = 0; state.set("y", 1.5, { ttl: "1h" });
      emit("out", [none, state.get("x"), state.items(), state.incr("y", 2), state.delete("x"), state.get("x") ?? "gone"]);
    """
    assert run(body, *keyed(1)).emitted == [
        [
            [None, 5, False],
            {"list": [1, None, "ü"]},
            {"x": {"list": [1, None, "ü"]}, "y": 1.5},
            3.5,
            True,
            "gone",
        ]
    ]


def test_state_is_gone_when_its_time_is_over(runner: ScriptRunner) -> None:
    script = 'export function handle(e) { emit("out", state.get("x")); state.set("x", 1, { ttl: "10s" }); }'
    runner.load(script__js=HEAD + script)
    assert [runner.handle({"k": 1}, now=now).emitted for now in (0, 9_999, 20_000)] == [[None], [1], [None]]


def test_wrong_use_of_state_fails_the_event_at_its_line(run: Run) -> None:
    (fault,) = run("\n  state.incr('x', 'y');", *keyed(1)).faults
    assert (fault.name, fault.file, fault.line) == ("TypeError", "script.js", 4)


def test_state_is_there_only_while_an_event_is_handled(run: Run, runner: ScriptRunner) -> None:
    with pytest.raises(ChangeRefused, match=r"expected state\.get\(\) while a handler handles an event"):
        run("", head="state.get('x');")
    with pytest.raises(ChangeRefused, match=r"expected state\.set\(\) while a handler handles an event"):
        run("", rest="export function open() { state.set('x', 1); }")
    handled = run("Promise.resolve().then(() => state.set('x', 1));", *keyed(1))
    assert handled.changes == []
    assert "expected state.set() while a handler handles an event" in runner.logged[0].message


@pytest.mark.parametrize("failure", ["throw new Error('bad')", "for (;;);", "state.incr('text')"])
def test_what_a_failed_event_has_changed_is_undone_before_the_next_one(run: Run, failure: str) -> None:
    body = f"emit('out', state.incr('count')); state.set('text', 'x'); if (e.n === 1) {{ {failure}; }}"
    handled = run(body, *keyed("a", "a", "a", "b"), head="export const timeout = '80ms';")
    assert (len(handled.faults), handled.emitted) == (1, [1, 2, 1])
    assert values(handled, "count") == {'"a"': b"2", '"b"': b"1"}


def test_an_event_that_changed_nothing_may_fail_between_others(run: Run) -> None:
    handled = run("if (e.n === 1) throw 1; emit('out', state.incr('count'));", *keyed("a", "a", "a"))
    assert (len(handled.faults), handled.emitted) == (1, [1, 2])


def test_events_that_run_again_in_a_new_interpreter_count_once(run: Run) -> None:
    body = f"emit('out', state.incr('count')); if (e.n === 2) {{ {FULL} }}"
    handled = run(body, *keyed("a", "a", "a", "a"), head="export const timeout = 20;")
    assert [fault.name for fault in handled.faults] == ["MemoryLimitExceeded"]
    assert (handled.emitted, values(handled, "count")) == ([1, 2, 3], {'"a"': b"3"})


def test_events_that_the_interpreter_cannot_report_run_again_and_count_once(run: Run) -> None:
    body = "const count = state.incr('count'); emit('out', e.n === 2 ? 'x'.repeat(50 * 2 ** 20) : count);"
    handled = run(body, *keyed("a", "a", "a", "a"), head="export const timeout = 20;")
    assert [fault.name for fault in handled.faults] == ["MemoryLimitExceeded"]
    assert (handled.emitted, values(handled, "count")) == ([1, 2, 3], {'"a"': b"3"})


def test_promises_left_behind_that_never_end_undo_what_the_last_event_did(run: Run) -> None:
    body = """
      emit("out", state.incr("count"));
      if (e.n === 1) (async () => { for (;;) await null; })();
    """
    handled = run(body, *keyed("a", "a", "a"), head="export const timeout = '60ms';")
    assert [fault.name for fault in handled.faults] == ["TimeLimitExceeded"]
    assert (handled.emitted, values(handled, "count")) == ([1, 2], {'"a"': b"2"})


def test_the_events_of_a_source_without_key_share_a_state() -> None:
    with ScriptRunner() as runner:
        runner.load(script__js=HEAD + "export function handle(e) { emit('out', state.incr('count')); }")
        assert runner.handle(1, 2, 3).emitted == [1, 2, 3]


def test_an_event_is_tried_again_with_the_state_as_it_was(run: Run) -> None:
    body = (
        "const count = state.incr('count'); if (++tried < 3) throw new Error('not yet'); emit('out', [count, tried]);"
    )
    head = "export const attempts = 3, backoff = '1ms'; let tried = 0;"
    assert run(body, *keyed("a"), head=head).emitted == [[1, 3]]


# --- timers ---


def test_a_timer_in_processing_time_calls_on_timer_with_its_data(runner: ScriptRunner) -> None:
    runner.load(
        script__js=HEAD
        + """
        export function handle(e) { timer.after("5s", { n: e.n }, { name: "late", time: "processing" }); }
        export function onTimer(timer, ctx) { emit("out", [timer, ctx.key, ctx.timestamp, state.incr("fired")]); }
    """
    )
    assert runner.handle(*keyed("a", "b"), now=1000).emitted == []
    assert runner.handle(now=5999).emitted == []
    expected = [[{"name": "late", "at": 6000, "data": {"n": n}}, key, 6000, 1] for n, key in enumerate("ab")]
    assert runner.handle(now=6000).emitted == expected
    assert runner.handle(now=9000).emitted == []


def test_a_timer_in_event_time_waits_for_the_watermark(runner: ScriptRunner) -> None:
    runner.load(
        script__js=HEAD
        + """
        export function handle(e) { emit("out", typeof timer.at(e.t + 10)); }
        export function onTimer({ at, data }) { emit("out", [at, data]); }
    """
    )
    assert runner.handle({"k": 1, "t": 100}, watermark=100).emitted == ["string"]
    assert runner.handle(watermark=109).emitted == []
    assert runner.handle(watermark=110).emitted == [[110, None]]


def test_a_timer_can_be_replaced_and_cancelled(runner: ScriptRunner) -> None:
    runner.load(
        script__js=HEAD
        + """
        export function handle({ do: what, at }) {
          if (what === "cancel") emit("out", timer.cancel("x"));
          else timer.at(at, what, { name: "x", time: "processing" });
        }
        export function onTimer(timer) { emit("out", timer.data); }
    """
    )
    runner.handle({"k": 1, "do": "first", "at": 10}, {"k": 1, "do": "second", "at": 20}, now=1)
    assert runner.handle(now=10).emitted == []
    assert runner.handle(now=20).emitted == ["second"]
    runner.handle({"k": 1, "do": "third", "at": 30}, now=21)
    assert runner.handle({"k": 1, "do": "cancel"}, {"k": 1, "do": "cancel"}, now=22).emitted == [True, False]


def test_a_timer_that_fails_is_a_failed_event_and_what_it_did_is_undone(runner: ScriptRunner) -> None:
    runner.load(
        script__js=HEAD
        + """
        export function handle(e) { timer.at(10, e.n, { time: "processing" }); }
        export function onTimer({ data }) { state.incr("fired"); if (data) throw new Error("bad"); emit("out", data); }
    """
    )
    runner.handle(*keyed("a", "a"), now=1)
    handled = runner.handle(now=10)
    assert ([fault.message for fault in handled.faults], handled.emitted) == (["bad"], [0])
    assert values(handled, "fired") == {'"a"': b"1"}


def test_a_timer_needs_on_timer(run: Run) -> None:
    (fault,) = run("timer.after(1);", *keyed(1)).faults
    assert "expected a function on_timer(timer, ctx) in the script (onTimer in JavaScript)" in fault.message


def test_on_timer_is_a_handler_with_the_options_of_the_script() -> None:
    options = "attempts = 2, backoff = '2s', concurrency = 7, timeout = '3s', source = 'gps', where = 'x > 1'"
    script = load(f"export const {options}; export function handle() {{}} export async function onTimer() {{}}")
    handle, on_timer = script.handlers
    assert (handle.name, handle.asynchronous, handle.timer, handle.source) == ("handle", False, False, "gps")
    assert (on_timer.name, on_timer.asynchronous, on_timer.timer, on_timer.source) == ("onTimer", True, True, None)
    for spec in script.handlers:
        assert (spec.attempts, spec.backoff, spec.concurrency, spec.timeout) == (2, 2, 7, 3)
    plain = load("const attempts = 4, backoff = 0.5; function onTimer() {}\nasync function handle() {}").handlers
    assert [(spec.name, spec.attempts, spec.backoff, spec.asynchronous) for spec in plain] == [
        ("handle", 4, 0.5, True),
        ("onTimer", 4, 0.5, False),
    ]


# --- versions ---

COUNT = "emit('out', state.get('total') ?? state.incr('count'));"


def test_another_version_goes_on_with_the_state(run: Run) -> None:
    run(COUNT, *keyed("a", "a"))
    assert run(COUNT, *keyed("a"), head="// another").emitted == [3]


@pytest.mark.parametrize(
    "migrate",
    [
        "(values, from) { return { total: values.count + 100, from }; }",
        "(values, from) { values.total = values.count + 100; values.from = from; delete values.count; }",
    ],
)
def test_a_script_makes_the_state_of_another_version_its_own(run: Run, migrate: str) -> None:
    run(COUNT, *keyed("a", "a", "b"))
    body = "emit('out', state.items());"
    handled = run(body, *keyed("a", "a", "b", "c"), rest=f"export function migrate{migrate}")
    totals = [{name: value for name, value in each.items() if name != "from"} for each in handled.emitted]
    assert totals == [{"total": 102}, {"total": 102}, {"total": 101}, {}]
    assert len(handled.emitted[0]["from"]) == 12


@pytest.mark.parametrize(
    ("migrate", "message"),
    [
        ("throw new Error('cannot')", "script.js:5:45: Error: cannot"),
        ("return 5", "migrate: expected an object with the values, got 5"),
        ("return []", "migrate: expected an object with the values, got an array"),
        ("return Promise.resolve({})", "migrate: expected an object with the values, got"),
        ("return new Date(0)", "migrate: expected an object with the values, got"),
        ("for (;;)", "TimeLimitExceeded"),
        ("for (const all = []; ; ) all.push(new Array(10000).fill(1))", "MemoryLimitExceeded"),
    ],
)
def test_state_that_cannot_be_migrated_fails_its_events_and_stays(run: Run, migrate: str, message: str) -> None:
    run(COUNT, *keyed("a"))
    limit = f"export const timeout = '{'80ms' if 'TimeLimit' in message else '20s'}';"
    guard = f"export function migrate(values) {{ {migrate}; }}"
    handled = run(COUNT, *keyed("a", "b", "a"), head=limit, rest=guard)
    assert handled.emitted == [1]
    assert len(handled.faults) == 2
    assert message in str(handled.faults[0])
    assert run(COUNT, *keyed("a")).emitted == [2]


def test_a_script_that_discards_state_starts_with_none(run: Run) -> None:
    run(COUNT, *keyed("a", "a"))
    assert run(COUNT, *keyed("a"), head="const no = 'discard'; export { no as state };").emitted == [1]


@pytest.mark.parametrize(
    ("source", "discards"),
    [
        ("export const state = 'discard'; export function handle() {}", True),
        ("exports.state = 'discard'; exports.handle = () => {};", True),
        ("const state = 'discard'; function handle() {}", True),
        ("const state = 'keep'; function handle() {}", False),
        ("const { emit } = require('trimtab'), state = {}; function handle() {}", False),
        ("function handle() {}", False),
    ],
)
def test_a_script_says_whether_it_keeps_state(source: str, discards: bool) -> None:
    script = load(source)
    assert (script.discards_state, script.migrates) == (discards, False)
