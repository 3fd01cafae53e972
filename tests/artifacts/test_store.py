"""The artifact store: what it answers, and what it survives."""

from __future__ import annotations

import hashlib
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from trimtab.artifacts.records import Change
from trimtab.artifacts.schema import SCHEMA
from trimtab.artifacts.store import ArtifactStore
from trimtab.errors import Fault, StateError, UsageError

FAULT = Fault("SyntaxError", "unexpected token", file="a.js", line=3, column=1)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "artifacts.db"


@pytest.fixture
def store(path: Path) -> Iterator[ArtifactStore]:
    with ArtifactStore(path) as store:
        yield store


def commit(store: ArtifactStore, **contents: bytes | None) -> int:
    """Commit a change of some names (``a`` for ``a.js``); None deletes."""
    active = store.active()
    changes = {}
    for short, content in contents.items():
        name = f"{short}.js"
        if content is None:
            changes[name] = Change("deleted", None)
        else:
            version = store.stage(name, content, "folder")
            changes[name] = Change("changed" if name in active else "added", version.seq)
    return store.record_committed("change", changes, {"check": 0.01})


def contents(store: ArtifactStore, number: int | None = None) -> dict[str, bytes]:
    versions = store.active() if number is None else store.generation_set(number)
    return {name: store.content(version.hash) for name, version in versions.items()}


# --- versions ---


def test_staged_bytes_are_numbered_a_name_and_found_by_their_hash(store: ArtifactStore) -> None:
    first, second = store.stage("a.js", b"1", "folder"), store.stage("a.js", b"2", "folder")
    other = store.stage("b.js", b"1", "folder")
    assert (first.seq, second.seq, other.seq) == (1, 2, 1)
    assert first.hash == other.hash == hashlib.sha256(b"1").hexdigest()
    assert store.content(first.hash) == b"1"


def test_staging_the_latest_bytes_again_is_the_same_version(store: ArtifactStore) -> None:
    first = store.stage("a.js", b"1", "folder")
    assert store.stage("a.js", b"1", "folder") == first


def test_the_same_bytes_from_another_place_are_a_version_of_their_own(store: ArtifactStore) -> None:
    store.stage("a.js", b"1", "folder")
    moved = store.stage("a.js", b"1", "discoverers.table")
    assert (moved.seq, moved.origin) == (2, "discoverers.table")


def test_older_bytes_that_come_again_are_a_new_version(store: ArtifactStore) -> None:
    seqs = [store.stage("a.js", content, "folder").seq for content in (b"1", b"2", b"1")]
    assert seqs == [1, 2, 3]


def test_the_history_of_a_name_tells_what_runs_and_what_was_refused(store: ArtifactStore) -> None:
    commit(store, a=b"1")
    bad = store.stage("a.js", b"2", "folder")
    store.record_refused("change", {"a.js": Change("changed", bad.seq, FAULT)}, {})
    told = [(each.seq, each.active, each.fault) for each in store.versions("a.js")]
    assert told == [(1, True, None), (2, False, FAULT)]
    assert store.last_fault("a.js") == FAULT


def test_a_fault_is_forgotten_once_the_version_was_committed(store: ArtifactStore) -> None:
    version = store.stage("a.js", b"1", "folder")
    store.record_refused("change", {"a.js": Change("added", version.seq, FAULT)}, {})
    store.record_committed("change", {"a.js": Change("added", version.seq)}, {})
    assert store.versions("a.js")[0].fault is None
    assert store.last_fault("a.js") is None


def test_an_unknown_name_is_answered_with_the_nearest_one(store: ArtifactStore) -> None:
    store.stage("overspeed.js", b"1", "folder")
    with pytest.raises(UsageError, match=r"overspead\.js.*did you mean 'overspeed\.js'"):
        store.versions("overspead.js")


def test_an_unknown_name_is_looked_for_among_thousands_of_rules_without_comparing_all(store: ArtifactStore) -> None:
    store.stage_all({f"rack-{number}.rule.json": b"" for number in range(3000)} | {"heat.rule.json": b""}, "table")
    for name, meant in (("heat", "heat.rule.json"), ("haet.rule.json", None), ("heta.rule.json", "heat.rule.json")):
        with pytest.raises(UsageError, match=meant or "trimtab history"):
            store.versions(name)


