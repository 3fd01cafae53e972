"""What an extension of the prelude adds for some scripts, and how it changes what they define."""

from __future__ import annotations

from tests.javascript.javascript_support import Lab, emitted, handle
from trimtab.api import Script, ScriptInstance, ScriptObject
from trimtab.sandbox.javascript.engine import JavaScriptEngine
from trimtab.sandbox.javascript.instance import JavaScriptInstance
from trimtab.sandbox.javascript.session import Program
from trimtab.sandbox.javascript.sources import Source

EXTENSION = b"""
(extras, api, tools) => {
  globalThis.count = extras.counter.count;
  globalThis.seen = [Object.keys(extras), Object.keys(api), tools.text({ a: 1 }), tools.isThenable({ then() {} })];
  return { adopt: (names) => ({ ...names, handle: (text) => api.emit("out", names.processing_data(text)) }) };
}
"""


class Counter(ScriptObject):
    methods = frozenset({"count"})

    def __init__(self) -> None:
        self._count = 0

    def count(self) -> int:
        self._count += 1
        return self._count


def load(text: str, *, texts: bool) -> ScriptInstance:
    lab = Lab()
    script = Script.of("script.js", text.encode())
    return JavaScriptInstance(
        Program(
            script=script,
            sources={script.name: Source(script.name, text)},
            libraries={},
            host=lab.host,
            bindings={},
            prelude=JavaScriptEngine().prelude,
            extension=EXTENSION,
            extras={"counter": Counter()},
            texts=texts,
        )
    )


def test_an_extension_gives_a_script_other_names_and_takes_others_from_it() -> None:
    script = load(
        "var first = count(); function processing_data(event) { return [event.x, first, count(), seen]; }", texts=False
    )
    seen = [["counter"], ["emit", "settings", "pattern", "begin"], '{"a":1}', True]
    assert emitted(handle(script, {"x": 5}, {"x": 6})) == [(0, [5, 1, 2, seen]), (1, [6, 1, 3, seen])]


def test_a_script_can_get_the_texts_of_its_events() -> None:
    script = load("function processing_data(text) { return [typeof text, text]; }", texts=True)
    values = [{"x": 1.0, "\u00fc": None}, "a\nb", 7]
    run = handle(script, *values, selection=[0, 2])
    assert emitted(run) == [(0, ["string", '{"x": 1.0, "\\u00fc": null}']), (2, ["string", "7"])]


def test_a_fault_of_a_script_with_an_extension_has_its_place() -> None:
    script = load("\nfunction processing_data(event) {\n  null.x; }", texts=False)
    fault = handle(script, 1).faults[0]
    assert (fault.name, fault.file, fault.line) == ("TypeError", "script.js", 3)


def test_ordinary_scripts_find_nothing_of_it() -> None:
    script = Lab().load("const { emit } = require('trimtab'); function handle() { emit('out', typeof count); }")
    assert emitted(handle(script, 1)) == [(0, "undefined")]
