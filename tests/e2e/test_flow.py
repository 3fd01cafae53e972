"""The way of events: order, filters, context, languages, and backpressure from lanes to sources."""

from __future__ import annotations

import hashlib
import json
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.e2e.project import Project, eventually, running

SLOW = """
import time
from trimtab import emit
def handle(event, ctx):
    if {pause}:
        time.sleep({pause})
    emit("out", [{pause}, event["n"]])
"""
WHERE = """
import os
from trimtab import emit
def handle(event, ctx):
    emit("out", [os.getpid(), ctx.key, event["n"]])
"""
CONTEXT = {
    "ctx.py": """
from trimtab import emit
def handle(event, ctx):
    emit("out", [event, ctx.id, ctx.source, ctx.key, ctx.timestamp, ctx.generation, ctx.script, ctx.version])
""",
    "ctx.js": """
import { emit } from "trimtab";
export function handle(event, ctx) {
  emit("out", [event, ctx.id, ctx.source, ctx.key, ctx.timestamp, ctx.generation, ctx.script, ctx.version]);
}
""",
}


def rss(project: Project) -> int:
    assert project.process is not None
    return int(psutil.Process(project.process.pid).memory_info().rss)


def gps(project: Project) -> dict[str, Any]:
    source: dict[str, Any] = project.status()["sources"]["gps"]
    return source


def out(project: Project, count: int) -> list[Any]:
    return eventually(lambda: rows if len(rows := project.emitted()) >= count else None, f"{count} rows are out")


def test_a_slow_handler_holds_the_source_back_and_a_change_still_gets_through(tmp_path: Path) -> None:
    project = Project(tmp_path, lanes=2, source='key = "key"')
    project.save("slow.py", SLOW.format(pause=0.005))
    count = 200_000
    with running(project):
        idle = rss(project)
        project.events.write_text("".join(f'{{"n": {n}, "key": {n % 7}, "text": "{n:->60}"}}\n' for n in range(count)))
        out(project, 300)
        source = gps(project)
        assert 0 < source["lag"] < 20_000, "at most what is read of the file at once, and the queues"
        saved = time.monotonic()
        project.save("slow.py", SLOW.format(pause=0))
        eventually(lambda: project.logged("generation 2"), "the change is committed")
        assert time.monotonic() - saved < 2
        eventually(lambda: gps(project)["handled"] == count, "all events are handled")
        assert rss(project) - idle < 80 << 20
        assert project.stop() == 0
    rows = project.emitted()
    assert sorted(n for _pause, n in rows) == list(range(count))
    for key in range(7):
        numbers = [n for _pause, n in rows if n % 7 == key]
        assert numbers == sorted(numbers)
    cut = min(n for pause, n in rows if pause == 0)
    assert all((n >= cut) == (pause == 0) for pause, n in rows), "the change is one cut in the order of events"


def test_events_of_one_key_stay_in_one_lane_and_in_order(tmp_path: Path) -> None:
    project = Project(tmp_path, lanes=3, source='key = "car.id"')
    project.save("where.py", WHERE)
    keys: list[Any] = ["a", "b", 1, "1", 1.5, True, None, ["x"], {"y": 1}, "ü", "", *range(100, 120)]
    events = [{"n": n, "car": {"id": keys[n % len(keys)]}} for n in range(6000)]
    events[3000]["car"] = "no object"
    with running(project):
        project.send(*events)
        rows = out(project, len(events))
    by_key: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for pid, key, n in rows:
        by_key[json.dumps(key)].append((n, pid))
    assert {pid for pid, _key, _n in rows} == {pid for pairs in by_key.values() for _n, pid in pairs}
    assert len({pid for pid, _key, _n in rows}) == 3
    for pairs in by_key.values():
        assert [n for n, _pid in pairs] == sorted(n for n, _pid in pairs)
        assert len({pid for _n, pid in pairs}) == 1
    assert sorted(n for _pid, _key, n in rows) == list(range(len(events)))
    assert [key for _pid, key, n in rows if n == 3000] == [None]