def test_an_unknown_hash_is_refused(store: ArtifactStore) -> None:
    with pytest.raises(UsageError, match="hash of a stored version"):
        store.content("0" * 64)


# --- resolve ---


def test_a_version_is_named_by_number_or_by_hash_prefix(store: ArtifactStore) -> None:
    commit(store, a=b"1")
    two = store.stage("a.js", b"2", "folder")
    for text in ("2", "#2", two.hash, two.hash[:4], two.hash[:12].upper()):
        assert store.resolve("a.js", text) == two
    assert store.resolve("a.js", None).seq == 1


def test_a_number_of_digits_that_is_no_version_may_be_a_hash(store: ArtifactStore) -> None:
    content = next(b"%d" % i for i in range(10_000) if hashlib.sha256(b"%d" % i).hexdigest()[:4].isdecimal())
    version = store.stage("a.js", content, "folder")
    assert store.resolve("a.js", version.hash[:4]) == version


@pytest.mark.parametrize("text", ["7", "#7", "abc", "zzzz", "", "#", "-1"])
def test_an_unknown_version_is_answered_with_those_there_are(store: ArtifactStore, text: str) -> None:
    version = store.stage("a.js", b"1", "folder")
    with pytest.raises(UsageError, match=f"#1 {version.hash[:12]}"):
        store.resolve("a.js", text)


def test_an_ambiguous_prefix_is_refused(store: ArtifactStore) -> None:
    by_prefix: dict[str, bytes] = {}
    for i in range(100_000):
        content = b"%d" % i
        prefix = hashlib.sha256(content).hexdigest()[:4]
        if prefix in by_prefix and not prefix.isdecimal():
            break
        by_prefix[prefix] = content
    store.stage("a.js", by_prefix[prefix], "folder")
    store.stage("a.js", content, "folder")
    with pytest.raises(UsageError, match="fits 2 of them"):
        store.resolve("a.js", prefix)


def test_the_same_bytes_staged_twice_are_not_ambiguous(store: ArtifactStore) -> None:
    first, _, third = (store.stage("a.js", content, "folder") for content in (b"1", b"2", b"1"))
    assert store.resolve("a.js", first.hash[:8]) == third


def test_a_name_that_does_not_run_has_no_active_version(store: ArtifactStore) -> None:
    store.stage("a.js", b"1", "folder")
    with pytest.raises(UsageError, match="expected a running version"):
        store.resolve("a.js", None)


# --- generations ---


def test_numbers_are_dense_over_committed_and_refused_generations(store: ArtifactStore) -> None:
    assert (store.next_number(), store.latest_number()) == (1, 0)
    assert commit(store, a=b"1") == 1
    assert store.record_refused("change", {"a.js": Change("changed", None, FAULT)}, {}) == 2
    assert (store.next_number(), store.latest_number()) == (3, 1)
    assert commit(store, a=b"2") == 3
    assert store.latest_number() == 3


def test_a_refused_generation_changes_nothing(store: ArtifactStore) -> None:
    commit(store, a=b"1")
    version = store.stage("a.js", b"2", "folder")
    store.record_refused("change", {"a.js": Change("changed", version.seq, FAULT)}, {})
    assert contents(store) == {"a.js": b"1"}


def test_a_committed_change_with_a_fault_is_left_out(store: ArtifactStore) -> None:
    good, bad = store.stage("a.js", b"1", "folder"), store.stage("b.js", b"1", "folder")
    changes = {"a.js": Change("added", good.seq), "b.js": Change("added", bad.seq, FAULT)}
    number = store.record_committed("start", changes, {})
    assert set(store.active()) == set(store.generation_set(number)) == {"a.js"}


def test_the_whole_set_of_any_earlier_generation_is_known(store: ArtifactStore) -> None:
    numbers = [commit(store, a=b"1", b=b"1"), commit(store, a=b"2"), commit(store, b=None), commit(store, b=b"3")]
    assert [contents(store, number) for number in numbers] == [
        {"a.js": b"1", "b.js": b"1"},
        {"a.js": b"2", "b.js": b"1"},
        {"a.js": b"2"},
        {"a.js": b"2", "b.js": b"3"},
    ]


