"""The engine with the real script engines: generations, dispatch, faults, replay."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
import pytest

from trimtab.engine.batch import Batch, SourceSpec
from trimtab.engine.engine import Engine, Plan
from trimtab.engine.result import BatchResult
from trimtab.engine.script import LogEntry, Script, ScriptHost
from trimtab.errors import ChangeRefused, Fault, ScriptError
from trimtab.plugins.log import LogBinding
from trimtab.sandbox.javascript import JavaScriptEngine
from trimtab.sandbox.limits import SignalLimits
from trimtab.sandbox.python import PythonEngine

LIFE_PY = """
from trimtab import emit, log, settings
from _lib import LIB
def open(): log.info("open {v}")
def handle(event, ctx): emit("out", [ctx.script, {v}, LIB, settings.get("limit"), event["n"], ctx.generation])
def close(): log.info("close {v}")
"""
LIFE_JS = """
import {{ emit, log, settings }} from "trimtab";
import {{ LIB }} from "./_lib.js";
export function open() {{ log.info("open {v}"); }}
export function handle(event, ctx) {{
  emit("out", [ctx.script, {v}, LIB, settings.get("limit"), event.n, ctx.generation]);
}}
export function close() {{ log.info("close {v}"); }}
"""
LIBRARIES = {"life.py": ("_lib.py", "LIB = {}\n"), "life.js": ("_lib.js", "export const LIB = {};\n")}
LIVES = {"life.py": LIFE_PY, "life.js": LIFE_JS}


class Running:
    """An engine and its log."""

    def __init__(self) -> None:
        self.entries: list[LogEntry] = []
        sources = {"gps": SourceSpec(key="key"), "other": SourceSpec()}
        host = ScriptHost(
            sources=frozenset(sources),
            sinks=frozenset({"out"}),
            limits=SignalLimits(),
            log=self.entries.append,
            bindings=[LogBinding()],
        )
        self.engine = Engine([PythonEngine(), JavaScriptEngine()], host, sources, lambda: 1000)

    def plan(self, files: Mapping[str, str | None], *, reload: list[str] | None = None, **settings: Any) -> Plan:
        """The way to the next generation: these files change (None: go), these scripts are loaded."""
        upserts = {name: text.encode() for name, text in files.items() if text is not None}
        scripts = [name for name in upserts if not name.startswith("_")]
        deletes = [name for name, text in files.items() if text is None]
        return Plan(self.engine.generation + 1, upserts, deletes, reload or scripts, settings or None)

    def run(self, files: Mapping[str, str | None], *, reload: list[str] | None = None, **settings: Any) -> None:
        """Commit a change."""
        self.engine.prepare(self.plan(files, reload=reload, **settings))
        self.engine.commit()

    def process(self, *events: Any, source: str = "gps", **fields: Any) -> BatchResult:
        return self.engine.process(batch(*map(msgspec.json.encode, events), source=source, **fields))

    def out(self, *events: Any, **fields: Any) -> list[Any]:
        """What comes out of events. None may fail."""
        result = self.process(*events, **fields)
        assert result.failed == []
        return values(result)

    def logged(self) -> list[str]:
        """What was logged since the last time."""
        messages = [entry.message for entry in self.entries]
        self.entries.clear()
        return messages


def batch(*lines: bytes, **fields: Any) -> Batch:
    data = b"\n".join(lines)
    given: dict[str, Any] = {"id": 1, "generation": 1, "source": "gps", "data": data, "count": len(lines), "arrival": 9}
    return Batch(**given | fields)


def values(result: BatchResult) -> list[Any]:
    return [msgspec.json.decode(line) for line in result.emitted["out"].data.splitlines()] if result.emitted else []


@pytest.fixture
def running() -> Iterator[Running]:
    running = Running()
    yield running
    running.engine.close()


def emits(what: str) -> str:
    return f'from trimtab import emit\ndef handle(event, ctx):\n    emit("out", [{what!r}, event["n"]])\n'


def emits_js(what: str) -> str:
    return f'import {{ emit }} from "trimtab";\nexport function handle(e) {{ emit("out", ["{what}", e.n]); }}\n'


# --- generations ---


@pytest.mark.parametrize("name", list(LIVES))
def test_a_prepared_generation_handles_nothing_until_it_is_committed(running: Running, name: str) -> None:
    library, text = LIBRARIES[name]
    running.run({name: LIVES[name].format(v=1), library: text.format(1)}, limit=10)
    assert running.out({"n": 0}) == [[name, 1, 1, 10, 0, 1]]
    running.engine.prepare(running.plan({name: LIVES[name].format(v=2), library: text.format(2)}, limit=20))
    assert running.out({"n": 1}) == [[name, 1, 1, 10, 1, 1]]
    running.engine.commit()
    assert running.engine.generation == 2
    assert running.out({"n": 2}, generation=2) == [[name, 2, 2, 20, 2, 2]]
    assert running.logged() == ["open 1", "open 2"], "the old version is closed when there is time"
    closed = running.engine.close_retired()
    assert closed is not None
    assert (closed[0].name, closed[1], running.logged()) == (name, None, ["close 1"])
    assert running.engine.close_retired() is None


@pytest.mark.parametrize("name", list(LIVES))
def test_an_aborted_generation_leaves_no_trace(running: Running, name: str) -> None:
    library, text = LIBRARIES[name]
    running.run({name: LIVES[name].format(v=1), library: text.format(1)}, limit=10)
    running.engine.prepare(running.plan({name: LIVES[name].format(v=2), library: text.format(2)}, limit=20))
    running.engine.abort()
    with pytest.raises(RuntimeError):
        running.engine.commit()
    assert running.out({"n": 0}) == [[name, 1, 1, 10, 0, 1]]
    assert running.engine.close_retired() is not None
    assert running.logged() == ["open 1", "open 2", "close 2"]


@pytest.mark.parametrize("name", list(LIVES))
def test_a_library_and_settings_change_without_the_script(running: Running, name: str) -> None:
    library, text = LIBRARIES[name]
    running.run({name: LIVES[name].format(v=1), library: text.format(1)}, limit=10)
    running.run({library: text.format(2)}, reload=[name])
    assert running.out({"n": 0}) == [[name, 1, 2, 10, 0, 1]]
    running.run({}, limit=30)
    assert running.out({"n": 0}) == [[name, 1, 2, 30, 0, 1]]
    assert running.logged() == ["open 1", "open 1"], "settings alone reload nothing"
    running.run({name: None})
    assert running.out({"n": 0}) == []


@pytest.mark.parametrize(
    ("name", "bad", "fault"),
    [
        ("bad.py", "def handle(event, ctx: pass", "SyntaxError"),
        ("bad.py", "def open(): 1 / 0\ndef handle(event, ctx): pass", "ZeroDivisionError"),
        ("bad.py", "x = 1", "ScriptError"),
        ("bad.js", "export function handle( {", "SyntaxError"),
        ("bad.js", "export function open() { throw new RangeError('no'); }\nexport function handle() {}", "RangeError"),
        ("bad.js", "export const source = 'gsp'; export function handle() {}", "UnknownSource"),
        ("bad.py", "where = 'n >'\ndef handle(event, ctx): pass", "ExpressionError"),
        ("bad.rb", "puts 1", "UnknownLanguage"),
    ],
)
def test_a_refused_generation_changes_nothing(running: Running, name: str, bad: str, fault: str) -> None:
    running.run({"good.py": emits("old")}, limit=1)
    with pytest.raises(ChangeRefused) as refused:
        running.engine.prepare(running.plan({"good.py": emits("new"), name: bad}, limit=2))
    assert {script: f.name for script, f in refused.value.faults.items()} == {name: fault}
    assert running.out({"n": 0}) == [["old", 0]]
    loaded, faults = running.engine.check(running.plan({"good.py": emits("new"), name: bad}))
    assert set(loaded) | set(faults) == {"good.py", name}
    running.run({"good.py": emits("newer")})
    assert running.out({"n": 0}) == [["newer", 0]]


def test_a_script_that_cannot_be_restored_stands_in_with_its_fault_for_its_events(running: Running) -> None:
    files = {
        "needs.py": 'where = "n > 0"\nsource = "gps"\ndef open(): open_it\ndef handle(event, ctx): pass\n',
        "broken.js": "export function handle( {",
        "dead.py": emits("never"),
        "good.js": emits_js("good"),
    }
    entered: list[str] = []
    plan = running.plan(files)
    faults, changes = running.engine.restore(plan, {"dead.py": Fault("LaneDied", "twice")}, entered.append)
    assert changes == []
    assert {name: fault.name for name, fault in faults.items()} == {
        "broken.js": "SyntaxError",
        "dead.py": "LaneDied",
        "needs.py": "NameError",
    }
    assert entered == ["broken.js", "good.js", "needs.py"]
    assert running.engine.generation == plan.generation
    result = running.process({"n": 0}, {"n": 1})
    assert values(result) == [["good", 0], ["good", 1]]
    failed = sorted((f.script, f.payload, f.fault.name) for f in result.failed)
    assert failed == [
        ("broken.js", b'{"n":0}', "SyntaxError"),
        ("broken.js", b'{"n":1}', "SyntaxError"),
        ("dead.py", b'{"n":0}', "LaneDied"),
        ("dead.py", b'{"n":1}', "LaneDied"),
        ("needs.py", b'{"n":1}', "NameError"),
    ]
    assert {f.version for f in result.failed} == {Script.of(n, files[n].encode()).version for n in faults}
    running.run({name: emits_js("healed") if name.endswith("js") else emits("healed") for name in faults})
    assert running.out({"n": 2}) == [["healed", 2], ["healed", 2], ["good", 2], ["healed", 2]]


def test_closing_closes_everything_and_tells_what_failed(running: Running) -> None:
    running.run(
        {"a.py": emits("a") + "def close(): 1 / 0\n", "b.js": emits_js("b") + "export function close() { no(); }"}
    )
    running.engine.prepare(running.plan({"c.py": emits("c") + "def close(): no\n"}))
    closed = {script.name: fault and fault.name for script, fault in running.engine.close()}
    assert closed == {"a.py": "ZeroDivisionError", "b.js": "ReferenceError", "c.py": "NameError"}
    assert running.engine.close() == []


# --- events ---


def test_handlers_run_in_path_order_for_each_event(running: Running) -> None:
    two = """
