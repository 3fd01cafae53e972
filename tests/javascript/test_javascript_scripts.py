"""What a script may look like, and what a wrong one is told."""

from __future__ import annotations

import pytest

from tests.javascript.javascript_support import Lab, emitted, handle, load, place
from trimtab.api import HandlerSpec, Script, ScriptError


def test_an_es_module_exports_its_handler_and_what_it_asks_for() -> None:
    script = load("""
        import { emit } from "trimtab";
        export const source = "gps";
        export const where = "speed > 60";
        export const timeout = "200ms";
        export function handle(event, ctx) { emit("out", event.speed); }
    """)
    assert script.handlers == (HandlerSpec("handle", "gps", "speed > 60", 0.2),)
    assert emitted(handle(script, {"speed": 61})) == [(0, 61)]


def test_a_plain_script_defines_the_same_names_at_its_top_level() -> None:
    script = load("""
        var source = "gps"; const where = "x > 0"; let timeout = 2;
        const { emit } = require("trimtab");
        function handle(event) { with (event) { emit("out", x); } }
    """)
    assert script.handlers == (HandlerSpec("handle", "gps", "x > 0", 2.0),)
    assert emitted(handle(script, {"x": 5})) == [(0, 5)]


@pytest.mark.parametrize(
    "source",
    [
        'const { emit } = require("trimtab"); exports.handle = (event) => emit("out", event); exports.timeout = "1m";',
        'module.exports = { handle(event) { require("trimtab").emit("out", event); }, timeout: 60 };',
    ],
)
def test_a_commonjs_script_exports_them(source: str) -> None:
    script = load(source)
    assert script.handlers == (HandlerSpec("handle", timeout=60.0),)
    assert emitted(handle(script, 1)) == [(0, 1)]


def test_a_local_variable_of_a_commonjs_script_is_not_taken_for_what_it_asks_for() -> None:
    script = load("const source = 5, timeout = {}; module.exports = { handle() {} };")
    assert script.handlers == (HandlerSpec("handle"),)


@pytest.mark.parametrize(("name", "fails"), [("a.mjs", False), ("a.js", False), ("a.cjs", True)])
def test_the_ending_decides_the_form_before_the_content(name: str, fails: bool) -> None:
    source = "export function handle() {}"
    if not fails:
        load(source, name=name)
        return
    with pytest.raises(ScriptError, match="SyntaxError") as caught:
        load(source, name=name)
    assert place(caught.value.fault) == (name, 1, 1)


def test_an_mjs_file_is_strict() -> None:
    with pytest.raises(ScriptError, match="SyntaxError"):
        load("function handle(event) { with (event) {} }", name="a.mjs")


@pytest.mark.parametrize("source", ["export const x = 1;", "var x = 1;", "export const handle = 5;"])
def test_a_script_without_a_handler_is_refused_saying_what_was_expected(source: str) -> None:
    with pytest.raises(ScriptError, match=r"handle: expected a function handle\(event, ctx\)") as caught:
        load(source)
    assert caught.value.fault.file == "script.js"


@pytest.mark.parametrize(
    ("declaration", "message"),
    [
        ("timeout = {}", "timeout: expected seconds or a text such as"),
        ("timeout = 3n", "timeout: expected seconds or a text such as"),
        ("timeout = '3 parsecs'", "timeout: expected a duration"),
        ("timeout = -1", "timeout: expected a duration"),
        ("timeout = 0", "timeout: expected more than 0"),
        ("where = 3", "where: expected an expression"),
        ("source = ['gps']", "source: expected the name of a source"),
        ("open = 1", "open: expected a function"),
        ("close = 'x'", "close: expected a function"),
    ],
)
def test_what_a_script_asks_for_is_checked(declaration: str, message: str) -> None:
    with pytest.raises(ScriptError) as caught:
        load(f"export const {declaration}; export function handle() {{}}")
    assert message in caught.value.fault.message