def test_what_has_changed_since_a_generation_is_known_step_by_step(store: ArtifactStore) -> None:
    first = commit(store, a=b"1", b=b"1")
    commit(store, a=b"2", c=b"1")
    commit(store, a=None)
    commit(store, a=b"3")
    steps = {
        name: [None if version is None else store.content(version.hash) for version in versions]
        for name, versions in store.changed_since(first).items()
    }
    assert steps == {"a.js": [b"1", b"2", None, b"3"], "c.js": [None, b"1"]}
    assert store.changed_since(store.latest_number()) == store.changed_since(99) == {}
    assert set(store.changed_since(0)) == {"a.js", "b.js", "c.js"}


def test_only_committed_generations_can_be_asked_for(store: ArtifactStore) -> None:
    commit(store, a=b"1")
    store.record_refused("change", {"a.js": Change("changed", None, FAULT)}, {})
    with pytest.raises(UsageError, match="which was refused"):
        store.generation_set(2)
    with pytest.raises(UsageError, match="which does not exist"):
        store.generation_set(9)


def test_the_history_tells_what_each_generation_changed_and_why_it_was_refused(store: ArtifactStore) -> None:
    commit(store, a=b"1", b=b"1")
    version = store.stage("a.js", b"2", "folder")
    store.record_refused("rollback", {"a.js": Change("changed", version.seq, FAULT)}, {"check": 0.5})
    latest, first = store.generations(10)
    assert (latest.number, latest.outcome, latest.reason, latest.base) == (2, "refused", "rollback", 1)
    assert latest.changes == {"a.js": Change("changed", 2, FAULT)}
    assert latest.seconds == {"check": 0.5}
    assert (first.number, first.outcome, first.base) == (1, "committed", None)
    assert [each.number for each in store.generations(10, "b.js")] == [1]
    assert [each.number for each in store.generations(1)] == [2]


def test_a_change_of_a_version_that_was_never_staged_leaves_no_trace(store: ArtifactStore) -> None:
    commit(store, a=b"1")
    with pytest.raises(sqlite3.IntegrityError):
        store.record_committed("change", {"a.js": Change("changed", 7)}, {})
    assert store.next_number() == 2
    assert contents(store) == {"a.js": b"1"}


# --- previous ---


def test_the_previous_version_is_the_one_that_ran_before(store: ArtifactStore) -> None:
    commit(store, a=b"1")
    assert store.previous("a.js") is None
    commit(store, a=b"2")
    bad = store.stage("a.js", b"bad", "folder")
    store.record_refused("change", {"a.js": Change("changed", bad.seq, FAULT)}, {})
    store.record_committed("change", {"a.js": Change("reloaded", 2)}, {})
    previous = store.previous("a.js")
    assert previous is not None
    assert previous.seq == 1


def test_before_a_deletion_ran_the_deleted_version(store: ArtifactStore) -> None:
    commit(store, a=b"1")
    commit(store, a=None)
    previous = store.previous("a.js")
    assert previous is not None
    assert previous.seq == 1
    commit(store, a=b"1")
    assert store.previous("a.js") is None


def test_a_name_that_never_ran_has_no_previous_version(store: ArtifactStore) -> None:
    store.stage("a.js", b"1", "folder")
    with pytest.raises(UsageError, match="expected a name that has run"):
        store.previous("a.js")
    with pytest.raises(UsageError, match="never seen"):
        store.previous("b.js")


# --- holds ---


def test_holds_are_kept_until_they_are_released(store: ArtifactStore, path: Path) -> None:
    store.hold("a.js", "f" * 64)
    store.hold("b.js", None)
    store.hold("a.js", "e" * 64)
    with ArtifactStore(path) as again:
        assert again.holds() == {"a.js": "e" * 64, "b.js": None}
    store.release("a.js")
    store.release("never held")
    assert store.holds() == {"b.js": None}


# --- cost ---


def test_one_change_among_ten_thousand_artifacts_costs_one_change(store: ArtifactStore, path: Path) -> None:
    versions = store.stage_all({f"{i:05}.js": b"%d" % i for i in range(10_000)}, "folder")
    store.record_committed("start", {name: Change("added", each.seq) for name, each in versions.items()}, {})

    def change(i: int) -> float:
        begin = time.perf_counter()
        version = store.stage("00042.js", b"new %d" % i, "folder")
        store.record_committed("change", {"00042.js": Change("changed", version.seq)}, {})
        return time.perf_counter() - begin

    assert min(change(i) for i in range(20)) < 0.05
    with sqlite3.connect(path) as connection:
        assert connection.execute("SELECT count(*) FROM changes WHERE generation > 1").fetchone() == (20,)
    connection.close()
    assert len(store.generation_set(1)) == 10_000


