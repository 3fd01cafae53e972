"""What happens with the events of a batch."""

from __future__ import annotations

import gc
import hashlib

import psutil
import pytest

from tests.javascript.javascript_support import Lab, emitted, handle, load, place
from trimtab.api import ScriptError
from trimtab.engine.batch import SourceSpec

IMPORT = 'import { emit, settings } from "trimtab";\n'


def test_values_go_to_their_sinks_with_the_index_of_their_event() -> None:
    script = load(IMPORT + "export function handle(e) { emit('out', e); if (e > 1) emit('alarms', [e]); }")
    run = handle(script, 1, 2, 3)
    assert emitted(run, "out") == [(0, 1), (1, 2), (2, 3)]
    assert emitted(run, "alarms") == [(1, [2]), (2, [3])]


def test_only_selected_events_are_handled_and_keep_their_index() -> None:
    script = load(IMPORT + "export function handle(e, ctx) { emit('out', [e, ctx.key, ctx.timestamp, ctx.id]); }")
    values = [{"k": n, "t": n + 10} for n in range(5)]
    run = handle(script, *values, spec=SourceSpec("k", "t"), selection=[1, 4])
    assert emitted(run) == [(n, [values[n], n, n + 10, f"gps:p:{n * 18}"]) for n in (1, 4)]


def test_no_selected_event_is_nothing_to_do() -> None:
    assert not handle(load(IMPORT + "export function handle(e) { emit('out', e); }"), 1, selection=[]).emitted


def test_the_context_tells_about_the_event_and_the_script() -> None:
    source = IMPORT + "export function handle(e, ctx) { emit('out', ctx); }"
    assert emitted(handle(load(source), {})) == [
        (
            0,
            {
                "id": "gps:p:0",
                "source": "gps",
                "key": None,
                "timestamp": 1234,
                "generation": 7,
                "script": "script.js",
                "version": hashlib.sha256(source.encode()).hexdigest()[:12],
            },
        )
    ]


def test_a_context_that_is_kept_does_not_tell_of_another_event() -> None:
    script = load(IMPORT + "let kept; export function handle(e, ctx) { kept ??= ctx; emit('out', kept.id); }")
    assert emitted(handle(script, 1)) == [(0, "gps:p:0")]
    script = load(IMPORT + "let kept; export function handle(e, ctx) { if (kept) kept.id; kept = ctx; }")
    assert not handle(script, 1).faults
    assert "ctx can be read only while its event is handled" in handle(script, 2).faults[0].message


def test_a_value_is_emitted_as_it_is_now() -> None:
    script = load(IMPORT + "export function handle(e) { emit('out', e); e.x = 'changed'; }")
    assert emitted(handle(script, {"x": 1})) == [(0, {"x": 1})]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ("emit('nowhere', 1)", 'Error: unknown sink "nowhere"; expected one of: alarms, out'),
        ("emit('out')", "TypeError: emit expects a value that JSON can hold, got undefined"),
        ("emit('out', () => 1)", "TypeError: emit expects a value that JSON can hold, got function"),
        ("emit('out', 1n)", "TypeError: "),
        ("const a = []; a[0] = a; emit('out', a)", "TypeError: "),
    ],
)
def test_what_cannot_be_emitted_fails_the_event(call: str, message: str) -> None:
    fault = handle(load(IMPORT + f"export function handle() {{ {call} }}"), 1).faults[0]
    assert message in str(fault)
    assert place(fault)[:2] == ("script.js", 2)


def test_emit_works_only_while_an_event_is_handled() -> None:
    with pytest.raises(ScriptError, match="emit works only while an event is handled"):
        load(IMPORT + "emit('out', 1); export function handle() {}")


def test_texts_of_every_kind_go_through_unharmed() -> None:
    texts = ["a\nb", 'quote"s and \\', "größer → 😀", "\u0000", "\u2028"]
    script = load(IMPORT + "export function handle(e) { emit('out', e); }")
    run = handle(script, *texts)
    assert [value for _index, value in emitted(run)] == texts
    assert all(b"\n" not in line for line in run.emitted["out"].lines)


def test_half_a_surrogate_pair_is_emitted_as_an_escape() -> None:
    run = handle(load(IMPORT + "export function handle(e) { emit('out', '\\ud800'); }"), 1)
    assert run.emitted["out"].lines == [b'"\\ud800"']


def test_an_event_that_throws_fails_alone_and_what_it_emitted_is_dropped() -> None:
    script = load(IMPORT + "export function handle(e) {\n emit('out', e);\n if (e === 2) null.x;\n}")
    run = handle(script, 1, 2, 3)
    assert emitted(run) == [(0, 1), (2, 3)]
    assert list(run.faults) == [1]
    assert str(run.faults[1]) == "script.js:4:15: TypeError: cannot read property 'x' of null"


@pytest.mark.parametrize(
    ("thrown", "shown"),
    [
        ("'a text'", "a text"),
        ("5", "5"),
        ("undefined", "undefined"),
        ("{ code: 3 }", '{"code":3}'),
        ("{ get message() { throw 1; } }", "something was thrown that cannot be shown"),
        ("Object.assign(new Error('m'), { name: 'Own' })", "Own: m"),
        ("Symbol('s')", "Symbol(s)"),
        ("() => 1", "() => 1"),
    ],
)
def test_anything_may_be_thrown(thrown: str, shown: str) -> None:
    assert shown in str(handle(load(f"function handle() {{ throw {thrown}; }}"), 1).faults[0])


