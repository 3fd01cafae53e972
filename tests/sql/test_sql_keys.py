"""Generated keys, and rows that statements return."""

from __future__ import annotations

from typing import Any

from tests.sql.asking import Asker
from tests.sql.conftest import Ask

TABLES = {
    "sqlite": "create table things (id integer primary key autoincrement, name text)",
    "postgresql": "create table things (id serial primary key, name text)",
    "mariadb": "create table things (id integer primary key auto_increment, name text)",
    "java": "create table things (id serial primary key, name text)",
}


def made(ask: Ask, kind: str, options: dict[str, Any], language: str) -> Asker:
    asker = ask(options, language)
    asker.ask(f'db.execute("{TABLES[kind]}")')
    return asker


def test_an_insert_tells_the_key(ask: Ask, kind: str, options: dict[str, Any], language: str) -> None:
    asker = made(ask, kind, options, language)
    returning = "" if kind in {"sqlite", "mariadb"} else " returning id"
    insert = f'db.insert("insert into things (name) values (:n){returning}", {{"n": "a"}})'
    assert [asker.ask(insert), asker.ask(insert)] == [{"rows": 1, "key": 1}, {"rows": 1, "key": 2}]


def test_an_insert_without_a_key_tells_none(ask: Ask, kind: str, options: dict[str, Any]) -> None:
    if kind in {"postgresql", "java"}:
        asker = made(ask, kind, options, "python")
        assert asker.ask('db.insert("insert into things (name) values (1)")') == {"rows": 1, "key": None}


def test_a_query_that_writes_is_committed(ask: Ask, kind: str, options: dict[str, Any]) -> None:
    asker = made(ask, kind, options, "python")
    assert asker.ask('db.query("insert into things (name) values (?) returning id, name", ["a"])') == [
        {"id": 1, "name": "a"}
    ]
    assert ask(options).ask('db.query("select name from things")') == [{"name": "a"}]
