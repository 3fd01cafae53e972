"""What scripts import from "trimtab", and what they cannot reach."""

from __future__ import annotations

import json
import re
from pathlib import Path
from time import sleep
from typing import Any

import pytest

import trimtab.sandbox.javascript
from tests.javascript.javascript_support import Lab, emitted, events, handle, load, new_run, place
from trimtab.api import Binding, Script, ScriptHost, ScriptObject
from trimtab.errors import ChangeRefused
from trimtab.plugin_manager import Plugins
from trimtab.plugins.log import LogBinding
from trimtab.testing import ScriptRunner

IMPORT = 'import { emit, settings } from "trimtab";\n'
DECLARATIONS = Path(trimtab.sandbox.javascript.__file__).with_name("trimtab.d.ts")


class Refused(Exception):
    code = "E42"
    retryable = True


class Shop(Binding, ScriptObject):
    """A binding with methods that answer, fail and hang."""

    name = "shop"
    methods = frozenset({"add", "show", "fail", "hang"})

    def bind(self, script: Script, host: ScriptHost) -> ScriptObject:
        return self

    def add(self, left: int, right: int = 100) -> int:
        return left + right

    def show(self, *values: Any) -> Any:
        return values

    def fail(self) -> None:
        raise Refused("out of stock")

    def hang(self) -> None:
        while True:
            sleep(0.001)

    def hidden(self) -> str:
        return "secret"


def test_a_setting_is_read_by_its_dotted_path() -> None:
    lab = Lab(settings={"max": {"speed": 100}, "list": [1], "no": False})
    script = lab.load(IMPORT + "export function handle(path) { emit('out', settings.get(path, 'default')); }")
    paths = ["max.speed", "max", "list", "no", "nothing", "max.speed.more", "list.0", "toString", "__proto__", ""]
    assert [value for _index, value in emitted(handle(script, *paths))] == [
        100, {"speed": 100}, [1], False, "default", "default", "default", "default", "default", "default",
    ]  # fmt: skip


def test_the_path_of_a_setting_must_be_text() -> None:
    script = load(IMPORT + "export function handle() { settings.get(5); }")
    assert str(handle(script, 1).faults[0]).endswith("TypeError: settings.get expects a dotted path, got number")


def test_changed_settings_are_seen_by_the_next_event() -> None:
    lab = Lab(settings={"max": 1})
    script = lab.load(IMPORT + "export function handle() { emit('out', settings.get('max')); }")
    assert emitted(handle(script, 1)) == [(0, 1)]
    lab.host.settings.tree = {"max": 2}
    script.settings_changed()
    assert emitted(handle(script, 1)) == [(0, 2)]


def test_the_methods_of_a_binding_are_called_with_json_values() -> None:
    lab = Lab(bindings=[Shop()])
    script = lab.load("""
        import { emit, shop } from "trimtab";
        export function handle() {
          emit("out", [shop.add(1, 2), shop.add(1, undefined), shop.show({ a: [null] }, "ü")]);
        }
    """)
    assert emitted(handle(script, 1)) == [(0, [3, 101, [{"a": [None]}, "ü"]])]


def test_only_the_listed_methods_of_a_binding_are_there() -> None:
    script = Lab(bindings=[Shop()]).load("""
        const { emit, shop } = require("trimtab");
        function handle() { emit("out", Object.keys(shop).sort()); }
    """)
    assert emitted(handle(script, 1)) == [(0, ["add", "fail", "hang", "show"])]


def test_an_exception_of_a_binding_is_an_error_that_scripts_can_catch() -> None:
    script = Lab(bindings=[Shop()]).load("""
        import { emit, shop } from "trimtab";
        export function handle(e) {
          try { shop.fail(); } catch (error) {
            if (e) throw error;
            emit("out", [error instanceof Error, error.name, error.message, error.code, error.retryable]);
          }
        }
    """)
    run = handle(script, 0, 1)
    assert emitted(run) == [(0, [True, "Refused", "out of stock", "E42", True])]
    assert (run.faults[1].name, run.faults[1].message) == ("Refused", "out of stock")
    assert place(run.faults[1])[:2] == ("script.js", 4)


def test_a_binding_that_hangs_is_stopped_even_if_the_script_catches_everything() -> None:
    script = Lab(bindings=[Shop()]).load("""
        import { emit, shop } from "trimtab";
        export const timeout = "60ms";
        export function handle(e) { while (e) try { shop.hang(); } catch {} emit("out", 1); }
    """)
    for _ in range(5):
        run = handle(script, 0, 1, 0)
        assert run.faults[1].name == "TimeLimitExceeded"
        assert emitted(run) == [(0, 1), (2, 1)]


