"""The journal, on real files: what was acknowledged is there, whatever happened to the process or the file's end."""

from __future__ import annotations

import asyncio
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import get_args

import pytest

from trimtab.api import Records
from trimtab.configuration.schema import Fsync
from trimtab.errors import StateError
from trimtab.runtime import journal as module
from trimtab.runtime.journal import Journal

ALL = 1 << 30


@contextmanager
def journal_at(path: Path, fsync: Fsync = "always") -> Iterator[Journal]:
    with closing(Journal(path, fsync)) as journal:
        yield journal


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.db"


@pytest.fixture
def journal(path: Path) -> Iterator[Journal]:
    with journal_at(path) as journal:
        yield journal


def append(journal: Journal, source: str, *records: bytes, lines: bool = True) -> int:
    return asyncio.run(journal.append(source, records, lines=lines))


def numbered(found: list[Records]) -> list[tuple[int, bytes]]:
    """Every record with its number."""
    pairs: list[tuple[int, bytes]] = []
    for records in found:
        assert records.positions is not None
        texts = records.data.split(b"\n") if len(records.positions) > 1 else [records.data]
        pairs += zip(records.positions, texts, strict=True)
    return pairs


# --- what comes back ---


def test_records_come_back_with_consecutive_numbers_of_their_source(journal: Journal) -> None:
    assert append(journal, "a", b"0", b"1") == 0
    assert append(journal, "b", b"x") == 0
    assert append(journal, "a", b"2") == 2
    found = journal.read("a", 0, ALL)
    assert numbered(found) == [(0, b"0"), (1, b"1"), (2, b"2")]
    assert {records.partition for records in found} == {journal.identity}
    assert numbered(journal.read("b", 0, ALL)) == [(0, b"x")]
    assert journal.read("c", 0, ALL) == []


@pytest.mark.parametrize("lines", [True, False])
@pytest.mark.parametrize("after", range(7))
def test_reading_begins_at_any_number(journal: Journal, after: int, lines: bool) -> None:
    texts = [b"0", b"", b"2", b"3" * 300, b"", b"5"]
    append(journal, "a", *texts[:3], lines=lines)
    append(journal, "a", *texts[3:5], lines=lines)
    append(journal, "a", *texts[5:], lines=lines)
    assert numbered(journal.read("a", after, ALL)) == list(enumerate(texts))[after:]


def test_records_that_are_not_lines_come_back_one_by_one(journal: Journal) -> None:
    append(journal, "a", b"\x0a\x0a", b"", b"x", lines=False)
    found = journal.read("a", 0, ALL)
    assert [(records.data, records.positions) for records in found] == [
        (b"\x0a\x0a", range(1)),
        (b"", range(1, 2)),
        (b"x", range(2, 3)),
    ]


def test_no_more_is_read_than_asked_for_but_always_something(journal: Journal) -> None:
    for number in range(5):
        append(journal, "a", b"%d" % number * 10)
    assert [number for number, _text in numbered(journal.read("a", 1, 15))] == [1, 2]
    assert [number for number, _text in numbered(journal.read("a", 4, 1))] == [4]


def test_nothing_cannot_be_appended(journal: Journal) -> None:
    with pytest.raises(ValueError, match="at least one record"):
        append(journal, "a")
    assert append(journal, "a", b"0") == 0


# --- many at a time ---


def test_appends_that_wait_are_numbered_in_the_order_of_the_calls_and_return_in_it(path: Path) -> None:
    returned: list[tuple[str, int]] = []

    async def run(journal: Journal) -> None:
        async def one(source: str, number: int) -> None:
            first = await journal.append(source, [b"%d" % number, b"-"])
            returned.append((source, first))
            assert first == 2 * number

        await asyncio.gather(*(one(source, number) for number in range(2500) for source in "ab"))

    with journal_at(path) as journal:
        asyncio.run(run(journal))
        assert returned == [(source, 2 * number) for number in range(2500) for source in "ab"]
        assert numbered(journal.read("a", 0, ALL))[::2] == [(2 * n, b"%d" % n) for n in range(2500)]


