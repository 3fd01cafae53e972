"""``trimtab checkpoint``, while a host has the store open, and after it has gone."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.cli.command_line import document, project, trimtab
from trimtab.api import Position
from trimtab.engine.state import TIMER, VERSION, StateRow, Time, Timer
from trimtab.runtime.checkpoints import FILE_NAME, Checkpoint, CheckpointStore

FIRST, SECOND = "ab" * 32, "cd" * 32
AT = 1_750_000_000_000
YEAR_60000 = 1_830_000_000_000_000


def timer(key: str, name: str, at: int, time: Time, data: Any = None) -> StateRow:
    return StateRow("a.js", key, TIMER + name, msgspec.json.encode(Timer(at, time, "gps", data)))


ROWS = [
    StateRow("a.js", '"v1"', VERSION, b'"%s"' % FIRST.encode()),
    StateRow("a.js", '"v1"', "count", b"12"),
    StateRow("a.js", '"v1"', "last", b'{"speed":[120,null]}', AT + 60_000),
    timer('"v1"', "stopped", AT + 5_000, "processing", {"since": 3}),
    timer('"v1"', "week", YEAR_60000, "event"),
    StateRow("b.py", '"v1"', "count", b"2"),
    StateRow("b.py", "null", "count", b"3"),
    StateRow("b.py", '"42"', "kind", b'"text"'),
    StateRow("b.py", "42", "kind", b'"number"'),
    StateRow("b.py", '"43"', "kind", b'"text"'),
    StateRow("gone.py", '["a",1.0]', "count", b"4"),
]


def checkpoint(number: int) -> Checkpoint:
    return Checkpoint(
        at=AT + number,
        generation=7,
        reason="interval" if number == 1 else "end",
        seconds=0.0125,
        sources={"gps": Position("gps.jsonl", number * 10, {"inode": 7}), "hooks": Position("3", 4)},
        watermarks={"gps": AT},
        versions={"a.js": FIRST, "b.py": SECOND},
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A project with two checkpoints, whose store is open as in a host that runs."""
    folder = project(tmp_path_factory.mktemp("checkpoints"))
    (folder / ".trimtab").mkdir()
    with closing(CheckpointStore(folder / ".trimtab" / FILE_NAME)) as store:
        store.commit(checkpoint(1), ROWS)
        store.commit(checkpoint(2), [])
        yield folder


def printed(folder: Path, *arguments: str) -> str:
    """What a command prints for people, with the spaces of its tables made one."""
    done = trimtab(folder, "checkpoint", *arguments)
    assert done.returncode == 0, done.stderr
    return "\n".join(" ".join(line.split()) for line in done.stdout.splitlines())


def refused(folder: Path, code: int, *arguments: str) -> str:
    """What a command that ends with ``code`` says."""
    done = trimtab(folder, "checkpoint", *arguments)
    assert (done.returncode, done.stdout) == (code, "")
    assert "Traceback" not in done.stderr
    return done.stderr


# --- list ---


def test_list_shows_the_newest_first(folder: Path) -> None:
    found = document(folder, "checkpoint", "list")["checkpoints"]
    assert [(each["id"], each["reason"], each["changed"]) for each in found] == [(2, "end", 0), (1, "interval", 11)]
    assert [each["id"] for each in document(folder, "checkpoint", "list", "--limit", "1")["checkpoints"]] == [2]
    text = printed(folder, "list")
    assert "id at generation reason seconds changed" in text
    assert "7 interval 0.013 11" in text or "7 interval 0.012 11" in text


# --- inspect ---


def test_inspect_shows_all_of_the_latest_and_how_much_state_there_is(folder: Path) -> None:
    assert document(folder, "checkpoint", "inspect") == {
        "checkpoint": {**msgspec.to_builtins(checkpoint(2)), "id": 2},
        "state": {
            "a.js": {"keys": 1, "values": 2, "bytes": sum(len(row.value or b"") for row in ROWS[:5]), "timers": 2},
            "b.py": {"keys": 5, "values": 5, "bytes": 22, "timers": 0},
            "gone.py": {"keys": 1, "values": 1, "bytes": 1, "timers": 0},
        },
    }
    text = printed(folder, "inspect")
    assert "checkpoint 2 (end), 2025-" in text
    assert "generation 7" in text
    assert 'gps gps.jsonl 20 {"inode":7} 2025-' in text
    assert "hooks 3 4" in text
    assert "b.py cdcdcdcdcdcd 5 5 22 0" in text
    assert "gone.py 1 1 1 0" in text


