"""Promise 2: a bad change is refused with its place and reason, and the old generation runs on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.e2e.project import Numbers, Project, running

GOOD = {
    "work.js": """
import { emit } from "trimtab";
export function handle(event) { emit("out", ["v1", event.n]); }
""",
    "work.py": """
from trimtab import emit
def handle(event, ctx):
    emit("out", ["v1", event["n"]])
""",
}
USES_LIBRARY = {
    "work.js": """
import { emit } from "trimtab";
import { VERSION } from "./_lib.js";
export function handle(event) { emit("out", [VERSION, event.n]); }
""",
    "_lib.js": """export const VERSION = "v1";\n""",
    "work.py": """
from trimtab import emit
from _lib import VERSION
def handle(event, ctx):
    emit("out", [VERSION, event["n"]])
""",
    "_lib.py": """VERSION = "v1"\n""",
}
NEXT_JS = 'import { emit } from "trimtab";\nexport function handle(event) { emit("out", ["v2", event.n]); }\n'
NEXT_PY = 'from trimtab import emit\ndef handle(event, ctx):\n    emit("out", ["v2", event["n"]])\n'


@dataclass(frozen=True)
class Bad:
    """A change that must be refused. ``error``: what the script's error begins with (its place) and what it says."""

    what: str
    script: str
    change: Mapping[str, str | bytes | None]
    error: tuple[str, ...]
    before: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.script}: {self.what}"


def script(what: str, name: str, source: str | bytes, *error: str) -> Bad:
    """A script that replaces a good one."""
    return Bad(what, name, {name: source}, error, {name: GOOD[name]})


def library(what: str, name: str, source: str | None, *error: str) -> Bad:
    """A library that replaces a good one, which a script uses."""
    suffix = name.rpartition(".")[2]
    before = {file: text for file, text in USES_LIBRARY.items() if file.endswith(suffix)}
    return Bad(what, f"work.{suffix}", {name: source}, error, before)


