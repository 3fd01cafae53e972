"""A torn write takes nothing away that was committed."""

from __future__ import annotations

import os
import random
import sqlite3
from pathlib import Path

import pytest

from tests.chaos.torn import tear

COMMITS = 40


def write_and_die(path: Path) -> None:
    """Commit rows in a process that ends without closing the database."""
    child = os.fork()
    if not child:
        db = sqlite3.connect(path, isolation_level=None)
        db.execute("pragma journal_mode = wal")
        db.execute("pragma wal_autocheckpoint = 10")  # so that frames of an earlier use lie behind the last ones
        db.execute("create table things (number integer, what blob)")
        for number in range(COMMITS):
            db.execute("insert into things values (?, ?)", (number, os.urandom(3000)))
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0


@pytest.mark.parametrize("seed", range(20))
def test_what_was_committed_is_still_there(seed: int, tmp_path: Path) -> None:
    path = tmp_path / "some.db"
    write_and_die(path)
    assert tear(tmp_path / "some.db-wal", random.Random(seed))
    db = sqlite3.connect(path)
    assert db.execute("pragma integrity_check").fetchall() == [("ok",)]
    assert db.execute("select number from things order by number").fetchall() == [(n,) for n in range(COMMITS)]
    db.close()


def test_a_log_that_is_not_there_is_left_alone(tmp_path: Path) -> None:
    assert not tear(tmp_path / "some.db-wal", random.Random(0))
    assert not list(tmp_path.iterdir())
