"""The store of checkpoints: what it gives back, and what it survives."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import chain
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trimtab.api import Position
from trimtab.engine.state import TIMER, VERSION, StateRow, cleared
from trimtab.errors import StateError
from trimtab.runtime.checkpoints import FILE_NAME, Checkpoint, CheckpointStore, ScriptState


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / FILE_NAME


@pytest.fixture
def store(path: Path) -> Iterator[CheckpointStore]:
    with closing(CheckpointStore(path)) as store:
        yield store


def checkpoint(number: int = 0, versions: dict[str, str] | None = None) -> Checkpoint:
    """A checkpoint whose source has come to ``number``."""
    return Checkpoint(
        at=1_000 + number,
        generation=3,
        reason="interval",
        seconds=0.25,
        sources={"gps": Position("gps.jsonl", number, {"inode": 7})},
        watermarks={"gps": 900},
        versions=versions or {},
    )


def value(key: str, content: bytes | None, name: str = "count", script: str = "a.js") -> StateRow:
    return StateRow(script, f'"{key}"', name, content)


def rows_of(store: CheckpointStore, chunk: int = 1000) -> list[StateRow]:
    return list(chain.from_iterable(store.rows(chunk)))


# --- state ---


def test_a_new_store_has_no_checkpoint_and_no_state(store: CheckpointStore) -> None:
    assert store.latest() is None
    assert store.list(10) == []
    assert rows_of(store) == []
    assert store.state_of("null") == []
    assert store.summary() == {}


def test_what_is_committed_is_there_after_a_restart(path: Path) -> None:
    kept = [
        StateRow("a.js", "null", "\0version", b'"ab"'),
        StateRow("a.js", "null", "count", b"1", 5_000),
        StateRow("ü/b.py", '["x",1.0]', "näme", b"null"),
    ]
    with closing(CheckpointStore(path)) as store:
        store.commit(checkpoint(), kept)
    with closing(CheckpointStore(path)) as store:
        assert rows_of(store) == kept


def test_a_row_takes_the_place_of_an_older_one_or_deletes_it(store: CheckpointStore) -> None:
    store.commit(checkpoint(), [value("k", b"1"), value("l", b"1"), value("m", b"1")])
    store.commit(checkpoint(), [value("k", b"2"), value("l", None), value("never there", None)])
    assert rows_of(store) == [value("k", b"2"), value("m", b"1")]


def test_clearing_a_script_drops_what_came_before_it_and_of_this_script_only(store: CheckpointStore) -> None:
    other = value("k", b"9", script="b.js")
    store.commit(checkpoint(), [value("k", b"1"), other])
    store.commit(checkpoint(), [value("l", b"2"), cleared("a.js"), value("m", b"3")])
    assert rows_of(store) == [value("m", b"3"), other]


def test_of_very_many_rows_the_last_of_each_value_counts(store: CheckpointStore) -> None:
    keys = [f"{number:04}" for number in range(1_700)]
    written = [value(key, content) for content in (b"1", None, b"2") for key in keys]
    store.commit(checkpoint(), [*written, *(value(key, None) for key in keys[::2])])
    assert rows_of(store) == [value(key, b"2") for key in keys[1::2]]


changes = st.builds(
    StateRow,
    script=st.sampled_from(["a.js", "b.py"]),
    key=st.sampled_from(["null", '"k"', "1"]),
    name=st.sampled_from(["\0version", "x", "y"]),
    value=st.sampled_from([None, b"1", b"2"]),
    expires=st.sampled_from([None, 5]),
) | st.builds(cleared, st.sampled_from(["a.js", "b.py"]))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(changes, max_size=12), max_size=4))
def test_whatever_is_committed_the_state_is_that_of_a_dict(commits: list[list[StateRow]]) -> None:
    model: dict[tuple[str, str, str], StateRow] = {}
    with tempfile.TemporaryDirectory() as folder, closing(CheckpointStore(Path(folder, FILE_NAME))) as store:
        for rows in commits:
            store.commit(checkpoint(), rows)
            for row in rows:
                if not row.name:
                    model = {name: kept for name, kept in model.items() if kept.script != row.script}
                elif row.value is None:
                    model.pop((row.script, row.key, row.name), None)
                else:
                    model[row.script, row.key, row.name] = row
        assert rows_of(store, chunk=2) == [model[name] for name in sorted(model)]


@pytest.mark.parametrize("chunk", [1, 3, 10, 11])
def test_state_is_read_in_chunks_without_a_gap_or_a_double(store: CheckpointStore, chunk: int) -> None:
    kept = [value(key, b"1", name, script) for script in ("a.js", "b.js") for key in "kl" for name in ("x", "y")]
    kept += [value("m", b"1", name, "b.js") for name in ("x", "y")]
    store.commit(checkpoint(), kept)
    assert rows_of(store, chunk) == kept
    assert {len(part) for part in store.rows(chunk)} <= {chunk, len(kept) % chunk}


def test_a_commit_between_two_chunks_shows_in_those_behind_it(store: CheckpointStore) -> None:
    store.commit(checkpoint(), [value(key, b"1") for key in "klm"])
    chunks = store.rows(1)
    assert next(chunks) == [value("k", b"1")]
    store.commit(checkpoint(), [value("k", b"2"), value("l", None), value("m", b"2")])
    assert list(chunks) == [[value("m", b"2")]]


def test_in_a_snapshot_everything_is_of_one_checkpoint(path: Path, store: CheckpointStore) -> None:
    store.commit(checkpoint(1), [value("k", b"1"), value("l", b"1")])
    with closing(CheckpointStore(path)) as command, command.snapshot():
        chunks = command.rows(1)
        assert next(chunks) == [value("k", b"1")]
        store.commit(checkpoint(2), [value("l", b"2")])
        assert next(chunks) == [value("l", b"1")]
        assert command.latest() == command.get(1)


def test_the_state_of_a_key_is_found_in_every_script_or_in_one(store: CheckpointStore) -> None:
    of_k = [value("k", b"%d" % number, name, f"{number}.js") for number in range(5) for name in ("x", "y")]
    store.commit(checkpoint(), [*of_k, *(value("l", b"9", script=f"{number}.js") for number in range(5))])
    assert store.state_of('"k"') == of_k
    assert store.state_of('"k"', "3.js") == of_k[6:8]
    assert store.state_of('"k"', "4") == []
    assert store.state_of("k") == []


def test_the_summary_counts_keys_values_bytes_and_timers_of_each_script(store: CheckpointStore) -> None:
    mine = [value("k", b"12", "x"), value("k", b"3", "y"), value("l", b"4", "x")]
    timers = [value("l", b"{}", TIMER + name) for name in ("a", "ü", "\U0010ffff")]
    store.commit(checkpoint(), [*mine, *timers, value("l", b'"v"', VERSION), value("k", b"1", script="b.js")])
    assert store.summary() == {"a.js": ScriptState(2, 3, 13, 3), "b.js": ScriptState(1, 1, 1, 0)}


# --- checkpoints ---


def test_a_checkpoint_comes_back_as_it_was_with_its_id_and_the_number_of_rows(store: CheckpointStore) -> None:
    assert store.commit(checkpoint(5, {"a.js": "ab"}), [value("k", b"1"), value("k", None)]) == 1
    latest = store.latest()
    assert latest is not None
    assert (latest.id, latest.changed, latest.at, latest.generation) == (1, 2, 1_005, 3)
    assert (latest.reason, latest.seconds, latest.watermarks) == ("interval", 0.25, {"gps": 900})
    assert latest.sources == {"gps": Position("gps.jsonl", 5, {"inode": 7})}
    assert latest.versions == {"a.js": "ab"}
    assert store.get(1) == latest
    assert store.get(2) is None


def test_checkpoints_are_listed_newest_first(store: CheckpointStore) -> None:
    for number in range(3):
        store.commit(checkpoint(number), [])
    assert [each.id for each in store.list(10)] == [3, 2, 1]
    assert [each.id for each in store.list(2)] == [3, 2]


def test_each_checkpoint_has_the_versions_that_ran_at_it(path: Path) -> None:
    ran: list[dict[str, str]] = [{"a.js": "1"}, {"a.js": "1"}, {"a.js": "2", "b.js": "1"}, {"a.js": "1"}, {}]
    with closing(CheckpointStore(path)) as store:
        for versions in ran[:3]:
            store.commit(checkpoint(0, versions), [])
    with closing(CheckpointStore(path)) as store:
        for versions in ran[3:]:
            store.commit(checkpoint(0, versions), [])
        assert [each.versions for each in reversed(store.list(9))] == ran


def test_the_last_100_checkpoints_are_kept_with_their_versions(path: Path) -> None:
    with closing(CheckpointStore(path)) as store:
        for number in range(1, 140):
            store.commit(checkpoint(number, {"a.js": str(number // 40)}), [])
        kept = store.list(1_000)
        assert [each.id for each in kept] == list(range(139, 39, -1))
        assert all(each.versions == {"a.js": str(each.id // 40)} for each in kept)
        assert store.get(39) is None
    with closing(sqlite3.connect(path)) as database:
        assert database.execute("SELECT count(*) FROM versions").fetchone() == (3,)


def test_every_run_has_another_number_also_after_kill_9(path: Path) -> None:
    code = "import pathlib, sys, os; from trimtab.runtime.checkpoints import CheckpointStore as S; "
    code += "print(S(pathlib.Path(sys.argv[1])).begin_run(), flush=True); os.kill(os.getpid(), 9)"
    numbers = []
    for _ in range(2):
        done = subprocess.run([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, text=True, check=False)
        assert done.returncode == -signal.SIGKILL
        numbers.append(int(done.stdout))
    with closing(CheckpointStore(path)) as store:
        assert [*numbers, store.begin_run(), store.begin_run()] == [1, 2, 3, 4]


# --- faults ---

WRITER = """
import itertools, pathlib, sys
from trimtab.engine.state import StateRow
from trimtab.api import Position
from trimtab.runtime.checkpoints import Checkpoint, CheckpointStore
store = CheckpointStore(pathlib.Path(sys.argv[1]))
for n in itertools.count(1):
    made = Checkpoint(at=0, generation=1, reason="interval", sources={"gps": Position("", n)})
    print(store.commit(made, [StateRow("a.js", str(key), "n", b"%d" % n) for key in range(1200)]), flush=True)
