"""Promises: those that an asynchronous handler returns, and those that are left behind."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.javascript.javascript_support import Lab, emitted, handle, load
from trimtab.testing import ScriptRunner

IMPORT = 'import { emit } from "trimtab"; export const timeout = "60ms";\n'


@pytest.fixture
def runner() -> Iterator[ScriptRunner]:
    with ScriptRunner() as made:
        yield made


def test_what_is_emitted_after_an_await_belongs_to_its_event(runner: ScriptRunner) -> None:
    runner.load(
        a__js=IMPORT
        + """
        const pause = async (n) => { for (let i = 0; i < n; i++) await null; };
        export async function handle(e, ctx) { emit("out", [e, "before"]); await pause(e); emit("out", [e, ctx.id]); }
    """
    )
    assert runner.handle(3, 2, 1).emitted == [
        [e, what] for index, e in enumerate([3, 2, 1]) for what in ("before", f"events:test:{index * 2}")
    ]


@pytest.mark.parametrize("returned", ["Promise.resolve(1)", "{ then(done) { done(1); } }"])
def test_a_plain_function_that_returns_a_promise_is_told_what_to_write(returned: str) -> None:
    script = load(IMPORT + f"export function handle(e) {{ emit('out', e); if (e === 1) return {returned}; }}")
    run = handle(script, 1, 2)
    assert emitted(run) == [(1, 2)]
    assert run.faults[0].message == (
        "expected a plain function to end before it returns, got a promise; write async function, and the host waits for it"
    )


def test_an_async_handler_may_wait_for_any_object_with_then(runner: ScriptRunner) -> None:
    runner.load(a__js=IMPORT + "export async function handle(e) { emit('out', await { then(done) { done(e); } }); }")
    assert runner.handle(1, 2).emitted == [1, 2]


def test_a_rejected_promise_fails_its_event_with_the_place(runner: ScriptRunner) -> None:
    runner.load(
        a__js=IMPORT
        + "export async function handle(e) {\n emit('out', e); await 1;\n if (e === 2) throw new Error('bad');\n}"
    )
    handled = runner.handle(1, 2, 3)
    assert handled.emitted == [1, 3]
    assert [str(fault) for fault in handled.faults] == ["a.js:4:25: Error: bad"]


def test_an_endless_chain_of_promises_costs_its_event_and_nothing_else(runner: ScriptRunner) -> None:
    runner.load(
        a__js=IMPORT
        + """
        let handled = 0;
        const forever = async () => { for (;;) await null; };
        export async function handle(e) { emit("out", [e, ++handled]); if (e === 3) await forever(); }
    """
    )
    result = runner.handle(1, 2, 3, 4, 5)
    assert result.emitted == [[1, 1], [2, 2], [4, 1], [5, 2]]
    assert [fault.name for fault in result.faults] == ["TimeLimitExceeded"]


def test_a_loop_after_an_await_is_stopped(runner: ScriptRunner) -> None:
    runner.load(a__js=IMPORT + "export async function handle(e) { await 1; if (e === 2) for (;;); emit('out', e); }")
    handled = runner.handle(1, 2, 3)
    assert handled.emitted == [1, 3]
    assert [fault.name for fault in handled.faults] == ["TimeLimitExceeded"]


def test_memory_that_is_taken_after_an_await_costs_its_event(runner: ScriptRunner) -> None:
    full = "for (const all = []; ; ) all.push(new Array(10000).fill(e));"
    script = f"export async function handle(e) {{ await 1; if (e === 2) {full} emit('out', e); }}"
    runner.load(a__js=IMPORT.replace("60ms", "20s") + script)
    handled = runner.handle(1, 2, 3)
    assert handled.emitted == [1, 3]
    assert [fault.name for fault in handled.faults] == ["MemoryLimitExceeded"]


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
