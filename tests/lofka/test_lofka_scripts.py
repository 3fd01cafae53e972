"""Scripts in Lofka mode: when they are, and how they run."""

from __future__ import annotations

import pytest

from trimtab.errors import ChangeRefused
from trimtab.testing.scripts import ScriptRunner


def logged(runner: ScriptRunner) -> list[tuple[str, str]]:
    return [(entry.level, entry.message) for entry in runner.logged]


def messages(runner: ScriptRunner) -> list[str]:
    return [entry.message for entry in runner.logged]


# --- which scripts ---


def test_a_global_processing_data_makes_a_lofka_script() -> None:
    with ScriptRunner() as runner:
        runner.load(a__js="processing_data = function (text) { print(typeof text, text) }")
        assert runner.handle({"a": 1}).faults == []
        assert messages(runner) == ['string {"a":1}']


def test_a_script_with_handle_is_none_whatever_it_mentions() -> None:
    source = "// was: function processing_data(text) {}\nfunction handle(event) { console.log(typeof event, typeof $) }"
    with ScriptRunner() as runner:
        runner.load(a__js=source)
        runner.handle({"a": 1})
        assert messages(runner) == ["object undefined"]


def test_a_module_is_none() -> None:
    with ScriptRunner() as runner, pytest.raises(ChangeRefused, match="handle"):
        runner.load(a__js='import { log } from "trimtab";\nfunction processing_data(text) {}')


def test_without_processing_data_the_top_level_runs_and_events_pass_by() -> None:
    with ScriptRunner() as runner:
        runner.load(a__js="async_execute(function () { print('top') });")
        assert messages(runner) == ["top", "no function processing_data is defined: events pass by this script"]
        assert runner.handle({"a": 1}).faults == []


def test_a_processing_data_that_is_no_function_fails_every_event() -> None:
    with ScriptRunner() as runner:
        runner.load(a__js="var processing_data = 1;")
        (fault,) = runner.handle({"a": 1}).faults
        assert fault.message == "processing_data: expected a function of that name, got number"


def test_a_syntax_error_is_told_with_its_place() -> None:
    with ScriptRunner() as runner, pytest.raises(ChangeRefused) as refused:
        runner.load(a__js="function processing_data(text) {\n  for each (var x in []) {}\n}")
    fault = refused.value.faults["a.js"]
    assert (fault.name, fault.file, fault.line) == ("SyntaxError", "a.js", 2)


# --- the text of the event ---


def test_the_text_is_the_one_that_came() -> None:
    with ScriptRunner() as runner:
        runner.load(a__js="function processing_data(text) { print(text) }")
        runner.handle({"n": 12345678901234567890, "t": "é\u2028\\", "x": [1.0, None]})
        assert messages(runner) == ['{"n":12345678901234567890,"t":"é\u2028\\\\","x":[1.0,null]}']


# --- open and close ---


def test_open_and_close_are_called_and_may_be_missing() -> None:
    with ScriptRunner() as runner:
        runner.load(
            a__js="function open() { print('open') }\nfunction processing_data() {}\nfunction close() { print('close') }"
        )
        runner.load(b__js="function processing_data() {}")
        assert runner.close() == []
        assert messages(runner) == ["open", "close"]


def test_what_open_has_left_to_do_is_done_before_it_counts_as_done() -> None:
    source = "function open() { async_execute(function () { throw new Error('late') }) }\nfunction processing_data() {}"
    with ScriptRunner() as runner, pytest.raises(ChangeRefused, match=r"a\.js:1:\d+: Error: late"):
        runner.load(a__js=source)


# --- the language, as Nashorn has it ---


def test_the_code_is_sloppy_and_global() -> None:
    source = """
var counter = 010;                 // octal
implicit = 1;                      // no declaration
with ({ inside: 2 }) { counter += inside; }
print(this.counter, early(), typeof globalThis.processing_data, __global_eval("counter + implicit"));
function early() { return arguments.callee.name; }
function processing_data(text) { counter++; return null; }
function close() { print(this.counter); }
"""
    with ScriptRunner() as runner:
        runner.load(a__js=source)
        runner.handle(1, 2)
        runner.close()
        assert messages(runner) == ["10 early function 11", "12"]


def test_names_of_lofka_may_be_taken_for_something_else() -> None:
    source = "var $ = 1, open = null, sleep = 'z', org = {a: 2};\nfunction console() {}\nfunction processing_data() { print($, sleep, org.a) }"
    with ScriptRunner() as runner:
        runner.load(a__js=source)
        assert runner.handle(1).faults == []
        assert messages(runner) == ["1 z 2"]