def test_the_log_has_a_message_and_fields() -> None:
    lab = Lab(bindings=[LogBinding()])
    script = lab.load(
        'import { log } from "trimtab"; export function handle() { log.warn("slow", { ms: 5 }); log.info("x"); }'
    )
    assert not handle(script, 1).faults
    assert [(e.level, e.script, e.message, e.fields) for e in lab.log] == [
        ("warn", "script.js", "slow", {"ms": 5}),
        ("info", "script.js", "x", {}),
    ]


@pytest.mark.parametrize("bindings", [[], [LogBinding()]])
def test_the_console_writes_to_the_log(bindings: list[Binding]) -> None:
    lab = Lab(bindings=bindings)
    script = lab.load("""
        function handle() {
          const loop = {}; loop.loop = loop;
          console.log("a", 1, { b: [2] }, null, undefined, loop);
          for (const level of ["info", "debug", "warn", "error"]) console[level]("\\ud800");
          console.error(new TypeError("t"));
        }
    """)
    assert not handle(script, 1).faults
    assert lab.log[0].message == 'a 1 {"b":[2]} null undefined [object that cannot be shown]'
    assert [entry.level for entry in lab.log] == ["info", "info", "info", "warn", "error", "error"]
    assert lab.log[-1].message.startswith("TypeError: t\n")


def test_the_declarations_for_editors_name_what_the_module_exports() -> None:
    text = DECLARATIONS.read_text()
    declared = set(re.findall(r"^  export (?:function|const) (\w+)", text, re.MULTILINE))
    script = Lab(bindings=Plugins.load().bindings()).load("""
        import * as all from "trimtab";
        export function handle(e, ctx) {
          const context = Object.getPrototypeOf(Object.getPrototypeOf(ctx));
          const names = Object.getOwnPropertyNames(context).filter((n) => n !== "constructor");
          const members = ({ log, settings, state, timer }) =>
            Object.fromEntries(Object.entries({ log, settings, state, timer }).map(([k, v]) => [k, Object.keys(v)]));
          all.emit("out", { names, all: Object.keys(all), members: members(all) });
        }
    """)
    ((_index, actual),) = emitted(handle(script, 1))
    assert declared == set(actual["all"])
    assert _members(text, "interface Context") == set(actual["names"])
    for name, members in actual["members"].items():
        assert _members(text, f"const {name}") == set(members)


def _members(text: str, head: str) -> set[str]:
    """Return what is declared between the braces after ``head``."""
    (body,) = re.findall(rf"^  export {head}:? {{$(.*?)^  }}", text, re.MULTILINE | re.DOTALL)
    return set(re.findall(r"^    (?:readonly )?(\w+)[<(:]", body, re.MULTILINE))


def test_the_declarations_for_editors_name_the_methods_of_console() -> None:
    (body,) = re.findall(r"^interface Console \{$(.*?)^\}$", DECLARATIONS.read_text(), re.MULTILINE | re.DOTALL)
    script = load('import { emit } from "trimtab"; export function handle() { emit("out", Object.keys(console)); }')
    ((_index, actual),) = emitted(handle(script, 1))
    assert set(re.findall(r"^  (\w+)\(\.\.\.values: any\[\]\): void;$", body, re.MULTILINE)) == set(actual)


# --- what scripts cannot reach ---


def test_nothing_of_the_host_is_in_reach() -> None:
    script = load("""
        import { emit } from "trimtab";
        const look = () => [typeof call_python, typeof dukpy, typeof process, typeof require, typeof std, typeof os];
        const first = look();
        export function handle() { emit("out", [...first, ...look()]); }
    """)
    assert emitted(handle(script, 1, 2)) == [(index, ["undefined"] * 12) for index in range(2)]


@pytest.mark.parametrize(
    "attack",
    [
        "Object.defineProperty(globalThis, 'call_python', { set(value) { stolen = value; } })",
        "Object.defineProperty(globalThis, 'dukpy', { set(value) { stolen = value; } })",
        "delete globalThis.call_python",
        "delete globalThis.dukpy",
    ],
)
def test_what_passes_between_host_and_interpreter_cannot_be_intercepted(attack: str) -> None:
    script = load(
        IMPORT
        + f"""
        let stolen = null;
        try {{ {attack}; }} catch {{}}
        export function handle() {{ emit("out", stolen); }}
    """
    )
    assert emitted(handle(script, 1)) == [(0, None)]
    assert emitted(handle(script, 1)) == [(0, None)]