from trimtab import emit, handler
@handler(where="n > 0")
def z(event, ctx): emit("out", ["z", event["n"]])
@handler(source="other")
def y(event, ctx): emit("out", ["y", event["n"]])
@handler
def x(event, ctx): emit("out", ["x", event["n"]])
"""
    running.run({"b.js": emits_js("b"), "a/a.py": emits("a/a"), "a.js": emits_js("a"), "c.py": two})
    assert [row[0] for row in running.out({"n": 0}, {"n": 1})] == ["a", "a/a", "b", "x", "a", "a/a", "b", "z", "x"]
    assert [row[0] for row in running.out({"n": 0}, source="other")] == ["a", "a/a", "b", "y", "x"]


@pytest.mark.parametrize("name", ["where.py", "where.js"])
def test_a_filter_sees_the_event_as_it_came_and_false_keeps_the_handler_out(running: Running, name: str) -> None:
    where = {
        "where.py": 'where = "n > 1 && text"\n' + emits("w"),
        "where.js": 'export const where = "n > 1 && text";' + emits_js("w"),
    }
    spoil = 'def handle(event, ctx):\n    event["n"] = 100\n    event["text"] = True\n'
    running.run({name: where[name], "a.py": spoil})
    result = running.process({"n": 1, "text": True}, {"n": 2}, {"n": 3, "text": True}, 4, "text", None)
    assert values(result) == [["w", 3]]
    assert result.scripts[name].handled == 1
    assert running.process({"n": 1}).scripts.keys() == {"a.py"}


def test_only_and_skip_choose_scripts_and_entering_tells_each(running: Running) -> None:
    running.run({"a.py": emits("a"), "b.js": emits_js("b"), "c.py": emits("c")})
    assert [row[0] for row in running.out({"n": 0}, only="b.js")] == ["b"]
    assert [row[0] for row in running.out({"n": 0}, skip=("a.py", "b.js"))] == ["c"]
    assert running.out({"n": 0}, only="b.js", skip=("b.js",)) == []
    assert running.out({"n": 0}, only="none.py") == []
    entered: list[str] = []
    running.engine.process(batch(b'{"n":1}'), lambda script, _timer=None: entered.append(script))
    assert entered == ["a.py", "b.js", "c.py"]


@pytest.mark.parametrize("scripts", [{"a.js": emits_js("x")}, {"a.py": emits("x")}], ids=["text", "decoded"])
def test_invalid_records_are_split_off_and_the_others_keep_their_places(running: Running, scripts: Any) -> None:
    running.run(scripts)
    deep = b"[" * 100_000 + b"]" * 100_000
    lines = [b'{"n":0}', b"{", b'{"n":1}', b'"\xff"', b"", b'{"n":2} {}', deep, b'{"n":3}']
    result = running.engine.process(batch(*lines, start=100, partition="p"))
    assert values(result) == [["x", 0], ["x", 1], ["x", 3]]
    offsets = [100 + sum(len(line) + 1 for line in lines[:i]) for i in range(len(lines))]
    assert [(f.payload, f.position, f.script, f.fault.name) for f in result.failed] == [
        (lines[i], offsets[i], None, "CodecError") for i in (1, 3, 5, 6)
    ]
    assert [f.event_id for f in result.failed] == [f"gps:p:{offsets[i]}" for i in (1, 3, 5, 6)]
    result = running.engine.process(batch(b"{", b"}", positions=[7, 9]))
    assert ([f.position for f in result.failed], result.emitted) == ([7, 9], {})


def test_a_failure_keeps_neither_other_events_nor_other_handlers_from_running(running: Running) -> None:
    bad = (
        'from trimtab import emit\ndef handle(event, ctx):\n    emit("out", "never")\n    raise KeyError(event["n"])\n'
    )
    bad_js = 'import { emit } from "trimtab";\nexport function handle(e) { emit("out", 1); if (e.n) no(); }\n'
    running.run({"a.py": bad, "b.js": bad_js, "c.py": emits("c")})
    result = running.process({"n": 0, "key": "k"}, {"n": 1})
    assert values(result) == [1, ["c", 0], ["c", 1]]
    failed = {(f.script, f.payload): (f.fault.name, f.fault.line, f.key) for f in result.failed}
    assert failed == {
        ("a.py", b'{"n":0,"key":"k"}'): ("KeyError", 4, b'"k"'),
        ("a.py", b'{"n":1}'): ("KeyError", 4, b"null"),
        ("b.js", b'{"n":1}'): ("ReferenceError", 2, b"null"),
    }
    counts = {name: (count.handled, count.failed) for name, count in result.scripts.items()}
    assert counts == {"a.py": (0, 2), "b.js": (1, 1), "c.py": (2, 0)}


# --- replay ---


@pytest.mark.parametrize("name", list(LIVES))
def test_a_version_that_does_not_run_handles_a_replay_alone_and_is_closed(running: Running, name: str) -> None:
    library, text = LIBRARIES[name]
    running.run({name: LIVES[name].format(v=2), library: text.format(5), "a.py": emits("a")}, limit=1)
    running.logged()
    old = Script.of(name, LIVES[name].format(v=1).encode())
    result = running.engine.replay(batch(b'{"n":7}', positions=[3]), old)
    assert values(result) == [[name, 1, 5, 1, 7, 1]]
    assert running.engine.close_retired() is not None
    assert running.logged() == ["open 1", "close 1"]
    assert [row[:2] for row in running.out({"n": 8})] == [["a", 8], [name, 2]]


def test_a_replay_tells_what_fails(running: Running) -> None:
    running.run({"a.py": emits("a")})
    failing = Script.of("a.py", b"def handle(event, ctx): 1 / 0")
    (failed,) = running.engine.replay(batch(b'{"n":7}', positions=[3]), failing).failed
    assert (failed.fault.name, failed.version, failed.position) == ("ZeroDivisionError", failing.version, 3)
    for source in (b"def handle(", b"def open(): 1 / 0\ndef handle(event, ctx): pass"):
        with pytest.raises(ScriptError):
            running.engine.replay(batch(b'{"n":7}'), Script.of("a.py", source))
    assert running.out({"n": 1}) == [["a", 1]]
