"""Dead letters on a running and on a stopped host: listed, shown, replayed, purged; and what makes them."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.project import Project, eventually, running

FAILS = {
    "strict.py": """
from trimtab import emit
def handle(event, ctx):
    if event["n"] % 2:
        raise ValueError("odd")
    emit("out", [ctx.script, event["n"], ctx.id])
""",
    "strict.js": """
import { emit } from "trimtab";
export function handle(event, ctx) {
  if (event.n % 2) throw new RangeError("odd");
  emit("out", [ctx.script, event.n, ctx.id]);
}
""",
}
FIXED = {
    "strict.py": FAILS["strict.py"].replace('event["n"] % 2', 'event["n"] == 5'),
    "strict.js": FAILS["strict.js"].replace("event.n % 2", "event.n === 5"),
}
ANY = """
from trimtab import emit
def handle(event, ctx):
    emit("out", [ctx.id, event])
"""


def run(project: Project, *arguments: str) -> Any:
    """Run ``trimtab dead-letters`` and return its document."""
    return json.loads(project.trimtab("dead-letters", *arguments, "--json").stdout)


def replay(project: Project, *arguments: str) -> list[dict[str, Any]]:
    """Replay, and return one outcome a letter."""
    done = project.trimtab("dead-letters", "replay", *arguments, "--json", check=False)
    outcomes: list[dict[str, Any]] = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == (1 if any(o["outcome"] == "failed" for o in outcomes) else 0), done.stderr
    return outcomes


def failed_on(letters: list[dict[str, Any]]) -> list[tuple[str, int]]:
    return sorted((letter["script"], json.loads(letter["payload"])["n"]) for letter in letters)


def project_with(folder: Path, scripts: dict[str, str], source: str = "") -> Project:
    project = Project(folder, lanes=2, source=source)
    for name, text in scripts.items():
        project.save(name, text)
    return project


def send(project: Project, count: int = 6) -> None:
    project.send(*({"n": n, "key": n % 3} for n in range(count)))
    eventually(lambda: project.status()["sources"]["gps"]["handled"] == count, "every event is handled")


def test_letters_are_filtered_shown_and_purged(tmp_path: Path) -> None:
    project = project_with(tmp_path, FAILS)
    with running(project):
        send(project)
        assert failed_on(run(project, "list")) == [(s, n) for s in ("strict.js", "strict.py") for n in (1, 3, 5)]
        assert failed_on(run(project, "list", "--script", "strict.py")) == [("strict.py", n) for n in (1, 3, 5)]
        assert len(run(project, "list", "--source", "gps", "--kind", "handler", "--since", "1h")) == 6
        assert run(project, "list", "--kind", "codec") == run(project, "list", "--since", "0s") == []
        (first,) = run(project, "list", "--limit", "1")
        assert run(project, "show", str(first["id"])) == first
        human = project.trimtab("dead-letters", "show", str(first["id"])).stdout
        assert "odd" in human
        assert first["payload"] in human
        assert run(project, "purge", str(first["id"])) == {"purged": 1}
        assert run(project, "purge", "--script", "strict.js") == {"purged": 3 - (first["script"] == "strict.js")}
        assert run(project, "purge", "--all")["purged"] > 0
        assert project.status()["dead_letters"] == 0


@pytest.mark.parametrize("source", ['key = "key"', ""], ids=["keyed", "unkeyed"])
def test_after_the_script_is_corrected_replay_empties_the_letters(tmp_path: Path, source: str) -> None:
    project = project_with(tmp_path, FAILS, source)
    with running(project):
        send(project)
        ids = {(row[0], row[1]): row[2] for row in project.emitted()}
        before = project.letters()
        assert all(letter["key"] == (json.loads(letter["payload"])["key"] if source else None) for letter in before)
        project.checkout(FIXED)
        eventually(lambda: project.status()["generation"] == 2, "the correction runs")
        outcomes = replay(project, "--all")
        assert sorted(o["outcome"] for o in outcomes) == ["failed"] * 2 + ["handled"] * 4
        again = project.letters()
        assert failed_on(again) == [("strict.js", 5), ("strict.py", 5)]
        for letter in again:
            (old,) = [one for one in before if one["id"] == letter["id"]]
            assert (letter["tries"], letter["generation"]) == (2, 2)
            assert letter["version"] != old["version"]
            assert (letter["at"] >= old["at"], letter["position"]) == (True, old["position"])
        assert project.stop() == 0
    rows = project.emitted()
    assert sorted((row[0], row[1]) for row in rows) == sorted((s, n) for s in FAILS for n in (0, 1, 2, 3, 4))
    replayed = {(row[0], row[1]): row[2] for row in rows}
    positions = {n: letter["position"] for letter in before for n in [json.loads(letter["payload"])["n"]]}
    for (script, n), event_id in replayed.items():
        assert ids.get((script, n), event_id) == event_id
        assert n not in positions or event_id.endswith(f":{positions[n]}"), "the id is that of the first time"


@pytest.mark.parametrize("name", list(FAILS))
def test_letters_are_replayed_against_a_named_version(tmp_path: Path, name: str) -> None:
    project = project_with(tmp_path, {name: FAILS[name]})
    with running(project):
        send(project, 4)
        failing = project.script(name)["version"]
        project.save(name, FIXED[name])
        eventually(lambda: project.status()["generation"] == 2, "the correction runs")
        fixed = project.script(name)["version"]
        outcomes = replay(project, "--all", "--version", failing)
        assert [o["outcome"] for o in outcomes] == ["failed", "failed"]
        assert "odd" in outcomes[0]["error"]
        assert [letter["tries"] for letter in project.letters()] == [2, 2]
        assert {letter["version"][:12] for letter in project.letters()} == {failing}
        wrong = project.trimtab("dead-letters", "replay", "--all", "--version", "feedbeef0000", "--json", check=False)
        assert wrong.returncode != 0
        assert "feedbeef0000" in wrong.stdout + wrong.stderr
        project.trimtab("rollback", name)
        eventually(lambda: project.script(name)["version"] == failing, "the old version runs")
        assert [o["outcome"] for o in replay(project, "--all", "--version", fixed)] == ["handled", "handled"]
        assert project.letters() == []
        assert sorted(row[1] for row in project.emitted()) == [0, 1, 2, 3]
        assert project.script(name)["version"] == failing, "replay has not changed what runs"


def test_a_replay_that_kills_the_lane_keeps_the_letter(tmp_path: Path) -> None:
    project = project_with(tmp_path, {"strict.py": FAILS["strict.py"]})
    with running(project):
        send(project, 2)
        good = project.script("strict.py")["version"]
        deadly = FAILS["strict.py"].replace('raise ValueError("odd")', "import os; os._exit(1)")
        project.save("strict.py", deadly)
        eventually(lambda: project.status()["generation"] == 2, "the deadly version runs")
        died = project.script("strict.py")["version"]
        for version in ([], ["--version", died]):
            (outcome,) = replay(project, "--all", *version)
            assert outcome["outcome"] == "failed"
            assert "exit code 1" in outcome["error"]
        (letter,) = project.letters()
        assert (letter["script"], letter["version"][:12], letter["tries"]) == ("strict.py", died, 5)
        project.send({"n": 2})
        eventually(lambda: len(project.emitted()) == 2, "the stream goes on")
        assert good != died


def test_a_replay_asked_for_on_a_stopped_host_happens_at_the_next_start(tmp_path: Path) -> None:
    project = project_with(tmp_path, FAILS)
    with running(project):
        send(project)
        assert project.stop() == 0
    before = len(project.emitted())
    letters = project.letters()
    assert len(letters) == 6
    asked = [letter["id"] for letter in letters if letter["script"] == "strict.py"]
    outcomes = replay(project, "--script", "strict.py")
    assert [(o["id"], o["outcome"]) for o in outcomes] == [(i, "queued") for i in asked]
    project.events.write_text("")  # the next run reads the file anew
    project.checkout(FIXED)
    with running(project):
        eventually(lambda: len(project.logged("dead letter replayed")) == 3, "the letters are replayed")
        assert failed_on(project.letters()) == [("strict.js", n) for n in (1, 3, 5)] + [("strict.py", 5)]
        assert sorted(row[1] for row in project.emitted()[before:]) == [1, 3]
        assert project.stop() == 0
    with running(project):
        assert project.stop() == 0
    assert len(project.logged("dead letter replayed")) == 3, "it was asked for once"


BAD_LINES = [
    b'{"n": 1',
    b'{"n": 2} {"n": 3}',
    b'"\xff"',
    b"NaN",
    b"[" * 100_000 + b"]" * 100_000,
    b'{"a":' * 9999 + b"1" + b"}" * 9999,
]


@pytest.mark.parametrize("source", ['key = "key"', ""], ids=["keyed", "unkeyed"])
@pytest.mark.parametrize("name", ["any.py", "any.js"])
def test_records_that_are_not_valid_become_letters_and_the_stream_goes_on(
    tmp_path: Path, name: str, source: str
) -> None:
    script = 'import { emit } from "trimtab";\nexport function handle(e, ctx) { emit("out", [ctx.id, e]); }\n'
    project = project_with(tmp_path, {name: ANY if name == "any.py" else script}, source)
    lines = [line for n, bad in enumerate(BAD_LINES) for line in (b'{"n": %d, "key": %d}' % (n, n), bad)] + [b'"end"']
    offsets = [sum(len(line) + 1 for line in lines[:n]) for n in range(len(lines))]
    with running(project):
        with project.events.open("ab") as file:
            file.write(b"\n".join(lines) + b"\n")
        eventually(lambda: project.status()["sources"]["gps"]["handled"] == len(lines), "every record is handled")
        letters = {letter["position"]: letter for letter in project.letters()}
        assert [lane["restarts"] for lane in project.status()["lanes"]] == [0, 0]
        (end,) = [row for row in project.emitted() if row[1] == "end"]
        assert project.stop() == 0
    partition = end[0].split(":")[1]
    assert sorted(letters) == [offset for offset, line in zip(offsets, lines, strict=True) if line in BAD_LINES]
    for offset, line in zip(offsets, lines, strict=True):
        event_id = f"gps:{partition}:{offset}"
        if line not in BAD_LINES:
            assert [event_id, json.loads(line)] in project.emitted()
            continue
        letter = letters[offset]
        payload = letter["payload"]
        assert (base64.b64decode(payload) if "payload_encoding" in letter else payload.encode()) == line
        assert (letter["kind"], letter["script"], letter["event_id"]) == ("codec", None, event_id)
        assert letter["fault"]["name"] == "CodecError"
        assert "expected" in letter["fault"]["message"]
    assert len(project.emitted()) == len(lines) - len(BAD_LINES)


def test_text_that_is_not_utf8_becomes_a_letter(tmp_path: Path) -> None:
    project = project_with(tmp_path, {"any.py": ANY}, 'codec = "text"')
    with running(project):
        with project.events.open("ab") as file:
            file.write("grüß\n".encode() + b"bad \xff\n" + b'{"a": 1}\n')
        eventually(lambda: project.status()["dead_letters"] == 1 and len(project.emitted()) == 2, "all are handled")
        (letter,) = project.letters()
        assert project.status()["sources"]["gps"]["rejected"] == 1
        assert [o["outcome"] for o in replay(project, "--all")] == ["failed"]
    assert [row[1] for row in project.emitted()] == ["grüß", '{"a": 1}']
    assert (letter["kind"], letter["position"]) == ("codec", len("grüß\n".encode()))
    assert base64.b64decode(letter["payload"]) == b"bad \xff"
    assert "0xff" in letter["fault"]["message"]
