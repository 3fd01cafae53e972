"""Any bytes are a script or refused with a fault that says why; no source takes a process of ours with it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.e2e.project import Project, eventually, running
from tests.fuzz import nasty
from tests.fuzz.effort import EFFORT, effort
from trimtab.errors import ChangeRefused, Fault
from trimtab.testing import ScriptRunner

SCRIPTS = Path(__file__).parents[2] / "scripts"
TOKENS = re.compile(rb"\w+|\s+|.", re.DOTALL)

PYTHON_PIECES = (
    *("def ", "async ", "await ", "yield ", "lambda: ", "class A:", "return ", "raise ", "del ", "global x", "import "),
    *(
        "from . import ",
        "from _geo import *",
        "import _notify",
        "@handler",
        "handler(",
        "emit(",
        "handle",
        "(event, ctx):",
    ),
    *(
        "try:",
        "except* ",
        "finally:",
        "with ",
        "match x:",
        "case _:",
        "if ",
        "else:",
        "*",
        "**",
        ":=",
        "->",
        "...",
        "\\",
    ),
    *(
        "'''",
        '"',
        "f'{",
        "b'",
        "r'",
        "\\N{",
        "\\ud800",
        "0x",
        "1e",
        "1_",
        "9" * 50,
        "None",
        "__name__",
        "[",
        "]",
        "(",
        ")",
    ),
    *(
        "\n",
        "\n    ",
        "\n\t",
        "\r",
        "\f",
        "\0",
        "\ufeff",
        "# coding: latin-1\n",
        "# coding: x\n",
        "#",
        ";",
        ":",
        ",",
        "=",
        ".",
    ),
)
JAVASCRIPT_PIECES = (
    *(
        "function ",
        "async ",
        "await ",
        "yield ",
        "=> ",
        "class A ",
        "return ",
        "throw ",
        "delete ",
        "var ",
        "let ",
        "import ",
    ),
    *(
        "export ",
        "export default ",
        "from './_notify.js'",
        "import('./_x.js')",
        "require('trimtab')",
        "emit(",
        "handle",
    ),
    *(
        "(event, ctx) {",
        "try {",
        "catch ",
        "finally {",
        "new ",
        "typeof ",
        "void ",
        "in ",
        "of ",
        "if (",
        "else ",
        "...",
        "**",
    ),
    *(
        "`${",
        "}`",
        "/a/",
        "/[",
        "'",
        '"',
        "\\u{110000}",
        "\\ud800",
        "0x",
        "1e",
        "1_",
        "9n",
        "null",
        "this",
        "super",
        "#x",
    ),
    *(
        "{",
        "}",
        "(",
        ")",
        "[",
        "]",
        ";",
        ",",
        ":",
        "?.",
        "??=",
        "&&",
        "<!--",
        "-->",
        "#!",
        "//",
        "/*",
        "*/",
        "\0",
        "\ufeff",
    ),
    *("\n", "\u2028", "processing_data", "Object.prototype.x = 1", "static {", "get a() {", "with ({}) "),
)


def named(*suffixes: str) -> list[bytes]:
    return [path.read_bytes() for path in sorted(SCRIPTS.glob("*")) if path.suffix in suffixes]


LIBRARIES = {path.name: path.read_bytes() for path in SCRIPTS.glob("_*.*")}


def _slice(tokens: list[bytes], length: int, start: int) -> list[bytes]:
    return tokens[start : start + length]


@st.composite
def mutated(draw: st.DrawFn, scripts: list[bytes], pieces: tuple[str, ...]) -> bytes:
    """A real script with some of its tokens changed, taken out, moved or put in twice."""
    tokens = TOKENS.findall(draw(st.sampled_from(scripts)))
    for _ in range(draw(st.integers(1, 5))):
        start, length = draw(st.integers(0, len(tokens))), draw(st.integers(0, 6))
        new = draw(
            st.lists(st.sampled_from(pieces).map(str.encode), max_size=3)
            | st.binary(max_size=3).map(lambda found: [found])
            | st.just(tokens[start : start + length] * 2)
            | st.integers(0, len(tokens)).map(partial(_slice, tokens, length))
        )
        tokens[start : start + length] = new
    return b"".join(tokens)


def sources(scripts: list[bytes], pieces: tuple[str, ...]) -> st.SearchStrategy[bytes]:
    made = st.lists(st.sampled_from(pieces), max_size=25).map(" ".join)
    return mutated(scripts, pieces) | made.map(str.encode) | st.binary(max_size=60) | st.text().map(str.encode)


@pytest.fixture(scope="module")
def runner() -> Iterator[ScriptRunner]:
    with ScriptRunner() as runner:
        yield runner


def load(runner: ScriptRunner, files: Mapping[str, str | bytes]) -> None:
    """Deploy files; what comes of it is one of two things."""
    content = {name: source.encode() if isinstance(source, str) else source for name, source in files.items()}
    try:
        runner._deploy(content, {}, None)
    except ChangeRefused as refused:
        check(refused.faults, files)


def check(faults: Mapping[str, Fault], files: Mapping[str, str | bytes]) -> None:
    assert faults
    assert faults.keys() <= files.keys()
    for fault in faults.values():
        assert fault.name
        assert str(fault).encode()
        assert fault.line is None or fault.line >= 1
        assert fault.column is None or fault.column >= 1


@effort(200)
@given(sources(named(".py"), PYTHON_PIECES))
def test_any_bytes_are_a_python_script_or_refused(runner: ScriptRunner, source: bytes) -> None:
    load(runner, {**LIBRARIES, "fuzzed.py": source})


@effort(120)
@given(sources(named(".js"), JAVASCRIPT_PIECES))
def test_any_bytes_are_a_javascript_script_or_refused(runner: ScriptRunner, source: bytes) -> None:
    load(runner, {**LIBRARIES, "fuzzed.js": source})


@effort(50)
@given(sources(named(".py"), PYTHON_PIECES), sources(named(".py"), PYTHON_PIECES))
@example(b"from _b import *", b"from _a import *")
def test_any_bytes_are_libraries_that_import_each_other_or_refused(runner: ScriptRunner, a: bytes, b: bytes) -> None:
    script = "import _a\ndef handle(event, ctx): pass\n"
    load(runner, {"_a.py": a + b"\nimport _b\n", "_b.py": b + b"\nfrom _a import x\n", "fuzzed.py": script})


# --- what has broken interpreters ---

HANDLER = {
    "py": b"\ndef handle(event, ctx): pass\n",
    "js": b"\nexport function handle(event, ctx) {}\n",
    "ts": b"\nexport function handle(event: any) {}\n",
}
SCRIPTS_WITH_HANDLER = {
    name: source + (b"" if b"handle" in source else HANDLER[name[-2:]]) for name, source in nasty.scripts().items()
}
IN_PROCESS = sorted(SCRIPTS_WITH_HANDLER.keys() - nasty.KILLERS - (nasty.SLOW if EFFORT == 1 else frozenset()))


@pytest.mark.parametrize("name", IN_PROCESS)
def test_a_nasty_script_is_loaded_and_gets_events_or_is_refused(runner: ScriptRunner, name: str) -> None:
    with ScriptRunner(plugins=runner.plugins) as own:
        load(own, {**nasty.libraries(), name: SCRIPTS_WITH_HANDLER[name]})
        own.handle({"n": 1})


GOOD = "from trimtab import emit\ndef handle(event, ctx):\n    emit('out', event)\n"


@pytest.mark.timeout(600)
def test_a_host_refuses_what_kills_or_hangs_an_interpreter_and_runs_the_rest(tmp_path: Path) -> None:
    project = Project(tmp_path, lanes=1)
    tried = nasty.KILLERS if EFFORT == 1 else SCRIPTS_WITH_HANDLER.keys()
    for name, source in nasty.libraries().items():
        project.save(name, source)
    for name in tried:
        project.save(name, SCRIPTS_WITH_HANDLER[name])
    project.save("good.py", GOOD)
    with running(project):
        project.send("alive")
        eventually(lambda: project.emitted() == ["alive"], "the good script handles events")
        scripts = {script["name"]: script for script in project.status()["scripts"]}
        assert scripts.keys() == {"good.py", *tried}
        for name, script in scripts.items():
            assert (script["state"], bool(script["error"])) in {("active", False), ("rejected", True)}, name
        assert {name for name in nasty.KILLERS if scripts[name]["state"] == "rejected"} == nasty.KILLERS
        assert all(lane["restarts"] == 0 for lane in project.status()["lanes"])
