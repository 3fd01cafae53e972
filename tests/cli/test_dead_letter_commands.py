"""``trimtab dead-letters`` while no host runs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.command_line import document, project, stopped_host, trimtab
from trimtab.runtime.dead_letters import DeadLetters


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return stopped_host(tmp_path)


def ids(folder: Path, *filters: str) -> list[int]:
    return [letter["id"] for letter in document(folder, "dead-letters", "list", *filters)]


def test_list_shows_all_or_what_the_filters_leave(folder: Path) -> None:
    assert ids(folder) == [1, 2, 3]
    assert ids(folder, "--script", "a.py", "--after", "1") == [2]
    assert ids(folder, "--kind", "codec") == [3]
    assert ids(folder, "--source", "gps", "--limit", "1") == [1]
    assert ids(folder, "--since", "1h") == []
    text = trimtab(folder, "dead-letters", "list").stdout
    assert "a.py:3:7: TypeError: x is not a function" in text


def test_show_prints_the_event_and_why_it_failed(folder: Path) -> None:
    text = trimtab(folder, "dead-letters", "show", "1").stdout
    assert '{"speed":120}' in text
    assert "a.py:3:7: TypeError" in text
    assert document(folder, "dead-letters", "show", "3")["payload_encoding"] == "base64"


def test_an_unknown_id_ends_with_2(folder: Path) -> None:
    for command in ("show", "replay"):
        done = trimtab(folder, "dead-letters", command, "9")
        assert done.returncode == 2
        assert "no dead letter 9" in done.stderr


def test_purge_deletes_ids_or_what_matches_or_all(folder: Path) -> None:
    assert trimtab(folder, "dead-letters", "purge", "1", "9").stdout == "purged 1\n"
    assert document(folder, "dead-letters", "purge", "--kind", "codec") == {"purged": 1}
    assert ids(folder) == [2]
    assert document(folder, "dead-letters", "purge", "--all") == {"purged": 1}


def test_a_replay_waits_for_the_next_start(folder: Path) -> None:
    assert "1 queued" in trimtab(folder, "dead-letters", "replay", "2", "--version", "1").stdout
    done = trimtab(folder, "dead-letters", "replay", "--kind", "codec", "--json")
    assert [json.loads(line) for line in done.stdout.splitlines()] == [{"id": 3, "outcome": "queued", "error": None}]
    letters = DeadLetters(folder / ".trimtab" / "dead-letters.db")
    assert list(letters.pending_replays()) == [(2, "1"), (3, None)]
    letters.close()


def test_a_replay_against_a_version_that_no_script_has_ends_with_2_and_queues_nothing(folder: Path) -> None:
    done = trimtab(folder, "dead-letters", "replay", "--all", "--version", "zz")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: a.py: expected the number of a version")
    assert len(done.stderr.splitlines()) == 1
    letters = DeadLetters(folder / ".trimtab" / "dead-letters.db")
    assert list(letters.pending_replays()) == []
    letters.close()


def test_where_no_host_ever_ran_there_are_none(tmp_path: Path) -> None:
    project(tmp_path)
    assert trimtab(tmp_path, "dead-letters", "list").stdout == "no dead letters\n"
    assert document(tmp_path, "dead-letters", "list") == []
    assert document(tmp_path, "dead-letters", "purge", "--all") == {"purged": 0}
    assert trimtab(tmp_path, "dead-letters", "replay", "--all").stdout == "no dead letters to replay\n"