def test_stacks_show_places_and_hand_out_no_function() -> None:
    script = load(
        IMPORT
        + """
        const got = [];
        Error.prepareStackTrace = (error, sites) => {
            for (const site of sites) {
                for (let at = site; at; at = Object.getPrototypeOf(at)) {
                    for (const name of Object.getOwnPropertyNames(at)) {
                        if (typeof site[name] !== "function" || name === "constructor") continue;
                        let value;
                        try { value = site[name](); } catch {}
                        if (typeof value === "function") got.push(name);
                    }
                }
            }
            return sites.map((site) => `${site.getFunctionName()} ${site.getLineNumber()}`);
        };
        export function handle() {
            let stack;
            try { emit("nowhere", 1); } catch (error) { stack = error.stack; }
            emit("out", [got, stack[1], stack.length > 2]);
        }
    """
    )
    assert emitted(handle(script, 1)) == [(0, [[], "handle 19", True])]


def test_a_script_cannot_give_commands_to_its_interpreter() -> None:
    script = load(
        IMPORT
        + """
        export function handle(e) { globalThis.dukpy = { do: "stop", fault: {} }; emit("out", [e, typeof dukpy]); }
    """
    )
    assert emitted(handle(script, 1, 2)) == [(0, [1, "undefined"]), (1, [2, "undefined"])]


SABOTAGE = """
JSON.stringify = () => "hacked"; JSON.parse = null;
Array.prototype.push = null; Array.prototype.join = () => 1; Array.prototype[Symbol.iterator] = null;
Array.prototype.toJSON = () => "A"; Object.prototype.toJSON = () => "O"; String.prototype.toJSON = () => "S";
Promise.prototype.then = null; Promise.resolve = null; Date.now = null;
Function.prototype.call = null; Function.prototype.apply = null; Reflect.apply = null;
Object.defineProperty(Array.prototype, 0, { set(value) {}, get() { return 5; }, configurable: true });
Object.prototype.error = { name: "x" }; Object.prototype.ok = 3; Object.prototype.get = () => 1;
Object.prototype.value = 7; Object.prototype.at = []; Object.prototype.keys = 3; Object.prototype.ids = [];
globalThis.Error = null; globalThis.String = null; globalThis.globalThis = null;
"""


OVERWRITTEN = (
    IMPORT
    + SABOTAGE
    + """
    export function handle(e, ctx) {
      emit("out", 1); emit("out", "two"); emit("out", ctx.id);
      if (e.x === 2) null.x;
    }
    """
)


def test_a_script_that_overwrites_the_built_ins_harms_only_itself() -> None:
    script = load(OVERWRITTEN)
    for _ in range(2):
        run = handle(script, {"x": 1}, {"x": 2}, {"x": 3})
        assert emitted(run) == [
            (0, 1), (0, "two"), (0, "gps:p:0"), (2, 1), (2, "two"), (2, "gps:p:18"),
        ]  # fmt: skip
        assert run.faults[1].message == "cannot read property 'x' of null"


def test_nor_does_it_harm_others_where_its_handler_is_async() -> None:
    with ScriptRunner() as runner:
        runner.load(script__js=OVERWRITTEN.replace("function handle", "async function handle"))
        for position in (0, 24):
            handled = runner.handle({"x": 1}, {"x": 2}, {"x": 3})
            assert handled.emitted == [
                1, "two", f"events:test:{position}", 1, "two", f"events:test:{position + 16}"
            ]  # fmt: skip
            assert [fault.message for fault in handled.faults] == ["cannot read property 'x' of null"]


def test_a_script_that_spoils_the_way_to_the_host_fails_its_own_events() -> None:
    script = load(
        IMPORT
        + """
        export const timeout = "60ms";
        export function handle(e) {
          if (e === 2) Array.prototype.toJSON = () => { throw new Error("spoiled"); };
          emit("out", e);
        }
    """
    )
    run = handle(script, 1, 2, 3)
    assert emitted(run) == [(0, 1), (2, 3)]
    assert list(run.faults) == [1]


def test_a_run_leaves_nothing_for_the_next_batch() -> None:
    script = load(IMPORT + "export function handle(e) { emit('out', e); }")
    handle(script, 1, 2)
    run = new_run(events([]))
    assert emitted(handle(script, 3)) == [(0, 3)]
    assert not run.emitted


def test_numbers_and_odd_keys_of_events_arrive_as_json_says() -> None:
    script = load(IMPORT + "export function handle(e) { emit('out', e); }")
    event = {"__proto__": {"x": 1}, "constructor": 2, "big": 1e300, "small": -0.5, "list": [[], {}]}
    assert emitted(handle(script, event)) == [(0, json.loads(json.dumps(event)))]


@pytest.mark.parametrize("source", [r'throw new Error("\ud800");', r'export const where = "\ud800";'])
def test_a_lone_surrogate_at_the_top_level_is_a_refusal_that_can_be_read(source: str) -> None:
    with ScriptRunner() as runner, pytest.raises(ChangeRefused, match="lone surrogate"):
        runner.load(a__js=f"{source}\nexport function handle() {{}}")