@pytest.mark.parametrize(
    ("source", "where"),
    [
        ("function handle(event) {\n  let x = ;\n}", (2, 11)),
        ('import { emit } from "trimtab";\nexport function handle() {\n  emit(;\n}', (3, 8)),
        ("export function handle() {\n  let a = 1; let b = ;\n}\n", (2, 22)),
        ("export function handle() {\n  return one two;\n}\n", (2, 14)),
        ("throw new Error('not run');\nexport function handle( { ", (2, 25)),
    ],
)
def test_a_syntax_error_has_its_line_and_column(source: str, where: tuple[int, int]) -> None:
    with pytest.raises(ScriptError) as caught:
        load(source)
    assert caught.value.fault.name == "SyntaxError"
    assert place(caught.value.fault) == ("script.js", *where)


@pytest.mark.parametrize("head", ["", "export function handle() {}"])
def test_a_top_level_that_throws_refuses_the_script(head: str) -> None:
    with pytest.raises(ScriptError) as caught:
        load(f'{head}\n\nthrow new RangeError("nope");')
    assert (caught.value.fault.name, caught.value.fault.message) == ("RangeError", "nope")
    assert place(caught.value.fault)[:2] == ("script.js", 3)


@pytest.mark.parametrize("source", ["for (;;);", "export function handle() {}; for (;;);"])
def test_an_endless_top_level_is_stopped(source: str) -> None:
    with pytest.raises(ScriptError, match="TimeLimitExceeded"):
        load(source)


def test_top_level_await_is_awaited() -> None:
    script = load("""
        import { emit } from "trimtab";
        const factor = await Promise.resolve(3);
        export function handle(event) { emit("out", event * factor); }
    """)
    assert emitted(handle(script, 2)) == [(0, 6)]


@pytest.mark.parametrize("function", ["open", "close"])
@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("() { throw new Error('no database'); }", "Error: no database"),
        ("() { return Promise.reject(new Error('no database')); }", "Error: no database"),
        ("() { Promise.reject(new Error('left alone')); }", "Error: left alone"),
        ("() { return new Promise(() => {}); }", "a promise that nothing can settle"),
        ("() { for (;;); }", "TimeLimitExceeded"),
        ("() { const all = []; for (;;) all.push(new Array(10000).fill(0)); }", "MemoryLimitExceeded"),
    ],
)
def test_open_and_close_that_fail_are_reported(function: str, body: str, message: str) -> None:
    script = load(f"export function handle() {{}}\nexport function {function}{body}")
    if function == "close":
        script.open()
    with pytest.raises(ScriptError) as caught:
        getattr(script, function)()
    assert message in str(caught.value)
    assert caught.value.fault.file == "script.js"


def test_open_may_be_async_and_is_done_before_the_first_event() -> None:
    script = load("""
        import { emit } from "trimtab";
        let factor;
        export async function open() { factor = await 4; }
        export function handle(event) { emit("out", event * factor); }
    """)
    script.open()
    assert emitted(handle(script, 2)) == [(0, 8)]
    script.close()


def test_a_script_that_was_never_opened_is_not_closed() -> None:
    load("export function handle() {}; export function close() { throw new Error('closed'); }").close()


def test_a_script_that_is_not_utf_8_is_refused_with_the_line() -> None:
    lab = Lab()
    with pytest.raises(ScriptError, match=r"a\.js:2: UnicodeError: expected UTF-8 text, got byte 0xff"):
        lab.engine.load(Script.of("a.js", b"// one\n\xff"), {}, lab.host)


def test_two_scripts_share_nothing() -> None:
    first = load("globalThis.shared = 1; Array.prototype.more = 2; function handle() {}")
    second = load("""
        const { emit } = require("trimtab");
        function handle() { emit("out", [typeof shared, typeof [].more]); }
    """)
    handle(first, 1)
    assert emitted(handle(second, 1)) == [(0, ["undefined", "undefined"])]