"""


@pytest.mark.parametrize("commits", [1, 9])
def test_after_kill_9_state_and_positions_belong_to_one_checkpoint(path: Path, commits: int) -> None:
    with subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        for _ in range(commits):
            writer.stdout.readline()
        os.kill(writer.pid, signal.SIGKILL)
        reported = max([commits, *map(int, writer.stdout.read().split())])
    with closing(CheckpointStore(path)) as store:
        latest = store.latest()
        assert latest is not None
        assert latest.id >= reported
        assert latest.sources["gps"].next == latest.id
        assert {row.value for row in rows_of(store)} == {b"%d" % latest.id}
        assert len(rows_of(store)) == 1_200


FULL_DISK = """
import pathlib, resource, sys
from trimtab.engine.state import StateRow
from trimtab.errors import StateError
from trimtab.runtime.checkpoints import Checkpoint, CheckpointStore
store = CheckpointStore(pathlib.Path(sys.argv[1]))
made = Checkpoint(at=0, generation=1, reason="interval")
store.commit(made, [StateRow("a.js", "1", "n", b"1")])
limit = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, limit[1]))
try:
    store.commit(made, [StateRow("a.js", str(key), "n", b"2" * 100) for key in range(5_000)])
except StateError as error:
    print(error)
resource.setrlimit(resource.RLIMIT_FSIZE, limit)
assert [row.value for rows in store.rows() for row in rows] == [b"1"]
assert store.commit(made, [StateRow("a.js", "1", "n", b"3")]) == 2
"""


def test_a_commit_for_which_there_is_no_room_changes_nothing_and_the_next_one_works(path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", FULL_DISK, str(path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "the room on its disk" in done.stdout
    with closing(CheckpointStore(path)) as store:
        assert rows_of(store) == [StateRow("a.js", "1", "n", b"3")]


def test_threads_that_write_and_read_at_once_lose_nothing(store: CheckpointStore) -> None:
    failures: list[BaseException] = []

    def guarded(work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - told by the test
            failures.append(error)

    def write() -> None:
        for number in range(30):
            store.commit(checkpoint(number), [value(str(key), b"%d" % number) for key in range(50)])

    def read() -> None:
        for _ in range(30):
            with store.snapshot():
                assert len({row.value for row in rows_of(store, chunk=random.choice([7, 100]))}) <= 1
            store.begin_run()

    threads = [threading.Thread(target=guarded, args=(work,)) for work in (write, write, read, read)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    latest = store.latest()
    assert latest is not None
    assert (latest.id, store.begin_run()) == (60, 61)


def test_a_file_of_another_program_is_refused(path: Path) -> None:
    with closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE other (x)")
    with pytest.raises(StateError, match=r"expected a store of checkpoints, got another program's database"):
        CheckpointStore(path)


def test_a_file_of_a_newer_version_is_refused_and_left_alone(path: Path) -> None:
    CheckpointStore(path).close()
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA user_version = 2")
    before = path.read_bytes()
    with pytest.raises(StateError, match="of schema 1, got schema 2 of a newer trimtab; install that version again"):
        CheckpointStore(path)
    assert path.read_bytes() == before


def test_a_damaged_file_is_refused_with_what_to_do(path: Path) -> None:
    path.write_bytes(b"this is no database, and long enough to be looked at" * 100)
    with pytest.raises(StateError, match=r"the file is damaged: restore it from a backup, or move it away to start"):
        CheckpointStore(path)


def test_damage_that_is_found_while_state_is_read_is_told_too(path: Path) -> None:
    with closing(CheckpointStore(path)) as store:
        store.commit(checkpoint(), [value(f"{number:05}", b"1" * 50) for number in range(5_000)])
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(size // 2)
        file.write(b"\xa5" * (size // 4))
    with closing(CheckpointStore(path)) as store, pytest.raises(StateError, match="damaged"):
        rows_of(store)


def test_a_missing_state_folder_is_said(tmp_path: Path) -> None:
    with pytest.raises(StateError, match="check that the state folder exists"):
        CheckpointStore(tmp_path / "nowhere" / FILE_NAME)