def test_unkeyed_events_use_every_lane_and_none_is_lost(tmp_path: Path) -> None:
    project = Project(tmp_path, lanes=3)
    project.save("where.py", WHERE)
    project.send(*({"n": n} for n in range(30_000)))
    with running(project):
        rows = out(project, 30_000)
    assert sorted(n for _pid, _key, n in rows) == list(range(30_000))
    assert len({pid for pid, _key, _n in rows}) == 3


def test_handlers_run_in_path_order_and_only_where_their_filter_is_true(tmp_path: Path) -> None:
    project = Project(tmp_path, lanes=1, extra='[sources.other]\ntype = "file"\npath = "other.jsonl"\nfollow = true')
    javascript = 'import { emit } from "trimtab";\nexport function handle(e, ctx) { emit("out", [ctx.script, e.n]); }\n'
    python = 'from trimtab import emit\ndef handle(event, ctx):\n    emit("out", [ctx.script, event["n"]])\n'
    two = """
from trimtab import emit, handler
@handler(where="n > 1")
def second(event, ctx):
    emit("out", ["second", event["n"]])
@handler(source="other")
def first(event, ctx):
    emit("out", ["first", event["n"]])
"""
    scripts = {
        "b.js": javascript,
        "a.py": python,
        "a/z.js": 'export const where = "n == 2 && missing != 1";' + javascript,
        "a/b.py": 'where = "n == 2"\n' + python,
        "c.py": two,
        "d.js": 'export const source = "other";' + javascript,
        "e.py": 'where = "missing > 0"\ndef handle(event, ctx):\n    1 / 0\n',
    }
    with running(project):
        project.checkout(scripts)
        eventually(lambda: project.status()["generation"] == 2, "the scripts run")
        project.send({"n": 1}, {"n": 2})
        gps_rows = out(project, 6)
        (tmp_path / "other.jsonl").write_text('{"n": 0}\n')
        rows = out(project, 10)
        assert project.letters() == []
    assert gps_rows == [["a.py", 1], ["b.js", 1], ["a.py", 2], ["a/b.py", 2], ["b.js", 2], ["second", 2]]
    assert rows[6:] == [["a.py", 0], ["b.js", 0], ["first", 0], ["d.js", 0]]


@pytest.mark.parametrize("name", list(CONTEXT))
def test_the_context_says_what_the_event_is(tmp_path: Path, name: str) -> None:
    project = Project(tmp_path, lanes=2, source='key = "car"\ntimestamp = "at"')
    project.save(name, CONTEXT[name])
    version = hashlib.sha256(CONTEXT[name].encode()).hexdigest()[:12]
    events = [{"car": "a", "at": 1_700_000_000_123}, {"car": 7}, {"at": 5.9}]
    before = time.time() * 1000
    with running(project):
        project.send(*events)
        rows = sorted(out(project, 3), key=lambda row: events.index(row[0]))
        eventually(lambda: gps(project)["watermark"] == 1_700_000_000_123, "the watermark is that of the newest event")
        project.send({"car": "later"})
        project.save("another.py", CONTEXT["ctx.py"])
        eventually(lambda: project.status()["generation"] == 2, "another generation runs")
        assert project.stop() == 0
    after = time.time() * 1000
    partition = f"{project.events.stat().st_ino:x}"
    lines = [json.dumps(event) for event in events]
    for number, (row, key) in enumerate(zip(rows, ["a", 7, None], strict=True)):
        position = sum(len(line) + 1 for line in lines[:number])
        assert row[1] == f"gps:{partition}:{position}"
        assert row[2:4] == ["gps", key]
        assert row[5:] == [1, name, version]
    assert (rows[0][4], rows[2][4]) == (1_700_000_000_123, 5)
    assert before <= rows[1][4] <= after
    already = len(project.emitted())
    (tmp_path / ".trimtab" / "checkpoints.db").unlink()  # else it would go on behind them
    with running(project):  # the same records read again have the same ids; two scripts handle all four
        again = [row for row in out(project, already + 8) if row[6] == name]
    ids = {row[1] for row in again}
    assert {row[1] for row in rows} <= ids
    assert len(ids) == 4


