"""Promise 4: what one event does to one script costs that event in that script, and nothing else."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.e2e.project import Project, eventually, running

EVENTS = 40
PYTHON = """
from trimtab import emit, handler

@handler(timeout={timeout!r})
def handle(event, ctx):
    if event["n"] == {bad}:
        emit("out", ["never", "seen"])
{fault}
    emit("out", [ctx.script, event["n"]])
"""
JAVASCRIPT = """
import {{ emit }} from "trimtab";
export const timeout = "{timeout}";
export {modifier}function handle(event, ctx) {{
  if (event.n === {bad}) {{
    emit("out", ["never", "seen"]);
{fault}
  }}
  emit("out", [ctx.script, event.n]);
}}
"""


@dataclass(frozen=True)
class Case:
    """A script that does ``code`` on one event, and what its dead letter must say."""

    name: str
    code: str
    fault: str
    line: int | None
    says: str = ""
    modifier: str = ""
    timeout: str = "200ms"

    def source(self, bad: int) -> str:
        if self.name.endswith(".py"):
            code = "\n".join(" " * 8 + line for line in self.code.splitlines())
            return PYTHON.format(bad=bad, fault=code, timeout=self.timeout)
        return JAVASCRIPT.format(bad=bad, fault=self.code, modifier=self.modifier, timeout=self.timeout)


# The misbehaving code begins in line 8 of each Python and in line 7 of each JavaScript source.
CASES = [
    Case("loop.py", "while True: pass", "TimeLimitExceeded", 8, "within 0.2 s"),
    Case("loop.js", "while (true) {}", "TimeLimitExceeded", None, "within 0.2 s"),
    Case("swallow.py", "while True:\n    try:\n        while True: pass\n    except: pass", "TimeLimitExceeded", None),
    Case("swallow.js", "for (;;) try { for (;;); } catch (e) {}", "TimeLimitExceeded", None),
    Case("finally.js", "for (;;) try { for (;;); } finally { continue; }", "TimeLimitExceeded", None),
    Case("sleep.py", "import time; time.sleep(30)", "TimeLimitExceeded", 8),
    Case("list.py", "x = [0]\nwhile True: x += x", "MemoryLimitExceeded", 9, timeout="20s"),
    Case("bytes.py", "x = bytearray(1 << 40)", "MemoryLimitExceeded", 8, timeout="20s"),
    Case("text.py", "x = 'ab'\nwhile True: x += x", "MemoryLimitExceeded", 9, timeout="20s"),
    Case("array.js", "let x = [0]; for (;;) x = x.concat(x);", "MemoryLimitExceeded", None, "128 MB", timeout="20s"),
    Case(
        "text.js",
        "const x = []; for (;;) x.push('abcdefgh'.repeat(1e6) + x.length);",
        "MemoryLimitExceeded",
        None,
        timeout="20s",
    ),
    Case("bytes.js", "new Uint8Array(1 << 30);", "MemoryLimitExceeded", 7, timeout="20s"),
    Case("deep.py", "def f(): return f()\nf()", "RecursionError", 8),
    Case("deep.js", "(function f() { return 1 + f(); })();", "RangeError", 7, "stack"),
    Case("throw.py", "raise ValueError('no such vehicle')", "ValueError", 8, "no such vehicle"),
    Case("throw.js", "throw new TypeError('no such vehicle');", "TypeError", 7, "no such vehicle"),
    Case("exit.py", "raise SystemExit(3)", "SystemExit", 8),
    Case("nothing.js", "throw undefined;", "Error", None),
    Case("rejected.js", "await null; throw new RangeError('later');", "RangeError", 7, "later", "async "),
    Case("json.py", "emit('out', object())", "TypeError", 8, "JSON"),
    Case("json.js", "emit('out', () => 1);", "TypeError", 7, "JSON"),
    Case("circle.js", "const x = {}; x.x = x; emit('out', x);", "TypeError", 7, "circular"),
    Case("sink.py", "emit('alarm', 1)", "LookupError", 8, "'alarm'; expected one of: out"),
    Case("sink.js", "emit('alarm', 1);", "Error", 7, '"alarm"; expected one of: out'),
]
BAD = {case.name: 5 + number for number, case in enumerate(CASES)}


@dataclass(frozen=True)
class Outcome:
    """What came of all the cases: they run beside each other in one host."""

    letters: list[dict[str, Any]]
    rows: list[Any]
    status: dict[str, Any]
    log: str


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outcome]:
    project = Project(tmp_path_factory.mktemp("faults"), lanes=1)
    for case in CASES:
        project.save(case.name, case.source(BAD[case.name]))
    # These fail on the event on which most others do.
    project.save("all.py", PYTHON.format(bad="event['n']", fault="        raise KeyError(event['n'])", timeout="1s"))
    with running(project):
        project.send(*({"n": n} for n in range(EVENTS)))
        eventually(lambda: project.status()["sources"]["gps"]["handled"] == EVENTS, "every event is handled")
        yield Outcome(project.letters(), project.emitted(), project.status(), project.log.read_text())


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_failing_event_is_one_dead_letter_that_says_who_and_why(outcome: Outcome, case: Case) -> None:
    letters = [letter for letter in outcome.letters if letter["script"] == case.name]
    assert len(letters) == 1, outcome.log
    (letter,) = letters
    fault = letter["fault"]
    assert (fault["name"], fault["file"]) == (case.fault, case.name), fault
    assert case.line in (None, fault["line"]), fault
    assert case.says in fault["message"]
    assert letter["version"] == hashlib.sha256(case.source(BAD[case.name]).encode()).hexdigest()
    assert (letter["kind"], letter["source"], letter["generation"], letter["tries"]) == ("handler", "gps", 1, 1)
    assert letter["payload"] == f'{{"n": {BAD[case.name]}}}'


def test_every_other_event_of_every_script_came_out_once(outcome: Outcome) -> None:
    expected = Counter((case.name, n) for case in CASES for n in range(EVENTS) if n != BAD[case.name])
    assert Counter(map(tuple, outcome.rows)) == expected


def test_no_lane_died_of_it_and_the_counts_are_right(outcome: Outcome) -> None:
    assert [lane["restarts"] for lane in outcome.status["lanes"]] == [0], outcome.log
    counts = {script["name"]: (script["handled"], script["failed"]) for script in outcome.status["scripts"]}
    assert counts == {"all.py": (0, EVENTS), **{case.name: (EVENTS - 1, 1) for case in CASES}}
    assert outcome.status["dead_letters"] == len(CASES) + EVENTS
