"""What counts as a change, what belongs together, and what a change reloads."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.project import Numbers, Project, eventually, running

BY_LANGUAGE = {
    "js": """
import {{ emit, log }} from "trimtab";
let handled = 0;
export function open() {{ log.info("opened"); }}
export function handle(event) {{ handled += 1; emit("out", [{version}, event.n]); }}
export function close() {{ log.info(`closed after ${{handled}}`); }}
""",
    "py": """
from trimtab import emit, log
handled = 0
def open():
    log.info("opened")
def handle(event, ctx):
    global handled
    handled += 1
    emit("out", [{version}, event["n"]])
def close():
    log.info(f"closed after {{handled}}")
""",
}
BROKEN = {"js": "export const x = ;\n", "py": "x = = 1\n"}
languages = pytest.mark.parametrize("language", ["js", "py"])


def source(language: str, version: str) -> str:
    """A script that emits its version and the number of the event."""
    return BY_LANGUAGE[language].format(version=json.dumps(version))


def versions(project: Project) -> set[str]:
    """The versions that have emitted anything so far."""
    return {row[0] for row in project.emitted()}


def outcomes(project: Project) -> list[str]:
    """Of all generations, oldest first."""
    return [generation["outcome"] for generation in reversed(project.history()["generations"])]


def seen(project: Project, *wanted: str) -> Callable[[], bool]:
    """Whether all these versions have emitted something."""
    return lambda: versions(project) >= set(wanted)


@languages
def test_files_saved_together_are_taken_together_or_not_at_all(tmp_path: Path, language: str) -> None:
    project = Project(tmp_path)
    a, b = f"a.{language}", f"b.{language}"
    project.save(a, source(language, "a1"))
    project.save(b, source(language, "b1"))
    with running(project):
        numbers = Numbers(project)
        project.checkout({a: source(language, "a2"), b: BROKEN[language]})
        numbers.send_until(lambda: project.logged(" refused: "), "the change is refused")
        numbers.send(5)
        eventually(lambda: len(project.emitted()) == 2 * numbers.sent, "every event came out twice")
        assert versions(project) == {"a1", "b1"}
        assert f"saved together with {b}" in project.script(a)["error"]
        project.save(b, source(language, "b2"))
        numbers.send_until(seen(project, "a2", "b2"), "both files are taken")
        eventually(lambda: len(project.emitted()) == 2 * numbers.sent, "every event came out twice")
        rows: dict[int, set[str]] = {}
        for version, n in project.emitted():
            rows.setdefault(n, set()).add(version)
        assert {frozenset(row) for row in rows.values()} == {frozenset({"a1", "b1"}), frozenset({"a2", "b2"})}
        assert project.script(a)["error"] is project.script(b)["error"] is None
        assert outcomes(project) == ["committed", "refused", "committed"]


@languages
@pytest.mark.parametrize("what", ["broken", "not UTF-8"])
def test_a_bad_script_lying_around_does_not_keep_a_good_change_from_being_taken(
    tmp_path: Path, language: str, what: str
) -> None:
    project = Project(tmp_path)
    bad, good = f"bad.{language}", f"good.{language}"
    project.save(good, source(language, "v1"))
    with running(project):
        project.save(bad, BROKEN[language] if what == "broken" else b"\xff\n")
        eventually(lambda: project.logged(" refused: "), "the bad script is refused")
        project.save(good, source(language, "v2"))
        Numbers(project).send_until(seen(project, "v2"), "the good change is taken")
        assert project.script(bad)["state"] == "rejected"
        assert project.script(bad)["error"].startswith(f"{bad}:1:")
        assert project.script(good)["error"] is None
        assert outcomes(project) == ["committed", "refused", "committed"]


def test_a_bad_script_lying_around_does_not_hold_up_a_change_made_while_the_host_was_stopped(tmp_path: Path) -> None:
    project = Project(tmp_path)
    project.save("good.py", source("py", "v1"))
    with running(project):
        project.save("bad.py", BROKEN["py"])
        eventually(lambda: project.script("bad.py").get("error"), "the bad script is refused")
        assert project.stop() == 0
    stopped = project.script("bad.py")
    assert (stopped["state"], "SyntaxError" in stopped["error"]) == ("rejected", True)
    project.save("good.py", source("py", "v2"))
    with running(project):
        assert project.script("good.py")["seq"] == 2
        assert "SyntaxError" in project.script("bad.py")["error"]


@languages
@pytest.mark.parametrize("what", ["broken", "not UTF-8"])
def test_a_very_first_start_leaves_a_bad_script_out_and_takes_it_when_it_is_mended(
    tmp_path: Path, language: str, what: str
) -> None:
    project = Project(tmp_path)
    bad, good = f"bad.{language}", f"good.{language}"
    project.save(good, source(language, "v1"))
    project.save(bad, BROKEN[language] if what == "broken" else b"\xff\n")
    with running(project):
        numbers = Numbers(project)
        numbers.send_until(seen(project, "v1"), "the good script runs")
        assert project.script(good)["state"] == "active"
        assert (project.script(bad)["state"], project.script(bad)["version"]) == ("rejected", None)
        assert project.script(bad)["error"].startswith(f"{bad}:1:")
        assert len(project.logged(f"{bad} was left out: {bad}:1:")) == 1
        project.save(good, source(language, "v2"))
        numbers.send_until(seen(project, "v2"), "the good script changes")
        project.save(bad, source(language, "mended"))
        numbers.send_until(seen(project, "mended"), "the mended script runs")
        assert (project.script(bad)["state"], project.script(bad)["error"]) == ("active", None)
        assert outcomes(project) == ["committed"] * 3


def test_a_very_first_start_with_nothing_but_a_bad_script_runs_and_says_so(tmp_path: Path) -> None:
    project = Project(tmp_path)
    project.save("bad.js", b"\xff\n")
    with running(project):
        assert project.script("bad.js")["state"] == "rejected"
        project.save("bad.js", source("js", "mended"))
        Numbers(project).send_until(seen(project, "mended"), "the mended script runs")
        assert project.script("bad.js")["state"] == "active"


def test_a_rejected_script_that_is_deleted_is_gone_from_the_status(tmp_path: Path) -> None:
    project = Project(tmp_path)
    project.save("good.js", source("js", "v1"))
    with running(project):
        project.save("bad.js", BROKEN["js"])
        eventually(lambda: project.script("bad.js"), "the bad script is rejected")
        (project.scripts / "bad.js").unlink()
        eventually(lambda: not project.script("bad.js"), "the bad script is gone")


@languages
def test_the_error_of_a_broken_library_stays_until_the_library_is_mended(tmp_path: Path, language: str) -> None:
    project = Project(tmp_path)
    importing = {"js": 'import "./_lib.js";\n', "py": "import _lib\n"}[language]
    good = {"js": "export const x = 1;\n", "py": "x = 1\n"}[language]
    user, library = f"user.{language}", f"_lib.{language}"
    project.save(library, good)
    project.save(user, importing + source(language, "user"))
    with running(project):
        project.save(library, BROKEN[language])
        eventually(lambda: project.script(user)["error"], "the script says that its library was refused")
        project.save(f"other.{language}", source(language, "other"))
        Numbers(project).send_until(seen(project, "other"), "another script is taken")
        assert project.script(user)["error"].startswith(f"{library}:1:")
        project.save(library, good)
        eventually(lambda: not project.script(user)["error"], "the error is gone")


def test_the_same_bytes_with_a_new_time_are_no_change(tmp_path: Path) -> None:
    project = Project(tmp_path)
    project.save("a.js", source("js", "a1"))
    project.save("b.js", source("js", "b1"))
    with running(project):
        (project.scripts / "a.js").touch()
        project.save("a.js", source("js", "a1"))
        project.save("b.js", source("js", "b2"))
        Numbers(project).send_until(seen(project, "b2"), "the other script is taken")
        assert [set(generation["changes"]) for generation in project.history()["generations"]] == [
            {"b.js"},
            {"a.js", "b.js", "settings"},
        ]
        assert project.script("a.js")["seq"] == 1


@languages
def test_of_two_quick_changes_the_last_one_wins(tmp_path: Path, language: str) -> None:
    project = Project(tmp_path)
    name = f"work.{language}"
    project.save(name, source(language, "v1"))
    with running(project):
        numbers = Numbers(project)
        for round_ in range(10):
            project.save(name, source(language, f"early {round_}"))
            project.save(name, source(language, f"late {round_}"))
            numbers.send_until(seen(project, f"late {round_}"), "the last change is taken")
        numbers.send(10)
        rows = numbers.all_out()
        assert [n for _, n in rows] == list(range(numbers.sent))
        assert {version for version, _ in rows[-10:]} == {"late 9"}


@languages
def test_a_deleted_script_handles_no_more_events_until_a_rollback_brings_it_back(tmp_path: Path, language: str) -> None:
    project = Project(tmp_path)
    gone, stays = f"gone.{language}", f"stays.{language}"
    project.save(gone, source(language, "gone"))
    project.save(stays, source(language, "stays"))
    with running(project):
        numbers = Numbers(project)
        numbers.send_until(seen(project, "gone", "stays"), "both scripts run")
        (project.scripts / gone).unlink()
        eventually(lambda: project.logged(f"generation 2: {gone} deleted"), "the deletion is taken")
        eventually(lambda: not project.script(gone), "the script is gone")
        eventually(lambda: len(project.emitted()) >= 2 * numbers.sent, "all have come out")
        before, first = len(project.emitted()), numbers.sent
        numbers.send(5)
        eventually(lambda: len(project.emitted()) >= before + 5, "the other script goes on")
        assert sorted(row for row in project.emitted() if row[1] >= first) == [["stays", first + i] for i in range(5)]
        assert project.history()["generations"][0]["changes"][gone]["kind"] == "deleted"
        project.trimtab("rollback", gone)
        assert (project.scripts / gone).read_text() == source(language, "gone")
        first = numbers.sent
        numbers.send(5)
        eventually(lambda: ["gone", first] in project.emitted(), "the script is back")
        assert project.script(gone)["state"] == "rolled-back"


@languages
def test_a_library_reloads_exactly_the_scripts_that_import_it(tmp_path: Path, language: str) -> None:
    project = Project(tmp_path, lanes=1)
    imports = {
        "js": 'import {{ V }} from "./{0}.js";\n',
        "py": "from {0} import V\n",
    }[language]
    value = {"js": "export const V = {0};\n", "py": "V = {0}\n"}[language]
    through = {"js": 'export {{ V }} from "./{0}.js";\n', "py": "from {0} import V\n"}[language]
    project.save(f"_one.{language}", value.format(1))
    project.save(f"_two.{language}", value.format(1))
    project.save(f"_through.{language}", through.format("_one"))
    for name, library in (("direct", "_one"), ("indirect", "_through"), ("other", "_two")):
        project.save(f"{name}.{language}", imports.format(library) + source(language, name))
    project.save(f"alone.{language}", source(language, "alone"))
    with running(project):
        names = [f"{name}.{language}" for name in ("alone", "direct", "indirect", "other")]
        eventually(lambda: opened(project) == dict.fromkeys(names, 1), "every script is opened once")
        project.save(f"_one.{language}", value.format(2))
        eventually(lambda: len(project.logged("closed after")) == 2, "the old versions are closed, also without events")
        assert opened(project) == dict.fromkeys(names, 1) | {names[1]: 2, names[2]: 2}
        assert project.history()["generations"][0]["changes"].keys() == {f"_one.{language}", names[1], names[2]}


def opened(project: Project) -> dict[str, int]:
    """How often each script was opened."""
    return Counter(entry["script"] for entry in project.logged("opened"))


@languages
def test_the_old_version_is_closed_after_its_last_event(tmp_path: Path, language: str) -> None:
    project = Project(tmp_path, lanes=1)
    name = f"work.{language}"
    project.save(name, source(language, "v1"))
    with running(project):
        numbers = Numbers(project)
        numbers.send(2000)
        project.save(name, source(language, "v2"))
        numbers.send_until(seen(project, "v2"), "the new version runs")
        (closed,) = eventually(lambda: project.logged("closed after"), "the old version is closed")
        handled = Counter(version for version, _ in numbers.all_out())
        assert closed["event"] == f"closed after {handled['v1']}"
        assert project.stop() == 0
    assert project.logged("closed after")[1]["event"] == f"closed after {handled['v2']}"


CLOSES: list[Any] = [
    ("js", 'export function close() { throw new Error("no such file"); }\n', "Error: no such file"),
    ("py", 'def close():\n    raise OSError("no such file")\n', "OSError: no such file"),
    ("js", "export function close() { while (true) {} }\n", "TimeLimitExceeded"),
    ("py", "def close():\n    while True:\n        pass\n", "TimeLimitExceeded"),
]


@pytest.mark.parametrize(("language", "close", "error"), CLOSES)
def test_a_close_that_fails_or_hangs_is_reported_and_not_fatal(
    tmp_path: Path, language: str, close: str, error: str
) -> None:
    project = Project(tmp_path, lanes=1)
    name = f"work.{language}"
    plain = {"js": 'import { emit } from "trimtab";\nexport function handle(event) { emit("out", ["v1", event.n]); }\n'}
    plain["py"] = 'from trimtab import emit\ndef handle(event, ctx):\n    emit("out", ["v1", event["n"]])\n'
    project.save(name, plain[language] + close)
    with running(project):
        numbers = Numbers(project)
        numbers.send(10)
        old = project.script(name)["version"]
        project.save(name, source(language, "v2"))
        numbers.send_until(seen(project, "v2"), "the new version runs")
        (failed,) = eventually(lambda: project.logged("close() failed"), "the failure is reported")
        assert (failed["script"], failed["version"]) == (name, old)
        assert failed["error"].startswith(f"{name}:")
        assert error in failed["error"]
        numbers.send(10)
        assert [n for _, n in numbers.all_out()] == list(range(numbers.sent))
        assert project.status()["lanes"][0]["restarts"] == 0
        assert project.stop() == 0