BAD = [
    script("syntax error", "work.js", NEXT_JS + "export const x = ;\n", "work.js:3:18: SyntaxError: "),
    script("syntax error", "work.py", NEXT_PY + "x = = 1\n", "work.py:4:5: SyntaxError: "),
    script(
        "exception at the top level",
        "work.js",
        NEXT_JS + 'throw new TypeError("out of order");\n',
        "work.js:3:",
        "TypeError: out of order",
    ),
    script(
        "exception at the top level",
        "work.py",
        NEXT_PY + 'raise ValueError("out of order")\n',
        "work.py:4:1: ValueError: out of order",
    ),
    script(
        "open() that throws",
        "work.js",
        NEXT_JS + 'export function open() {\n  throw new Error("no database");\n}\n',
        "work.js:4:",
        "Error: no database",
    ),
    script(
        "open() that throws",
        "work.py",
        NEXT_PY + 'def open():\n    raise ConnectionError("no database")\n',
        "work.py:5:5: ConnectionError: no database",
    ),
    script(
        "open() that loops",
        "work.js",
        NEXT_JS + "export function open() {\n  while (true) {}\n}\n",
        "work.js:",
        "TimeLimitExceeded",
    ),
    script(
        "open() that loops",
        "work.py",
        NEXT_PY + "def open():\n    while True:\n        pass\n",
        "work.py:",
        "TimeLimitExceeded",
    ),
    script(
        "open() that sleeps",
        "work.py",
        NEXT_PY + "def open():\n    import time\n    time.sleep(60)\n",
        "work.py:6:5: TimeLimitExceeded",
    ),
    script("endless top level", "work.js", NEXT_JS + "while (true) {}\n", "work.js", "TimeLimitExceeded"),
    script("endless top level", "work.py", NEXT_PY + "while True:\n    pass\n", "work.py:", "TimeLimitExceeded"),
    script("no handler", "work.js", "export const x = 1;\n", "work.js: ", "expected", "handle"),
    script("no handler", "work.py", "x = 1\n", "work.py: ", "expected a function handle(event, ctx)"),
    script(
        "unknown source",
        "work.js",
        NEXT_JS + 'export const source = "gsp";\n',
        "work.js: UnknownSource: ",
        "got 'gsp'; did you mean 'gps'?",
    ),
    script(
        "unknown source",
        "work.py",
        NEXT_PY + 'source = "gsp"\n',
        "work.py: UnknownSource: ",
        "got 'gsp'; did you mean 'gps'?",
    ),
    script(
        "wrong where",
        "work.js",
        NEXT_JS + 'export const where = "n >> 1";\n',
        "work.js: ExpressionError: where = 'n >> 1': column 4: expected",
    ),
    script(
        "wrong where",
        "work.py",
        NEXT_PY + 'where = "n >> 1"\n',
        "work.py: ExpressionError: where = 'n >> 1': column 4: expected",
    ),
    script(
        "missing library",
        "work.js",
        'import { x } from "./_missing.js";\n' + NEXT_JS,
        "work.js:1:",
        "./_missing.js",
    ),
    script("missing library", "work.py", NEXT_PY + "import _missing\n", "work.py:4:1: ModuleNotFoundError", "_missing"),
    script("too large", "work.js", NEXT_JS + "//" * (1 << 19), "work.js: FileTooLarge: expected at most 1048576 bytes"),
    script("too large", "work.py", NEXT_PY + "##" * (1 << 19), "work.py: FileTooLarge: expected at most 1048576 bytes"),
    script("not UTF-8", "work.js", NEXT_JS.encode() + b'// "\xff"\n', "work.js:3: NotUtf8: expected UTF-8", "0xff"),
    script("not UTF-8", "work.py", NEXT_PY.encode() + b'# "\xff"\n', "work.py:4: NotUtf8: expected UTF-8", "0xff"),
    script(
        "ends its process at the top level",
        "work.py",
        NEXT_PY + "import os\nos._exit(1)\n",
        "work.py: CheckFailed: ",
        "ended with exit code 1",
    ),
    script(
        "aborts its process at the top level",
        "work.py",
        NEXT_PY + "import os\nos.abort()\n",
        "work.py: CheckFailed: ",
        "was killed by signal 6",
    ),
    script(
        "ends its process in open()",
        "work.py",
        NEXT_PY + "def open():\n    import os\n    os._exit(1)\n",
        "work.py: LaneDied: ",
        "ended with exit code 1",
    ),
    library("library with a syntax error", "_lib.js", 'export const VERSION = "v2";\nlet ;\n', "_lib.js:2:"),
    library("library with a syntax error", "_lib.py", 'VERSION = "v2"\nx = = 1\n', "_lib.py:2:5: SyntaxError"),
    library(
        "library that throws",
        "_lib.js",
        'export const VERSION = "v2";\nthrow new Error("no");\n',
        "_lib.js:2:",
        "Error: no",
    ),
    library("library that throws", "_lib.py", 'raise ValueError("no")\n', "_lib.py:1:1: ValueError: no"),
    library("library without a name in use", "_lib.js", "export const OTHER = 1;\n", "work.js:3:", "VERSION"),
    library("library without a name in use", "_lib.py", "OTHER = 1\n", "work.py:3:1: ImportError", "VERSION"),
    library("library deleted", "_lib.js", None, "work.js:3:", "./_lib.js"),
    library("library deleted", "_lib.py", None, "work.py:3:1: ModuleNotFoundError", "_lib"),
]


@pytest.mark.parametrize("bad", BAD, ids=str)
def test_a_bad_change_is_refused_and_the_old_version_runs_on(tmp_path: Path, bad: Bad) -> None:
    project = Project(tmp_path)
    for name, source in bad.before.items():
        project.save(name, source)
    with running(project):
        before = project.script(bad.script)
        numbers = Numbers(project)
        numbers.send(5)
        project.checkout(bad.change)
        (refusal,) = numbers.send_until(lambda: project.logged(" refused: "), "the change is refused")
        numbers.send(5)
        assert numbers.all_out() == [["v1", n] for n in range(numbers.sent)]
        status, script, generations = project.status(), project.script(bad.script), project.history()["generations"]
        assert project.stop() == 0
    assert (status["generation"], script["version"], script["state"]) == (1, before["version"], "active")
    assert script["error"].startswith(bad.error[0])
    assert all(part in script["error"] for part in bad.error)
    assert all(part in refusal["event"] for part in bad.error)
    assert len(project.logged(" refused: ")) == 1
    assert [generation["outcome"] for generation in generations] == ["refused", "committed"]
    assert generations[0]["changes"][bad.script]["fault"] is not None
    assert project.letters() == []
