"""The store of dead letters."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from trimtab.errors import Fault, StateError
from trimtab.runtime.dead_letters import DeadLetter, DeadLetters, Filters

FAULT = Fault("TypeError", "x is not a function", "a.js", 3, 7)


@pytest.fixture
def letters(tmp_path: Path) -> Iterator[DeadLetters]:
    store = DeadLetters(tmp_path / "dead-letters.db")
    yield store
    store.close()


def letter(position: int = 0, **fields: Any) -> DeadLetter:
    defaults: dict[str, Any] = {
        "kind": "handler",
        "payload": b'{"n":1}',
        "source": "gps",
        "partition": "p",
        "position": position,
        "event_id": f"gps:p:{position}",
        "script": "a.js",
        "version": "ab" * 32,
        "generation": 4,
        "fault": FAULT,
        "at": 1_000 + position,
    }
    return DeadLetter(**{**defaults, **fields})


def test_a_letter_comes_back_as_it_was_given(letters: DeadLetters) -> None:
    given = letter(5, key={"id": [1, "ä"]}, payload=b"\xff\x00", tries=2, sink="out")
    letters.add_many([given])
    kept = letters.get(1)
    assert kept is not None
    assert (kept.id, kept.key, kept.payload, kept.tries, kept.sink) == (1, {"id": [1, "ä"]}, b"\xff\x00", 2, "out")
    assert kept.fault == FAULT


def test_letters_survive_the_end_of_the_process(tmp_path: Path) -> None:
    path = tmp_path / "dead-letters.db"
    first = DeadLetters(path)
    first.add_many([letter(1), letter(2)])
    first.close()
    assert DeadLetters(path).count() == 2


def test_an_event_that_fails_again_in_the_same_script_stays_one_letter(letters: DeadLetters) -> None:
    letters.add_many([letter(1, tries=2)])
    letters.add_many([letter(1, version="cd" * 32, fault=Fault("RangeError", "again"), at=9_000)])
    [kept] = letters.list()
    assert (kept.id, kept.tries, kept.version, kept.fault.name, kept.at) == (1, 3, "cd" * 32, "RangeError", 9_000)


def test_an_event_that_fails_in_two_scripts_is_two_letters(letters: DeadLetters) -> None:
    letters.add_many([letter(1), letter(1, script="b.js")])
    assert [kept.script for kept in letters.list()] == ["a.js", "b.js"]


def test_refused_lines_of_a_sink_never_replace_each_other(letters: DeadLetters) -> None:
    letters.add_many([letter(1, kind="sink", sink="out"), letter(1, kind="sink", sink="out")])
    assert letters.count() == 2


@pytest.mark.parametrize(
    ("filters", "positions"),
    [
        (Filters(), [1, 2, 3, 4]),
        (Filters(script="b.py"), [2]),
        (Filters(source="other"), [3]),
        (Filters(kind="codec"), [4]),
        (Filters(since=1_003), [3, 4]),
        (Filters(since=1_003, source="gps"), [4]),
        (Filters(script="'; drop table letters; --"), []),
    ],
)
def test_filters_narrow_list_ids_count_and_purge_alike(
    letters: DeadLetters, filters: Filters, positions: list[int]
) -> None:
    letters.add_many([letter(1), letter(2, script="b.py"), letter(3, source="other"), letter(4, kind="codec")])
    assert [kept.position for kept in letters.list(filters)] == positions
    assert list(letters.ids(filters)) == positions  # the ids count like the positions here
    assert letters.count(filters) == len(positions)
    assert letters.purge(filters) == len(positions)
    assert letters.count() == 4 - len(positions)


def test_pages_follow_each_other_without_gap_or_repeat(letters: DeadLetters) -> None:
    letters.add_many([letter(n) for n in range(10)])
    seen: list[int] = []
    while page := letters.list(limit=3, after=seen[-1] if seen else 0):
        assert len(page) <= 3
        seen += [kept.id for kept in page]
    assert seen == list(range(1, 11))


def test_a_removed_id_is_never_given_again(letters: DeadLetters) -> None:
    letters.add_many([letter(1)])
    assert letters.remove([1, 99]) == 1
    letters.add_many([letter(2)])
    assert [kept.id for kept in letters.list()] == [2]


def test_one_bad_letter_keeps_out_the_whole_set(letters: DeadLetters) -> None:
    with pytest.raises(StateError):
        letters.add_many([letter(1), letter(2, source=None)])
    assert letters.count() == 0
    letters.add_many([letter(3)])
    assert letters.count() == 1


def test_a_replay_waits_in_the_database_until_it_is_settled(tmp_path: Path) -> None:
    path = tmp_path / "dead-letters.db"
    stopped = DeadLetters(path)
    stopped.add_many([letter(1), letter(2), letter(3)])
    stopped.request_replay([1, 3, 99])
    stopped.request_replay([3], "cd" * 32)
    stopped.close()
    started = DeadLetters(path)
    assert list(started.pending_replays()) == [(1, None), (3, "cd" * 32)]
    started.remove([1])
    started.settle_replays([3])
    assert list(started.pending_replays()) == []
    assert started.count() == 2


def test_many_threads_may_add_at_once(letters: DeadLetters) -> None:
    def add(part: int) -> None:
        for n in range(20):
            letters.add_many([letter(part * 100 + n)])

    threads = [threading.Thread(target=add, args=[part]) for part in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert letters.count() == 80


def test_the_document_of_a_letter_is_plain_json_values() -> None:
    assert letter(1).document()["payload"] == '{"n":1}'
    assert letter(1).document()["fault"]["line"] == 3
    raw = letter(1, payload=b"\xff").document()
    assert (raw["payload"], raw["payload_encoding"]) == ("/w==", "base64")


def test_a_file_that_is_no_database_is_a_state_error_that_names_it(tmp_path: Path) -> None:
    path = tmp_path / "dead-letters.db"
    path.write_bytes(b"this is no database, it is a sentence." * 100)
    with pytest.raises(StateError, match=r"dead-letters\.db.*not a database"):
        DeadLetters(path)