def test_const_and_let_are_found_too() -> None:
    with ScriptRunner() as runner:
        runner.load(a__js="const processing_data = (text) => { print(text) };")
        runner.handle(7)
        assert messages(runner) == ["7"]


def test_processing_data_may_be_replaced_while_it_runs() -> None:
    with ScriptRunner() as runner:
        runner.load(a__js="function processing_data() { print(1); processing_data = function () { print(2) } }")
        runner.handle(1, 2)
        assert messages(runner) == ["1", "2"]


def test_texts_know_their_beginning_and_end() -> None:
    with ScriptRunner() as runner:
        runner.load(
            a__js="function processing_data(text) { print('online/x'.startsWith('online'), 'a.js'.endsWith('.js')) }"
        )
        runner.handle(1)
        assert messages(runner) == ["true true"]


# --- log ---


def test_the_console_writes_to_the_log() -> None:
    source = """
function processing_data(text) {
  console.log("a"); console.warn("b"); console.err("c"); console.error("d", {x: 1});
  [{ y: 2 }].forEach(console.logJSON); console.warnJSON([]); console.errJSON("e");
}"""
    with ScriptRunner() as runner:
        runner.load(a__js=source)
        assert runner.handle(1).faults == []
        entries = [("info", "a"), ("warn", "b"), ("error", "c"), ("error", 'd {"x":1}')]
        assert logged(runner) == [*entries, ("info", '{\n  "y": 2\n}'), ("warn", "[]"), ("error", '"e"')]
        assert {(entry.script, bool(entry.version)) for entry in runner.logged} == {("a.js", True)}


# --- asynchronous work ---


def test_asynchronous_work_is_done_in_order_after_the_function_and_before_the_next_event() -> None:
    source = """
function processing_data(text) {
  async_execute(function () { print(text + " first"); async_execute(function () { print(text + " third") }) });
  async_execute(function () { sleep(1); print(text + " second") });
  print(text + " returns");
}"""
    with ScriptRunner() as runner:
        runner.load(a__js=source)
        runner.handle(1, 2)
        order = ["returns", "first", "second", "third"]
        assert messages(runner) == [f"{event} {what}" for event in (1, 2) for what in order]


def test_an_error_in_asynchronous_work_fails_the_event_and_the_rest_is_done() -> None:
    source = """
function processing_data(text) {
  async_execute(function () { throw new Error("async " + text) });
  async_execute(function () { print("after " + text) });
  if (text === "2") throw new Error("own 2");
  return text;
}"""
    with ScriptRunner(settings={"lofka": {"sink": "out"}}) as runner:
        runner.load(a__js=source)
        handled = runner.handle(1, 2)
        assert [(fault.message, fault.line) for fault in handled.faults] == [("async 1", 3), ("own 2", 5)]
        assert (messages(runner), handled.emitted) == (["after 1", "after 2"], [])


def test_sleep_ends_with_the_time_limit_and_so_does_what_is_left_to_do() -> None:
    source = """
function processing_data(text) {
  if (text === "1") { async_execute(function () { print("never") }); sleep(60000); }
  print(text);
}"""
    with ScriptRunner(settings={"lofka": {"timeout": "100ms"}}) as runner:
        runner.load(a__js=source)
        handled = runner.handle(1, 2)
        assert [fault.name for fault in handled.faults] == ["TimeLimitExceeded"]
        assert messages(runner) == ["2"]


def test_a_time_limit_that_is_none_is_refused() -> None:
    with (
        ScriptRunner(settings={"lofka": {"timeout": "soon"}}) as runner,
        pytest.raises(ChangeRefused, match=r"lofka\.timeout"),
    ):
        runner.load(a__js="function processing_data() {}")


def test_a_script_of_lofka_may_have_names_that_are_options_elsewhere() -> None:
    with ScriptRunner() as runner:
        runner.load(a__js="var timeout = 0, source = 'x', where = {};\nfunction processing_data() { print(1) }")
        assert runner.handle(1).faults == []
        assert messages(runner) == ["1"]


# --- results ---


def test_a_returned_text_goes_to_the_sink_of_the_settings() -> None:
    with ScriptRunner(settings={"lofka": {"sink": "out"}}) as runner:
        runner.load(a__js="function processing_data(text) { return JSON.parse(text).n ? 'n=' + text : null }")
        assert runner.handle({"n": 1}, {"n": 0}, {"n": 2}).emitted == ['n={"n":1}', 'n={"n":2}']