# --- the file ---


def test_what_was_stored_is_there_after_opening_again(path: Path) -> None:
    with ArtifactStore(path) as store:
        commit(store, a=b"1")
    with ArtifactStore(path) as store:
        assert contents(store) == {"a.js": b"1"}
        assert store.next_number() == 2


def test_a_command_reads_and_writes_while_the_host_has_the_store_open(store: ArtifactStore, path: Path) -> None:
    commit(store, a=b"1")
    with ArtifactStore(path) as command:
        assert contents(command) == {"a.js": b"1"}
        commit(command, a=b"2")
    assert contents(store) == {"a.js": b"2"}


def test_processes_that_open_a_new_store_at_once_do_not_disturb_each_other(path: Path) -> None:
    code = "import sys, pathlib, trimtab.artifacts.store as s; s.ArtifactStore(pathlib.Path(sys.argv[1])).close()"
    started = [subprocess.Popen([sys.executable, "-c", code, str(path)]) for _ in range(4)]
    assert [process.wait(30) for process in started] == [0, 0, 0, 0]


def test_threads_that_change_different_names_lose_nothing(path: Path) -> None:
    ArtifactStore(path).close()

    def work(short: str) -> None:
        with ArtifactStore(path) as store:
            for i in range(20):
                commit(store, **{short: b"%d" % i})

    threads = [threading.Thread(target=work, args=(short,)) for short in ("a", "b")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with ArtifactStore(path) as store:
        assert contents(store) == {"a.js": b"19", "b.js": b"19"}
        assert store.latest_number() == 40


WRITER = """
import pathlib, sys
from trimtab.artifacts.records import Change
from trimtab.artifacts.store import ArtifactStore
store = ArtifactStore(pathlib.Path(sys.argv[1]))
while True:
    version = store.stage("a.js", b"%d" % store.next_number(), "folder")
    print(store.record_committed("change", {"a.js": Change("changed", version.seq)}, {}), flush=True)
"""


@pytest.mark.parametrize("lines", [1, 5, 23])
def test_a_committed_generation_survives_kill_9(path: Path, lines: int) -> None:
    with subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        for _ in range(lines):
            reported = int(writer.stdout.readline())
        os.kill(writer.pid, signal.SIGKILL)
        reported = max([reported, *map(int, writer.stdout.read().split())])
    with ArtifactStore(path) as store:
        latest = store.latest_number()
        assert latest >= reported
        assert contents(store) == contents(store, latest) == {"a.js": b"%d" % latest}


def test_a_store_of_a_newer_version_is_refused_and_left_alone(path: Path) -> None:
    ArtifactStore(path).close()
    with sqlite3.connect(path) as connection:
        connection.execute(f"PRAGMA user_version = {SCHEMA.version + 1}")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(StateError, match="newer trimtab; install that version again"):
        ArtifactStore(path)
    assert path.read_bytes() == before


def test_a_damaged_file_is_refused_with_what_to_do(path: Path) -> None:
    path.write_bytes(b"this is no database, and long enough to be looked at" * 100)
    with pytest.raises(StateError, match="restore it from a backup"):
        ArtifactStore(path)


def test_damage_found_later_is_a_state_error_too(path: Path) -> None:
    with ArtifactStore(path) as store:
        commit(store, a=b"1")
        for i in range(200):
            store.stage("a.js", b"%d" % i * 500, "folder")
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xa5" * (size - 4096))
    with ArtifactStore(path) as store, pytest.raises(StateError, match="damaged"):
        store.versions("a.js")


def test_the_database_of_another_program_is_refused(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE other (x)")
    connection.close()
    with pytest.raises(StateError, match="another program's database"):
        ArtifactStore(path)


def test_a_missing_state_folder_is_said(tmp_path: Path) -> None:
    with pytest.raises(StateError, match="check that the state folder exists"):
        ArtifactStore(tmp_path / "nowhere" / "artifacts.db")
