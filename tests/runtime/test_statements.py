"""What writes many rows at once uses few statements: Python keeps them prepared, and large ones take much memory."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from trimtab.database import in_powers_of_two
from trimtab.engine.state import StateRow
from trimtab.errors import Fault
from trimtab.runtime.checkpoints import Checkpoint, CheckpointStore
from trimtab.runtime.dead_letters import DeadLetter, DeadLetters
from trimtab.runtime.journal import Journal

COUNTS = range(1, 131)
"""Of rows. More than the 128 statements that Python keeps of each connection."""


def write_checkpoints(path: Path) -> None:
    with closing(CheckpointStore(path)) as store:
        for count in COUNTS:
            rows = [StateRow("a.js", f'"{number}"', "count", b"%d" % count) for number in range(count)]
            store.commit(Checkpoint(at=count, generation=1, reason="interval"), rows)
        assert {row.value for rows in store.rows() for row in rows} == {b"130"}


def write_dead_letters(path: Path) -> None:
    fault = Fault("TypeError", "x is not a function")
    with closing(DeadLetters(path)) as letters:
        for count in COUNTS:
            letter = partial(DeadLetter, kind="sink", payload=b"1", source="", fault=fault)
            letters.add_many([letter(at=number) for number in range(count)])
        assert letters.count() == sum(COUNTS)


def write_journal(path: Path) -> None:
    async def append(journal: Journal) -> None:
        for count in COUNTS:
            await asyncio.gather(*(journal.append("a", [b"1"]) for _ in range(count)))

    with closing(Journal(path, "never")) as journal:
        asyncio.run(append(journal))
        assert len(journal.read("a", 0, 1 << 30)) == sum(COUNTS)


@pytest.mark.parametrize("write", [write_checkpoints, write_dead_letters, write_journal])
def test_whatever_number_of_rows_is_written_few_statements_are_used(
    write: Callable[[Path], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    used: set[str] = set()

    class Connection(sqlite3.Connection):
        def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
            used.add(sql)
            return super().execute(sql, parameters)

        def executemany(self, sql: str, parameters: Iterable[Any], /) -> sqlite3.Cursor:
            used.add(sql)
            return super().executemany(sql, parameters)

    monkeypatch.setattr(sqlite3, "connect", partial(sqlite3.connect, factory=Connection))
    write(tmp_path / "rows.db")
    assert len({sql for sql in used if sql.lower().startswith("insert")}) < 16


@pytest.mark.parametrize("count", [0, 1, 7, 8, 9, 33])
@pytest.mark.parametrize("most", [1, 7, 8])
def test_rows_are_parted_in_their_order_into_powers_of_two(count: int, most: int) -> None:
    rows = list(range(count))
    parts: Sequence[Sequence[int]] = list(in_powers_of_two(rows, most))
    assert [row for part in parts for row in part] == rows
    assert {len(part) for part in parts} <= {size for size in (1, 2, 4, 8) if size <= most}