def test_handlers_may_be_async_in_both_languages(tmp_path: Path) -> None:
    project = Project(tmp_path, lanes=1)
    project.save(
        "a.py",
        "import asyncio\nfrom trimtab import emit\nasync def handle(event, ctx):\n"
        '    first, second = await asyncio.gather(later(event["n"]), later(1))\n    emit("out", ["py", first + second])\n'
        "async def later(value):\n    await asyncio.sleep(0.001)\n    return value\n",
    )
    project.save(
        "a.js",
        'import { emit } from "trimtab";\nconst later = async (value) => { await null; return value; };\n'
        "export async function handle(event) {\n  const [first, second] = await Promise.all([later(event.n), later(1)]);\n"
        '  emit("out", ["js", first + second]);\n}\n',
    )
    project.send(*({"n": n} for n in range(50)))
    with running(project):
        rows = out(project, 100)
    assert rows == [[language, n + 1] for n in range(50) for language in ("js", "py")]


def test_typescript_runs_and_its_errors_name_its_own_lines(tmp_path: Path) -> None:
    project = Project(tmp_path, lanes=1)
    project.save(
        "alarm.ts",
        """import { emit } from "trimtab";
import { twice } from "./_lib.ts";

interface Position {
  n: number;
  text?: string;
}

export function handle(event: Position): void {
  const value: number = twice(event.n);
  if (event.n === 1) throw new RangeError("one" as string);
  emit("out", value);
}
""",
    )
    project.save(
        "_lib.ts",
        """interface Unused {
  a: string;
}

export function twice(n: number): number {
  if (n === 2) throw new TypeError("two");
  return 2 * n;
}
""",
    )
    with running(project):
        project.send({"n": 0}, {"n": 1}, {"n": 2}, {"n": 3})
        assert out(project, 2) == [0, 6]
        faults = [letter["fault"] for letter in eventually(project.letters, "letters")]
    assert [(f["name"], f["file"], f["line"]) for f in faults] == [
        ("RangeError", "alarm.ts", 11),
        ("TypeError", "_lib.ts", 6),
    ]


def test_packages_are_found_beside_the_scripts_and_in_the_environment(tmp_path: Path) -> None:
    project = Project(tmp_path, lanes=1)
    modules = project.scripts / "node_modules"
    for package, manifest, file, text in (
        ("left", {"main": "lib/index.js"}, "lib/index.js", "exports.pad = (n) => String(n).padStart(3, '0');"),
        ("modern", {"type": "module", "exports": "./m.js"}, "m.js", "export const add = (a, b) => a + b;"),
    ):
        (modules / package / file).parent.mkdir(parents=True)
        (modules / package / "package.json").write_text(json.dumps({"name": package, **manifest}))
        (modules / package / file).write_text(text)
    emitting = 'emit("out", [ctx.script, pad(e.n)])'
    project.save(
        "c.cjs.js",
        f'const {{ emit }} = require("trimtab");\nconst {{ pad }} = require("left");\n'
        f"function handle(e, ctx) {{ {emitting}; }}\n",
    )
    project.save(
        "e.js",
        'import { emit } from "trimtab";\nimport { pad } from "left";\nimport { add } from "modern";\n'
        f"export function handle(e, ctx) {{ e.n = add(e.n, 1); {emitting}; }}\n",
    )
    project.save(
        "p.py",
        "import lark, msgspec\nfrom trimtab import emit\ndef handle(event, ctx):\n"
        '    emit("out", [ctx.script, lark.__name__ + msgspec.__name__])\n',
    )
    with running(project):
        project.send({"n": 7})
        rows = out(project, 3)
    assert rows == [["c.cjs.js", "007"], ["e.js", "008"], ["p.py", "larkmsgspec"]]