def test_an_append_that_is_cancelled_does_not_hold_up_the_others(journal: Journal) -> None:
    async def run() -> None:
        first, second = (asyncio.create_task(journal.append("a", [text])) for text in (b"0", b"1"))
        await asyncio.sleep(0)
        first.cancel()
        assert await second == 1
        assert await journal.append("a", [b"2"]) == 2

    asyncio.run(run())


# --- trimming and starting again ---


def test_numbers_go_on_after_everything_was_trimmed_and_the_journal_opened_again(path: Path) -> None:
    with journal_at(path) as journal:
        identity = journal.identity
        append(journal, "a", b"0", b"1", b"2")
        append(journal, "b", b"0", b"1")
        journal.trim({"a": 3, "b": 1})
    with journal_at(path) as journal:
        assert journal.identity == identity
        assert journal.read("a", 0, ALL) == []
        assert append(journal, "a", b"3") == 3
        assert append(journal, "b", b"2") == 2
        assert numbered(journal.read("a", 3, ALL)) == [(3, b"3")]
        assert numbered(journal.read("b", 1, ALL)) == [(1, b"1"), (2, b"2")]


def test_another_file_has_another_identity(tmp_path: Path) -> None:
    identities = set()
    for name in ("1", "2"):
        with journal_at(tmp_path / name) as journal:
            identities.add(journal.identity)
            assert int(journal.identity, 16) >= 0
            assert len(journal.identity) >= 8
    assert len(identities) == 2


def test_the_file_does_not_grow_while_it_is_trimmed(path: Path, journal: Journal) -> None:
    def size() -> int:
        return sum(file.stat().st_size for file in path.parent.iterdir())

    def fill() -> None:
        for _ in range(8):
            following = append(journal, "a", *[b"x" * 99] * 5000) + 5000
        journal.trim({"a": following})

    fill()
    fill()
    before = size()
    for _ in range(5):
        fill()
    assert size() <= before * 1.2