def test_without_a_sink_for_it_the_text_is_dropped_with_one_warning() -> None:
    with ScriptRunner() as runner:
        runner.load(a__js="function processing_data(text) { return text }")
        handled = runner.handle(1, 2)
        assert (handled.emitted, handled.faults) == ([], [])
        ((level, message),) = logged(runner)
        assert level == "warn"
        assert "[sinks.lofka]" in message


def test_a_sink_of_the_settings_that_is_not_there_fails_the_event() -> None:
    with ScriptRunner(settings={"lofka": {"sink": "nowhere"}}) as runner:
        runner.load(a__js="function processing_data(text) { return text }")
        (fault,) = runner.handle(1).faults
        assert 'unknown sink "nowhere"' in fault.message


# --- places ---


def test_an_error_is_told_with_its_place() -> None:
    source = "var limit = 1;\n\nfunction processing_data(text) {\n  check(JSON.parse(text));\n}\nfunction check(data) {\n  data.missing.x();\n}"
    with ScriptRunner() as runner:
        runner.load(a__js=source)
        (fault,) = runner.handle({"a": 1}).faults
        assert (fault.name, fault.file, fault.line) == ("TypeError", "a.js", 7)


def test_an_error_at_the_top_level_is_told_with_its_place() -> None:
    with ScriptRunner() as runner, pytest.raises(ChangeRefused) as refused:
        runner.load(a__js="function processing_data() {}\nvar x = 1;\nnothing.there();")
    fault = refused.value.faults["a.js"]
    assert (fault.name, fault.line) == ("ReferenceError", 3)


def test_code_made_while_running_is_no_place_of_the_script() -> None:
    source = "function processing_data(text) {\n  __global_eval('boom()');\n}\n__global_eval('function boom() {\\n throw new Error(1) }');"
    with ScriptRunner() as runner:
        runner.load(a__js=source)
        (fault,) = runner.handle(1).faults
        assert (fault.file, fault.line) == ("a.js", 2)


# --- the JVM ---


@pytest.mark.parametrize(
    ("code", "replacement"),
    [
        ('Java.type("java.lang.Thread")', r"sleep\(milliseconds\) or async_execute"),
        ("Thread.sleep(10)", r"sleep\(milliseconds\)"),
        ("new java.util.Date()", r"new Date\(\)"),
        ("java.lang.System.currentTimeMillis()", r"Date\.now\(\)"),
        ("new java.util.ArrayList()", r"an array \[\]"),
        ('Java.type("org.apache.http.client.HttpClient")', "syncHttp"),
        ("Packages.redis.clients.jedis.Jedis('h')", "new RedisCluster"),
        ("new JavaImporter(java.io)", r"docs/lofka\.md"),
        ('Java.type("com.example.Own")', r"com\.example\.Own is an object of the JVM.*docs/lofka\.md"),
        ("new MongoClient({}).get_connection()", "new MongoClient"),
    ],
)
def test_objects_of_the_jvm_are_refused_with_what_to_use(code: str, replacement: str) -> None:
    with ScriptRunner() as runner:
        runner.load(a__js=f"function processing_data(text) {{ {code} }}")
        (fault,) = runner.handle(1).faults
        assert fault.name == "TypeError"
        with pytest.raises(AssertionError, match=replacement):
            raise AssertionError(fault.message)


# --- libraries ---


def test_load_library_knows_those_of_lofka_and_complains_about_others() -> None:
    with ScriptRunner() as runner:
        runner.load(
            a__js="load_library('libHttp'); load_library('libSQL.js'); load_library('own');\nfunction processing_data() {}"
        )
        ((level, message),) = logged(runner)
        assert level == "error"
        assert 'load("./_own")' in message


def test_a_library_beside_the_script_is_loaded_into_the_global_scope() -> None:
    library = "var shared = 40;\nfunction add(n) {\n  if (n < 0) throw new Error('negative');\n  return shared + n;\n}"
    script = "var base = 2;\nload('./_common.js');\nfunction processing_data(text) {\n  print(add(base), shared);\n  add(-1);\n}"
    with ScriptRunner() as runner:
        runner.load(_common__js=library, a__js=script)
        (fault,) = runner.handle(1).faults
        assert messages(runner) == ["42 40"]
        assert (fault.message, fault.file, fault.line) == ("negative", "a.js", 5)


def test_a_library_that_is_not_there_is_refused() -> None:
    with ScriptRunner() as runner, pytest.raises(ChangeRefused, match=r"load: expected a URL .* got '_common\.js'"):
        runner.load(a__js="load('_common.js');\nfunction processing_data() {}")
