"""``history``, ``show``, ``diff`` and ``status`` of a stopped host."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.command_line import document, project, stopped_host, trimtab


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return stopped_host(tmp_path)


def test_history_lists_generations_newest_first_with_why_one_was_refused(folder: Path) -> None:
    generations = document(folder, "history")["generations"]
    assert [(each["number"], each["outcome"]) for each in generations] == [
        (3, "refused"),
        (2, "committed"),
        (1, "committed"),
    ]
    text = trimtab(folder, "history").stdout
    assert "a.py #3 changed: a.py:3:7: TypeError: x is not a function" in text
    assert [each["number"] for each in document(folder, "history", "--limit", "1")["generations"]] == [3]


def test_history_of_a_name_lists_its_versions(folder: Path) -> None:
    versions = document(folder, "history", "a.py")["versions"]
    assert [(each["seq"], each["active"]) for each in versions] == [(1, False), (2, True), (3, False)]
    assert versions[1]["hash"][:12] in trimtab(folder, "history", "a.py").stdout


def test_show_prints_the_bytes_and_nothing_else(folder: Path) -> None:
    assert trimtab(folder, "show", "a.py").stdout == "two = 2\n"
    assert trimtab(folder, "show", "a.py", "1").stdout == "one = 1\n"
    shown = document(folder, "show", "a.py", "#1")
    assert (shown["seq"], shown["content"]) == (1, "one = 1\n")
    assert document(folder, "show", "a.py", shown["hash"][:8]) == shown


def test_diff_shows_what_the_last_change_changed(folder: Path) -> None:
    assert trimtab(folder, "diff", "a.py").stdout.splitlines()[2:] == ["@@ -1 +1 @@", "-one = 1", "+two = 2"]
    assert document(folder, "diff", "a.py", "2", "3")["lines"][-2:] == ["-two = 2", "+three = "]
    assert trimtab(folder, "diff", "a.py", "1", "1").stdout == "no difference\n"


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["show", "c.py"], "never seen"),
        (["show", "a.ps"], "did you mean 'a.py'"),
        (["show", "a.py", "9"], "there are: #1"),
        (["show", "b.py"], "expected a running version"),
        (["diff", "nobody"], "never seen"),
        (["history", "nobody"], "never seen"),
    ],
)
def test_an_unknown_name_or_version_ends_with_2_and_says_what_there_is(
    folder: Path, arguments: list[str], expected: str
) -> None:
    done = trimtab(folder, *arguments)
    assert done.returncode == 2
    assert expected in done.stderr


def test_status_of_a_stopped_host_is_the_same_document(folder: Path) -> None:
    status = document(folder, "status")
    assert (status["running"], status["generation"], status["uptime_s"], status["dead_letters"]) == (False, 2, None, 3)
    assert (status["lanes"], status["sources"], status["sinks"]) == ([], {}, {})
    a, b = status["scripts"]
    assert (a["name"], a["seq"], a["state"]) == ("a.py", 2, "active")
    assert len(a["version"]) == 12
    assert "TypeError" in a["error"]
    assert (b["name"], b["seq"], b["version"], b["state"]) == ("b.py", None, None, "rejected")


def test_status_for_people_shows_every_script(folder: Path) -> None:
    text = trimtab(folder, "status").stdout
    assert "generation 2, not running, 3 dead letters" in text
    assert "rejected" in text


def test_status_where_no_host_ever_ran_is_empty_and_fine(tmp_path: Path) -> None:
    status = document(project(tmp_path), "status")
    assert (status["generation"], status["scripts"]) == (0, [])


def test_another_configuration_file_may_be_named(folder: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    done = trimtab(elsewhere, "status", "--json", "--config", str(folder / "trimtab.toml"))
    assert json.loads(done.stdout)["generation"] == 2