def test_inspect_of_an_older_one_says_that_its_state_is_not_kept(folder: Path) -> None:
    found = document(folder, "checkpoint", "inspect", "1")
    assert (found["checkpoint"]["id"], found["checkpoint"]["sources"]["gps"]["next"]) == (1, 10)
    assert found["state"] is None
    text = printed(folder, "inspect", "1")
    assert "a.js abababababab\n" in text
    assert "only the latest checkpoint has its state kept" in text


@pytest.mark.parametrize("wrong", ["0", "first", "9" * 30])
def test_what_is_no_id_ends_with_2(folder: Path, wrong: str) -> None:
    assert "Invalid value for 'ID'" in refused(folder, 2, "inspect", wrong)


def test_an_id_that_is_not_kept_is_answered_with_those_that_are(folder: Path) -> None:
    assert "expected the id of a checkpoint from 1 to 2, got 3" in refused(folder, 2, "inspect", "3")


# --- state ---


def test_state_shows_values_expiry_timers_and_version_in_every_script(folder: Path) -> None:
    assert document(folder, "checkpoint", "state", "v1") == {
        "key": "v1",
        "scripts": {
            "a.js": {
                "version": FIRST,
                "values": {"count": 12, "last": {"speed": [120, None]}},
                "expires": {"last": AT + 60_000},
                "timers": [
                    {"name": "stopped", "at": AT + 5_000, "time": "processing", "source": "gps", "data": {"since": 3}},
                    {"name": "week", "at": YEAR_60000, "time": "event", "source": "gps", "data": None},
                ],
            },
            "b.py": {"version": None, "values": {"count": 2}, "expires": {}, "timers": []},
        },
    }
    text = printed(folder, "state", "v1")
    assert "a.js, version abababababab" in text
    assert "b.py, version unknown" in text
    assert 'last {"speed":[120,null]} 2025-' in text
    assert "stopped 2025-" in text
    assert 'processing gps {"since":3}' in text
    assert f"week {YEAR_60000} event gps" in text


def test_state_of_one_script_only(folder: Path) -> None:
    assert list(document(folder, "checkpoint", "state", "v1", "--script", "b.py")["scripts"]) == ["b.py"]


@pytest.mark.parametrize(
    ("typed", "key", "kind"),
    [
        ("42", 42, "number"),
        ('"42"', "42", "text"),
        ("43", "43", "text"),
        ("null", None, None),
        ('[ "a", 1.0 ]', ["a", 1.0], None),
    ],
)
def test_a_key_is_read_as_json_where_that_key_has_state_and_else_as_text(
    folder: Path, typed: str, key: Any, kind: str | None
) -> None:
    found = document(folder, "checkpoint", "state", typed)
    assert found["key"] == key
    assert next(iter(found["scripts"].values()))["values"].get("kind") == kind


def test_a_key_without_state_ends_with_1_and_says_where_there_is_some(folder: Path) -> None:
    told = refused(folder, 1, "state", "v9")
    assert "expected a key that has state, got 'v9'; keys that have: 1 in a.js, 5 in b.py, 1 in gone.py" in told
    assert "has state in c.js, got 'v1'" in refused(folder, 1, "state", "v1", "--script", "c.js")


# --- nothing to show ---


@pytest.mark.parametrize("arguments", [["list"], ["inspect"], ["state", "v1"]])
def test_before_the_first_checkpoint_every_command_ends_with_1_and_makes_no_file(
    tmp_path: Path, arguments: list[str]
) -> None:
    project(tmp_path)
    assert "expected a checkpoint of a host that has run, got none" in refused(tmp_path, 1, *arguments, "--json")
    assert not (tmp_path / ".trimtab").exists()


def test_a_host_that_has_taken_none_yet_is_told_from_one_without_keys(tmp_path: Path) -> None:
    state = project(tmp_path) / ".trimtab"
    state.mkdir()
    with closing(CheckpointStore(state / FILE_NAME)) as store:
        store.begin_run()
        assert "expected a checkpoint" in refused(tmp_path, 1, "list")
        store.commit(checkpoint(1), [])
    assert "keys that have: none" in refused(tmp_path, 1, "state", "v1")
    assert json.loads(trimtab(tmp_path, "checkpoint", "inspect", "--json").stdout)["state"] == {}


def test_a_damaged_store_is_told_in_one_line(tmp_path: Path) -> None:
    state = project(tmp_path) / ".trimtab"
    state.mkdir()
    (state / FILE_NAME).write_bytes(b"no database" * 1_000)
    told = refused(tmp_path, 1, "list")
    assert "the file is damaged" in told
    assert len(told.splitlines()) == 1