def test_with_interval_what_was_appended_goes_from_the_log_to_the_file_by_itself(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SYNC_SECONDS", 0.01)

    def holds(data: bytes) -> bool:
        return data in path.read_bytes()

    async def run(journal: Journal) -> None:
        for number in range(2):
            await journal.append("a", [b"%d" % number * 10_000])
            async with asyncio.timeout(20):
                while not holds(b"%d" % number * 1000):  # noqa: ASYNC110 - a file cannot be waited for
                    await asyncio.sleep(0.01)

    with journal_at(path, "interval") as journal:
        asyncio.run(run(journal))


# --- when something goes wrong ---


CRASHING = """
import asyncio, sys
from pathlib import Path
from trimtab.runtime.journal import Journal

async def main():
    journal = Journal(Path(sys.argv[1]), sys.argv[2])
    async def one(name):
        number = 0
        while True:
            first = await journal.append(name, [b"%d" % number, b"%d" % (number + 1)])
            assert first == number
            number += 2
            print(name, number, flush=True)
    await asyncio.gather(*map(one, "abcdefgh"))

asyncio.run(main())
"""


@pytest.mark.parametrize("fsync", get_args(Fsync))
def test_everything_that_was_acknowledged_survives_kill_9(path: Path, fsync: str) -> None:
    acknowledged: dict[str, int] = {}
    command = [sys.executable, "-c", CRASHING, str(path), fsync]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for _ in range(2000):
            name, number = process.stdout.readline().split()
            acknowledged[name] = int(number)
        process.send_signal(signal.SIGKILL)
        rest = process.stdout.read().splitlines(keepends=True)
        acknowledged.update({line.split()[0]: int(line.split()[1]) for line in rest if line.endswith("\n")})
    with journal_at(path) as journal:
        for name, count in acknowledged.items():
            pairs = numbered(journal.read(name, 0, ALL))
            assert pairs == [(n, b"%d" % n) for n in range(len(pairs))]
            assert len(pairs) >= count
            assert append(journal, name, b"more") == len(pairs)


def crashed(folder: Path) -> Path:
    """A journal that a crash has left, with three appends of a MiB in its write-ahead log."""
    with journal_at(folder / "live.db") as journal:
        for number in range(3):
            append(journal, "a", b"%d" % number * (1 << 20))
        for end in ("", "-wal"):
            shutil.copy(folder / f"live.db{end}", folder / f"journal.db{end}")
    return folder / "journal.db"


@pytest.mark.parametrize("damage", [b"garbage" * 1000, b"\0" * 5000, b"x"])
def test_what_lies_behind_the_last_append_is_ignored(tmp_path: Path, damage: bytes) -> None:
    path = crashed(tmp_path)
    with path.with_name("journal.db-wal").open("ab") as log:
        log.write(damage)
    with journal_at(path) as journal:
        assert [number for number, _text in numbered(journal.read("a", 0, ALL))] == [0, 1, 2]
        assert append(journal, "a", b"3") == 3


@pytest.mark.parametrize("lost", [1, 3000, 4120, 100_000])
def test_an_append_that_was_written_in_part_is_dropped_and_those_before_it_are_there(tmp_path: Path, lost: int) -> None:
    path = crashed(tmp_path)
    log = path.with_name("journal.db-wal")
    log.write_bytes(log.read_bytes()[:-lost])
    with journal_at(path) as journal:
        assert [number for number, _text in numbered(journal.read("a", 0, ALL))] == [0, 1]
        assert append(journal, "a", b"again") == 2


@pytest.mark.parametrize("at", [0, 4096, -4096])
def test_a_damaged_file_is_refused_with_what_to_do_and_what_is_lost(path: Path, at: int) -> None:
    with journal_at(path) as journal:
        append(journal, "a", *[b"x" * 99] * 2000)
        append(journal, "b", b"y")
    data = bytearray(path.read_bytes())
    at %= len(data)
    data[at : at + 4096] = b"\xff" * 4096
    path.write_bytes(data)
    with pytest.raises(StateError) as refused:
        Journal(path)
    message = str(refused.value)
    assert message.startswith(f"{path}: expected a journal, got")
    assert "move it away to start with an empty journal" in message
    assert "events that were accepted and are in no checkpoint yet are lost" in message


def test_a_file_of_another_program_is_refused_and_left_alone(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE t (a)")
    before = path.read_bytes()
    with pytest.raises(StateError, match="expected a journal, got another program's database"):
        Journal(path)
    assert path.read_bytes() == before


FULL_DISK = """
import asyncio, resource, signal, sys
from pathlib import Path
from trimtab.errors import StateError
from trimtab.runtime.journal import Journal

def limit(size):
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

async def main():
    journal = Journal(Path(sys.argv[1]))
    await journal.append("a", [b"0"])
    limit(100_000)
    large = [b"x" * 200_000]
    outcomes = await asyncio.gather(*(journal.append("a", large) for _ in range(3)), return_exceptions=True)
    assert all(isinstance(outcome, StateError) for outcome in outcomes), outcomes
    print(outcomes[0])
    assert await journal.append("a", [b"1"]) == 1
    limit(resource.RLIM_INFINITY)
    assert await journal.append("a", large) == 2
    journal.close()

asyncio.run(main())
"""


def test_a_full_disk_refuses_what_it_does_not_take_and_the_journal_works_again(path: Path) -> None:
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[1] == resource.RLIM_INFINITY
    command = [sys.executable, "-c", FULL_DISK, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert "expected a journal that can be read and written" in done.stdout
    assert "the room on its disk" in done.stdout
    assert done.stdout.count("events cannot be accepted") == done.stdout.count("events are accepted again") == 1
    with journal_at(path) as journal:
        assert [number for number, _text in numbered(journal.read("a", 0, ALL))] == [0, 1, 2]


def test_the_folder_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(StateError, match="check that the state folder exists"):
        Journal(tmp_path / "none" / "journal.db")