def test_the_place_of_a_fault_is_the_innermost_in_the_users_files() -> None:
    script = load(
        'import { far } from "./_geo.js";\nexport function handle(e) { [e].map(far); }',
        {"_geo.js": "\nexport function far(e) {\n  return JSON.parse(e);\n}"},
    )
    assert place(handle(script, "{\n\n\n").faults[0])[:2] == ("_geo.js", 3)


def test_an_endless_loop_costs_its_event_and_nothing_else() -> None:
    script = load(
        IMPORT + "export const timeout = '60ms'; export function handle(e) { emit('out', e); if (e == 2) for (;;); }"
    )
    run = handle(script, 1, 2, 3)
    assert emitted(run) == [(0, 1), (2, 3)]
    assert {index: fault.name for index, fault in run.faults.items()} == {1: "TimeLimitExceeded"}


def test_a_script_cannot_catch_the_time_limit() -> None:
    lab = Lab()
    script = lab.load("""
        const timeout = 0.06;
        function handle(e) { if (e) for (;;) try { for (;;) console.log("x"); } catch {} finally { continue; } }
    """)
    for _ in range(5):
        assert handle(script, 0, 1, 0).faults[1].name == "TimeLimitExceeded"


def test_many_events_may_together_take_longer_than_the_limit_of_one() -> None:
    script = load("""
        const timeout = 1;
        function handle() { const end = performance.now() + 100; while (performance.now() < end); }
    """)
    assert not handle(script, *range(12)).faults


def test_memory_that_one_event_takes_costs_this_event() -> None:
    script = load(
        IMPORT
        + """
        let opened = 0;
        export const timeout = 20;
        export function open() { opened += 1; }
        export function handle(e) {
          emit("out", [e, opened]);
          if (e === 2) for (const all = []; ; ) all.push(new Array(10000).fill(e));
        }
    """
    )
    script.open()
    run = handle(script, 1, 2, 3)
    assert run.faults[1].name == "MemoryLimitExceeded"
    # QuickJS tells the place only where some memory is left for it.
    assert place(run.faults[1])[:2] in {("script.js", 8), ("script.js", None)}
    assert emitted(run) == [(0, [1, 1]), (2, [3, 1])]
    assert emitted(handle(script, 4)) == [(0, [4, 1])]


def test_a_script_that_keeps_too_much_gets_a_fresh_interpreter() -> None:
    script = load("""
        const timeout = 20, kept = [];
        function handle() { for (let i = 0; i < 40; i++) kept.push(new Array(100000).fill(i)); }
    """)
    gc.disable()
    try:
        before = psutil.Process().memory_info().rss
        faults = handle(script, *range(12)).faults
        assert psutil.Process().memory_info().rss - before < 300 * 2**20
    finally:
        gc.enable()
    assert {fault.name for fault in faults.values()} == {"MemoryLimitExceeded"}
    assert 4 <= len(faults) <= 8


def test_an_emitted_value_too_big_to_hand_over_costs_its_event() -> None:
    script = load(
        IMPORT
        + """
        export const timeout = 20;
        export function handle(e) { emit("out", e === 2 ? "x".repeat(50 * 2 ** 20) : e); }
    """
    )
    run = handle(script, 1, 2, 3)
    assert emitted(run) == [(0, 1), (2, 3)]
    assert run.faults[1].name == "MemoryLimitExceeded"


def test_many_big_values_are_handed_over_within_the_batch() -> None:
    script = load(IMPORT + "export const timeout = 20; export function handle(e) { emit('out', 'x'.repeat(2 ** 20)); }")
    run = handle(script, *range(150))
    assert not run.faults
    assert len(run.emitted["out"].lines) == 150


def test_deep_recursion_costs_its_event() -> None:
    script = load(
        IMPORT
        + """
        const down = (n) => 1 + down(n + 1);
        export function handle(e) { if (e === 2) down(0); emit("out", e); }
    """
    )
    run = handle(script, 1, 2, 3)
    assert emitted(run) == [(0, 1), (2, 3)]
    assert (run.faults[1].name, run.faults[1].message) == ("RangeError", "Maximum call stack size exceeded")


def test_a_script_that_cannot_start_anew_fails_its_events_and_is_tried_again_with_the_next_batch() -> None:
    lab = Lab(settings={"fail": False})
    script = lab.load(
        IMPORT
        + """
        if (settings.get("fail")) throw new Error("not again");
        export const timeout = 20;
        export function handle(e) {
          emit("out", e);
          if (e === 2) for (const all = []; ; ) all.push(new Array(10000).fill(e));
        }
    """
    )
    lab.host.settings.tree = {"fail": True}
    run = handle(script, 1, 2, 3, 4)
    assert emitted(run) == [(0, 1)]
    assert [run.faults[index].message for index in (2, 3)] == ["not again"] * 2
    lab.host.settings.tree = {"fail": False}
    assert emitted(handle(script, 1)) == [(0, 1)]


def test_some_events_are_timed() -> None:
    script = load("function handle() { const end = performance.now() + 2; while (performance.now() < end); }")
    for _ in range(3):
        (sample,) = handle(script, *range(4)).samples
        assert 2_000_000 <= sample < 500_000_000
