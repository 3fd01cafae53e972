"""Asynchronous handlers: many events in flight in one interpreter, and what belongs to which."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.http.http_servers import Reply, Site, Visit
from tests.javascript.waiting_room import WaitingRoom, waiting_room
from trimtab.errors import ChangeRefused
from trimtab.testing import Handled, ScriptRunner

HEAD = 'import { emit, log, room } from "trimtab";\n'
KEYED = 'import { emit, log, room, state, timer } from "trimtab";\n'


class Lab:
    def __init__(self, runner: ScriptRunner, room: WaitingRoom, head: str) -> None:
        self.runner, self.room, self._head = runner, room, head

    def load(self, source: str) -> None:
        self.runner.load(script__js=self._head + source)

    def run(self, body: str, *events: Any, head: str = "") -> Handled:
        """Load a script with this body of ``async handle(e, ctx)``, and hand it events (one, if none is given)."""
        self.load(f"{head}\nexport async function handle(e, ctx) {{\n{body}\n}}")
        return self.runner.handle(*(events or (1,)))

    def emitted(self, body: str, *events: Any, head: str = "") -> list[Any]:
        handled = self.run(body, *events, head=head)
        assert handled.faults == []
        return handled.emitted


@pytest.fixture
def lab() -> Iterator[Lab]:
    """Events without a key, and scripts that keep no state: they go on in any order."""
    with waiting_room() as (runner, room):
        yield Lab(runner, room, HEAD)


@pytest.fixture
def keyed() -> Iterator[Lab]:
    """Events with the key ``k``, and scripts that may keep state."""
    with waiting_room(key="k") as (runner, room):
        yield Lab(runner, room, KEYED)


# --- in flight ---


def test_events_wait_at_the_same_time(lab: Lab) -> None:
    assert lab.emitted("await room.meet(8); emit('out', e);", *range(8)) == list(range(8))


def test_what_is_emitted_goes_out_in_the_order_of_the_events_however_they_end(lab: Lab) -> None:
    body = "await room.wait(`${e}`); emit('out', [e, ctx.id]); room.open(`${e - 1}`);"
    assert lab.emitted(body, 1, 2, 3, head="room.open('3');") == [[e, f"events:test:{(e - 1) * 2}"] for e in (1, 2, 3)]


def test_events_of_one_key_come_one_after_the_other_and_others_go_on(keyed: Lab) -> None:
    body = """
      room.note([e.k, e.n]);
      if (e.k === "a" && e.n === 1) await room.wait("x"); else await null;
      if (e.k === "b" && e.n === 2) room.open("x");
      emit("out", [e.k, e.n, state.incr("count")]);
    """
    events = [{"k": k, "n": n} for n in (1, 2) for k in ("a", "b")]
    assert keyed.emitted(body, *events) == [["a", 1, 1], ["b", 1, 1], ["a", 2, 2], ["b", 2, 2]]
    assert keyed.room.noted == [["a", 1], ["b", 1], ["b", 2], ["a", 2]]


def test_a_script_says_how_many_may_be_in_flight(lab: Lab) -> None:
    body = "const done = room.wait('x'); if (++started === 3) room.open('x'); await done; emit('out', e);"
    assert lab.emitted(body, *range(9), head="export const concurrency = 3; let started = 0;") == list(range(9))
    assert lab.room.most <= 3


def test_each_event_has_its_own_context_that_may_be_read_at_any_time(keyed: Lab) -> None:
    body = "await room.meet(2); emit('out', [ctx.key, ctx.id, ctx.source, ctx.script, ctx.timestamp > 1.6e12]);"
    assert keyed.emitted(body, {"k": 1}, {"k": 2}) == [
        [1, "events:test:0", "events", "script.js", True],
        [2, "events:test:8", "events", "script.js", True],
    ]


@pytest.mark.parametrize(
    "definition",
    [
        "export const handle = async (e) => { emit('out', await room.wait('x')); };",
        "class Script { async handle(e) { emit('out', await room.wait('x')); } }\nmodule.exports = new Script();",
    ],
)
def test_any_async_function_is_asynchronous(lab: Lab, definition: str) -> None:
    lab.room.open("x")
    head = "const { emit, room } = require('trimtab');\n" if "module" in definition else HEAD
    lab.runner.load(script__js=head + definition)
    assert lab.runner.handle(1).emitted == ["x"]


def test_typescript_keeps_async_functions(lab: Lab) -> None:
    lab.runner.load(script__ts=HEAD + "export async function handle(e: number) { await room.meet(2); emit('out', e); }")
    assert lab.runner.handle(1, 2).emitted == [1, 2]


# --- calls ---


def test_calls_to_the_outside_give_promises_and_others_answer_directly(lab: Lab) -> None:
    body = "const call = room.wait('x'); const other = room.note(5); room.open('x'); emit('out', [call instanceof Promise, other, await call]);"
    assert lab.emitted(body) == [[True, None, "x"]]


def test_a_handler_that_is_not_async_is_answered_directly(lab: Lab) -> None:
    lab.room.open("x")
    lab.load("export function handle(e) { emit('out', room.wait('x')); }")
    assert lab.runner.handle(1).emitted == ["x"]


def test_the_calls_of_one_event_may_wait_together(lab: Lab) -> None:
    assert lab.emitted("await Promise.all([room.meet(2), room.meet(2)]); emit('out', 'met');") == ["met"]


def test_an_error_of_a_call_rejects_its_promise_with_the_place_of_the_call(lab: Lab) -> None:
    handled = lab.run("\n  const call = room.fail('no');\n  await call;", 1)
    assert [(fault.name, fault.message, fault.file, fault.line) for fault in handled.faults] == [
        ("SqlError", "no", "script.js", 5)
    ]


def test_an_error_of_a_call_can_be_caught(lab: Lab) -> None:
    body = "try { await room.fail('no'); } catch (error) { emit('out', [error instanceof Error, error.name, error.code, error.retryable]); }"
    assert lab.emitted(body) == [[True, "SqlError", "42", True]]


def test_an_object_that_a_call_gives_lasts_until_its_event_has_ended(lab: Lab) -> None:
    body = "const a = await room.answer(e); await room.meet(2); emit('out', [a.name, a.read()]); kept ??= a;"
    assert lab.emitted(body, "x", "y", head="let kept;") == [["x", "read x"], ["y", "read y"]]
    handled = lab.run("kept ??= await room.answer(e); emit('out', kept.read());", "x", head="let kept;")
    assert handled.emitted == ["read x"]
    (fault,) = lab.runner.handle("y").faults
    assert fault.name == "ReferenceError"


def test_pages_are_read_while_others_go_on(lab: Lab) -> None:
    body = "const seen = []; for await (const x of room.letters()) seen.push(x); emit('out', seen);"
    assert lab.emitted(body) == [["a", "b", "c"]]
    assert lab.emitted("emit('out', await room.letters().toArray());") == [["a", "b", "c"]]
    body = "const all = room.letters(); for await (const x of all) break; emit('out', await all.toArray());"
    assert lab.emitted(body) == [[]]
    assert lab.room.read_on_main == [False] * 7
    assert lab.room.noted == ["closed"] * 3


def test_a_plain_loop_over_pages_is_refused_where_it_would_hold_up_the_others(lab: Lab) -> None:
    (fault,) = lab.run("for (const x of room.letters()) emit('out', x);").faults
    assert fault.message == "expected `for await` in an async function, got `for`; or: await it.toArray()"
    lab.load("export function handle(e) { emit('out', [...room.letters()]); }")
    assert lab.runner.handle(1).emitted == [["a", "b", "c"]]
    assert lab.room.read_on_main == [True] * 3


def test_a_scope_ends_with_its_function(lab: Lab) -> None:
    lab.run("room.open('x'); await room.ledger(async (l) => { l.put(1); await room.wait('x'); l.put(2); });")
    assert lab.room.noted == ["put 1", "put 2", "commit"]


def test_a_call_that_nobody_waits_for_keeps_no_event_from_ending(lab: Lab) -> None:
    body = "room.wait('x').then(() => emit('out', 'late')); emit('out', e);"
    assert lab.emitted(body) == [1]
    lab.room.open("x")
    assert lab.runner.handle(2).emitted == [2]


# --- what belongs to which event ---


def test_a_promise_that_two_events_share_goes_on_in_each_as_its_own(keyed: Lab) -> None:
    body = """
      token ??= room.wait("token");
      const before = state.incr("count");
      if (e.k === "b") room.open("token");
      const value = await token;
      emit("out", [ctx.key, value, before, state.incr("count")]);
    """
    events = [{"k": k} for k in ("a", "b", "c")]
    handled = keyed.run(body, *events, head="let token;")
    assert handled.emitted == [["a", "token", 1, 2], ["b", "token", 1, 2], ["c", "token", 1, 2]]
    assert {(row.key, row.name): row.value for row in handled.changes if row.name == "count"} == {
        (f'"{k}"', "count"): b"2" for k in ("a", "b", "c")
    }


@pytest.mark.parametrize(
    "wait",
    [
        "await shared",
        "await shared.then((x) => x)",
        "await shared.then(undefined, () => 0)",
        "await shared.finally(() => state.incr('finally'))",
        "await Promise.all([shared, 1])",
        "await Promise.race([shared, new Promise(() => {})])",
        "await Promise.allSettled([shared])",
        "await Promise.any([shared])",
        "await (async () => shared)()",
        "await (async () => { for await (const x of [shared]) return x; })()",
        "await { then: (done) => shared.then(done) }",
        "await new Promise((done) => shared.then(done))",
        "await Promise.resolve(shared)",
    ],
)
def test_every_way_to_wait_for_a_shared_promise_leads_back_to_the_event(keyed: Lab, wait: str) -> None:
    body = f"""
      if (e.k === 1) {{ await room.meet(2); settle("done"); }}
      else {{ const other = room.meet(2); {wait}; await other; }}
      emit("out", ctx.key); state.set("key", ctx.key);
    """
    head = "let settle; const shared = new Promise((done) => { settle = done; });"
    handled = keyed.run(body, {"k": 1}, {"k": 2}, head=head)
    assert (handled.faults, handled.emitted) == ([], [1, 2])
    assert {row.key: row.value for row in handled.changes if row.name == "key"} == {"1": b"1", "2": b"2"}


def test_a_shared_promise_that_fails_fails_every_event_that_waits_for_it(keyed: Lab) -> None:
    handled = keyed.run("token ??= room.fail('no'); await token;", {"k": 1}, {"k": 2}, head="let token;")
    assert [fault.message for fault in handled.faults] == ["no", "no"]


def test_what_the_top_level_has_left_to_do_belongs_to_no_event(lab: Lab) -> None:
    head = """
      let settle;
      const shared = new Promise((done) => { settle = done; });
      shared.then(() => { try { emit("out", "x"); } catch ({ message }) { room.note(message.slice(0, 10)); } });
    """
    assert lab.emitted("await room.meet(4); settle(); await shared; emit('out', e);", *range(4), head=head) == [
        0,
        1,
        2,
        3,
    ]
    assert lab.room.noted == ["emit works"]


def test_promises_are_what_the_language_says_they_are(lab: Lab) -> None:
    body = """
      class Own extends Promise { then(...both) { Own.calls = (Own.calls ?? 0) + 1; return super.then(...both); } }
      const own = Own.resolve(3);
      const order = [];
      await Promise.all([1, 2].map(async (n) => { order.push(n); await null; order.push(n * 10); }));
      emit("out", [own instanceof Promise, own.then((x) => x) instanceof Own, await own, Own.calls > 1, order]);
    """
    assert lab.emitted(body) == [[True, True, 3, True, [1, 2, 10, 20]]]


def test_a_script_cannot_replace_then_for_the_host(lab: Lab) -> None:
    head = "Promise.prototype.then = () => { throw 1; }; Promise.prototype.constructor = 5; let shared;"
    body = "shared ??= room.meet(2); const mine = room.meet(2); await shared; await mine; emit('out', e);"
    assert lab.emitted("await room.meet(2); emit('out', e);", 1, 2, head=head) == [1, 2]
    assert lab.emitted(body, 1, head=head) == [1]


# --- failures ---


def test_what_a_failed_event_did_is_undone_and_the_others_keep_theirs(keyed: Lab) -> None:
    body = """
      emit("out", [e.k, state.incr("count")]);
      await room.meet(2);
      state.incr("count");
      if (e.fail) throw new Error("bad");
      await null;
    """
    handled = keyed.run(body, {"k": 1, "fail": True}, {"k": 2})
    assert ([fault.message for fault in handled.faults], handled.emitted) == (["bad"], [[2, 1]])
    assert {row.key: row.value for row in handled.changes if row.name == "count"} == {"2": b"2"}


def test_an_event_is_tried_again_as_often_as_the_script_says(lab: Lab) -> None:
    head = 'export const attempts = 3, backoff = "1ms"; let tried = 0;'
    body = "emit('out', ++tried); await room.wait('x'); if (tried < 3) throw new Error('not yet');"
    lab.room.open("x")
    assert lab.emitted(body, head=head) == [3]


def test_an_event_that_waits_for_too_long_fails_and_can_clean_up(keyed: Lab) -> None:
    body = """
      emit("out", 1);
      state.set("a", 1);
      try { await room.wait("x"); } catch (error) { room.note(error.name); } finally {
        for (const work of [() => emit("out", 2), () => state.set("a", 2), () => room.wait("y")]) {
          try { work(); room.note("no error"); } catch { room.note("refused"); }
        }
        log.info("cleaned up");
      }
    """
    handled = keyed.run(body, {"k": 1}, head='export const timeout = "100ms";')
    assert [(fault.name, fault.file, fault.line) for fault in handled.faults] == [("TimeLimitExceeded", "script.js", 7)]
    assert (handled.emitted, handled.changes) == ([], [])
    assert keyed.room.noted == ["TimeLimitExceeded", *["refused"] * 3]
    assert [entry.message for entry in keyed.runner.logged] == ["cleaned up"]


def test_an_endless_loop_costs_its_event_and_the_others_begin_anew(keyed: Lab) -> None:
    body = """
      room.note(e.k);
      const count = state.incr("count");
      emit("out", [e.k, count]);
      await room.wait(e.k === 2 ? "2" : "1");
      if (e.k === 2) { room.open("1"); for (;;) await null; }
    """
    keyed.room.open("2")
    handled = keyed.run(body, {"k": 1}, {"k": 2}, {"k": 3}, head='export const timeout = "500ms";')
    assert [fault.name for fault in handled.faults] == ["TimeLimitExceeded"]
    assert handled.emitted == [[1, 1], [3, 1]]
    assert keyed.room.noted == [1, 2, 3, 1, 3]


def test_a_loop_before_the_first_await_costs_its_event_alone(keyed: Lab) -> None:
    body = "room.note(e.k); if (e.k === 2) for (;;); await room.meet(2); emit('out', e.k);"
    handled = keyed.run(body, {"k": 1}, {"k": 2}, {"k": 3}, head='export const timeout = "200ms";')
    assert [fault.name for fault in handled.faults] == ["TimeLimitExceeded"]
    assert (handled.emitted, keyed.room.noted) == ([1, 3], [1, 2, 3])


def test_memory_that_one_event_takes_costs_this_event(keyed: Lab) -> None:
    body = """
      const count = state.incr("count");
      await room.wait(e.k === 2 ? "2" : "1");
      if (e.k === 2) { room.open("1"); for (const all = []; ; ) all.push(new Array(10000).fill(e)); }
      emit("out", [e.k, count]);
    """
    keyed.room.open("2")
    handled = keyed.run(body, {"k": 1}, {"k": 2}, {"k": 3}, head="export const timeout = 20;")
    assert [fault.name for fault in handled.faults] == ["MemoryLimitExceeded"]
    assert handled.emitted == [[1, 1], [3, 1]]


def test_a_promise_that_nothing_can_settle_fails_its_event_at_once(lab: Lab) -> None:
    handled = lab.run(
        "emit('out', e); if (e === 2) await new Promise(() => {});", 1, 2, 3, head="export const timeout = 60;"
    )
    assert handled.emitted == [1, 3]
    assert [fault.message for fault in handled.faults] == [
        "the promise that the handler returned was never settled; nothing can settle it"
    ]


def test_one_event_may_settle_what_another_one_waits_for(keyed: Lab) -> None:
    body = "if (e.k < 3) await new Promise((done) => waiting.push(done)); else waiting.forEach((done) => done()); emit('out', ctx.key);"
    assert keyed.emitted(body, *({"k": k} for k in (1, 2, 3)), head="const waiting = [];") == [1, 2, 3]


def test_a_rejection_that_nothing_handles_is_logged_and_harms_no_event(lab: Lab) -> None:
    assert lab.emitted("Promise.reject(new Error('alone')); emit('out', e);", 1, 2) == [1, 2]
    assert [entry.level for entry in lab.runner.logged] == ["error"] * 2
    assert "Error: alone" in lab.runner.logged[0].message


# --- beside events ---


def test_calls_in_async_open_and_close_give_promises_too(lab: Lab) -> None:
    lab.room.open("x")
    lab.load("""
        let opened;
        export async function open() {
          opened = await room.answer("kept").then((answer) => answer);
          await room.fail("no").catch(({ message }) => room.note(message));
        }
        export function handle(e) { emit("out", opened.read()); }
        export async function close() { room.note(await room.wait("x").then((x) => `close ${x}`)); }
    """)
    assert lab.runner.handle(1, 2).emitted == ["read kept", "read kept"]
    lab.runner.close()
    assert lab.room.noted == ["no", "close x"]


def test_timers_may_be_handled_asynchronously_beside_a_handler_that_waits_for_nothing(keyed: Lab) -> None:
    keyed.load("""
        export function handle(e, ctx) { timer.at(20, [e.k], { name: "t", time: "processing" }); emit("out", e.k); }
        export async function onTimer(timer, ctx) {
          await room.meet(2);
          emit("out", [timer, ctx.key, ctx.timestamp, state.incr("fired")]);
        }
    """)
    assert keyed.runner.handle({"k": 1}, {"k": 2}, now=10).emitted == [1, 2]
    fired = keyed.runner.handle(now=21).emitted
    assert fired == [[{"name": "t", "at": 20, "data": [k]}, k, 20, 1] for k in (1, 2)]


def test_an_instance_that_cannot_start_anew_fails_what_is_in_flight(keyed: Lab) -> None:
    keyed.load("""
        export const timeout = 20;
        if (room.first() !== 1) throw new Error("not again");
        export async function handle(e) {
          await room.wait(e.k === 2 ? "2" : "1");
          for (const all = []; ; ) all.push(new Array(10000).fill(e));
        }
    """)
    keyed.room.open("2")
    handled = keyed.runner.handle({"k": 1}, {"k": 2}, {"k": 3})
    assert sorted(fault.name for fault in handled.faults) == ["Error", "Error", "MemoryLimitExceeded"]
    assert [fault.message for fault in handled.faults if fault.name == "Error"] == ["not again"] * 2


def test_a_migrate_that_is_async_is_refused(lab: Lab) -> None:
    with pytest.raises(ChangeRefused, match="migrate: expected a function that is not async"):
        lab.load("export function handle() {}; export async function migrate(values) { return values; }")


# --- real systems ---


def test_requests_of_many_events_are_under_way_at_the_same_time() -> None:
    together = threading.Barrier(6)

    def answer(visit: Visit) -> Reply:
        together.wait(30)
        return Reply(body=visit.body)

    script = """
        import { emit, http } from "trimtab";
        export const timeout = "20s";
        export async function handle(e) { emit("out", (await http("site").post("/", { json: e })).json()); }
    """
    with Site(answer).serving() as url, ScriptRunner(resources={"http.site": {"base_url": url}}) as runner:
        runner.load(a__js=script)
        assert runner.handle(*range(6)).emitted == list(range(6))


def test_rows_are_read_with_for_await_and_transactions_are_as_elsewhere(tmp_path: Path) -> None:
    script = """
        import { emit, sql } from "trimtab";
        export async function handle(e) {
          const db = sql("db");
          await db.execute("create table t (n integer)");
          db.transaction((tx) => { for (let n = 0; n < e; n++) tx.execute("insert into t values (?)", [n]); });
          let sum = 0;
          for await (const row of await db.iterate("select n from t", null, { page: 2 })) sum += row.n;
          emit("out", [sum, (await db.query("select count(*) as n from t"))[0].n]);
        }
    """
    resources = {"sql.db": {"url": f"sqlite:///{tmp_path}/db.sqlite"}}
    with ScriptRunner(resources=resources) as runner:
        runner.load(a__js=script)
        handled = runner.handle(5)
    assert (handled.faults, handled.emitted) == ([], [[10, 5]])
