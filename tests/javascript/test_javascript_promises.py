"""Handlers that return promises."""

from __future__ import annotations

from tests.javascript.javascript_support import Lab, emitted, handle, load

IMPORT = 'import { emit } from "trimtab"; export const timeout = "60ms";\n'


def test_what_is_emitted_after_an_await_belongs_to_its_event() -> None:
    script = load(
        IMPORT
        + """
        const pause = async (n) => { for (let i = 0; i < n; i++) await null; };
        export async function handle(e, ctx) { emit("out", [e, "before"]); await pause(e); emit("out", [e, ctx.id]); }
    """
    )
    run = handle(script, 3, 2, 1)
    assert emitted(run) == [
        (index, [e, what]) for index, e in enumerate([3, 2, 1]) for what in ("before", f"gps:p:{index * 2}")
    ]
    assert len(run.samples) == 1


def test_any_object_with_then_is_awaited() -> None:
    script = load(IMPORT + "export function handle(e) { return { then(done, failed) { failed(new Error('no')); } }; }")
    assert handle(script, 1).faults[0].message == "no"


def test_a_rejected_promise_fails_its_event_with_the_place() -> None:
    script = load(
        IMPORT
        + "export async function handle(e) {\n emit('out', e); await 1;\n if (e === 2) throw new Error('bad');\n}"
    )
    run = handle(script, 1, 2, 3)
    assert emitted(run) == [(0, 1), (2, 3)]
    assert str(run.faults[1]) == "script.js:4:25: Error: bad"


def test_a_promise_that_is_never_settled_fails_its_event() -> None:
    script = load(IMPORT + "export function handle(e) { if (e === 2) return new Promise(() => {}); emit('out', e); }")
    run = handle(script, 1, 2, 3)
    assert emitted(run) == [(0, 1), (2, 3)]
    assert "the promise that handle returned was never settled" in run.faults[1].message


def test_an_endless_chain_of_promises_costs_its_event_and_nothing_else() -> None:
    script = load(
        IMPORT
        + """
        let handled = 0;
        const forever = async () => { for (;;) await null; };
        export function handle(e) { emit("out", [e, ++handled]); if (e === 3) return forever(); }
    """
    )
    run = handle(script, 1, 2, 3, 4, 5)
    assert emitted(run) == [(0, [1, 1]), (1, [2, 2]), (3, [4, 1]), (4, [5, 2])]
    assert {index: fault.name for index, fault in run.faults.items()} == {2: "TimeLimitExceeded"}


def test_a_loop_after_an_await_is_stopped() -> None:
    script = load(IMPORT + "export async function handle(e) { await 1; if (e === 2) for (;;); emit('out', e); }")
    run = handle(script, 1, 2, 3)
    assert emitted(run) == [(0, 1), (2, 3)]
    assert run.faults[1].name == "TimeLimitExceeded"


def test_memory_that_is_taken_after_an_await_costs_its_event() -> None:
    script = load("""
        import { emit } from "trimtab";
        export const timeout = 20;
        export async function handle(e) {
          await 1;
          if (e === 2) for (const all = []; ; ) all.push(new Array(10000).fill(e));
          emit("out", e);
        }
    """)
    run = handle(script, 1, 2, 3)
    assert emitted(run) == [(0, 1), (2, 3)]
    assert run.faults[1].name == "MemoryLimitExceeded"


def test_a_rejection_that_nothing_handles_is_logged_and_harms_no_event() -> None:
    lab = Lab()
    script = lab.load(IMPORT + "export function handle(e) { Promise.reject(new Error('alone')); emit('out', e); }")
    assert emitted(handle(script, 1, 2)) == [(0, 1), (1, 2)]
    assert [entry.level for entry in lab.log] == ["error"]
    assert "script.js:2:48: Error: alone" in lab.log[0].message


def test_what_is_emitted_after_the_event_has_ended_is_refused_in_the_log() -> None:
    lab = Lab()
    script = lab.load(IMPORT + "export function handle(e) { Promise.resolve().then(() => emit('out', e)); }")
    assert emitted(handle(script, 1)) == []
    assert "emit works only while an event is handled" in lab.log[0].message


def test_promises_left_behind_that_never_end_fail_the_last_event_of_the_batch() -> None:
    script = load(
        IMPORT
        + """
        const forever = async () => { for (;;) await null; };
        export function handle(e) { emit("out", e); if (e === 1) forever(); }
    """
    )
    run = handle(script, 1, 2)
    assert emitted(run) == [(0, 1)]
    assert run.faults[1].name == "TimeLimitExceeded"
    assert emitted(handle(script, 3, 4)) == [(0, 3), (1, 4)]
