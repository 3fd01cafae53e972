"""What is SQLite's alone: statements reach the one file of the resource."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.sql.asking import Asker
from tests.sql.conftest import Ask

OPTIONS = {"url": "sqlite:///app.db"}


@pytest.fixture
def db(ask: Ask, language: str) -> Asker:
    """An SQLite file with a table, in every language."""
    asker = ask(OPTIONS, language)
    asker.ask('db.execute("create table items (id integer)")')
    return asker


@pytest.mark.parametrize(
    "statement",
    [
        "attach database '{}' as other",
        "ATTACH '{}' AS other",
        "/* */ attach 'file:{}?mode=rwc' as other",
        "vacuum into '{}'",
        "vacuum main into '{}'",
        "attach ':memory:' as other",
    ],
)
def test_a_statement_reaches_no_other_file(db: Asker, statement: str, tmp_path: Path) -> None:
    fault = db.fault(f'db.execute("{statement.format(tmp_path / "other.db")}")')
    assert fault.name == "PolicyError"
    assert "declare the other file as a resource of its own" in fault.message
    assert not (tmp_path / "other.db").exists()


def test_a_bound_name_is_no_way_around(db: Asker, tmp_path: Path) -> None:
    assert db.fault('db.execute("attach ? as other", [event])', str(tmp_path / "other.db")).name == "PolicyError"
    assert not (tmp_path / "other.db").exists()


@pytest.mark.parametrize("statement", ["vacuum", " VACUUM main;\\n"])
def test_a_file_can_be_vacuumed_and_stays_alone(db: Asker, statement: str, tmp_path: Path) -> None:
    db.ask('db.execute("with recursive n(i) as (select 1 union all select i + 1 from n where i < 100000) '
           'insert into items select i from n")')  # fmt: skip
    db.ask('db.execute("delete from items")')
    db.ask('db.query("pragma wal_checkpoint(truncate)")')
    before = (tmp_path / "app.db").stat().st_size
    db.ask(f'db.execute("{statement}")')
    db.ask('db.query("pragma wal_checkpoint(truncate)")')
    assert (tmp_path / "app.db").stat().st_size < before
    assert db.fault("db.execute(\"attach 'x' as other\")").name == "PolicyError"


def test_no_code_is_loaded(db: Asker) -> None:
    assert "not authorized" in db.fault("db.query(\"select load_extension('x')\")").message
