"""What every database does, in every language."""

from __future__ import annotations

from typing import Any

import pytest

from tests.sql.asking import Asker

ANSWERS: list[tuple[str, Any]] = [
    (
        'db.query("select id, name from items order by id")',
        [{"id": 1, "name": "one"}, {"id": 2, "name": "two"}, {"id": 3, "name": "it's"}],
    ),
    ('db.query("select id from items where id > ?", [1])', [{"id": 2}, {"id": 3}]),
    ('db.query("select id from items where id > :low and name <> :not", {"low": 1, "not": "two"})', [{"id": 3}]),
    ('db.query("select id from items where id = :it or id = :it + 1", {"it": 1})', [{"id": 1}, {"id": 2}]),
    ('db.query("select id from items where id in (:ids)", {"ids": [1, 3, 4]})', [{"id": 1}, {"id": 3}]),
    ('db.query("select id from items where id in (?) and id < ?", [[1, 3], 2])', [{"id": 1}]),
    ('db.query("select id from items where id in (:ids)", {"ids": []})', []),
    ("db.query(\"select id from items where name like '%o%' order by id\")", [{"id": 1}, {"id": 2}]),
    ('db.query("select id from items where name like ? order by id", ["%w%"])', [{"id": 2}]),
    ("db.query(\"select id from items where name = '?' or name = ':x' -- ? :x\")", []),
    ('db.query("select 1 as a, 2 as a, 3 as a_2")', [{"a": 1, "a_2": 2, "a_2_2": 3}]),
    ("db.query(\"update items set name = 'x' where id = 1\")", []),
    ('db.queryOne("select name from items where id = ?", [3])', {"name": "it's"}),
    ('db.queryOne("select name from items where id = ?", [9])', None),
    ('db.queryOne("select id from items order by id desc")', {"id": 3}),
    ('db.execute("update items set name = ? where id <= ?", ["new", 2])', 2),
    ('db.execute("update items set name = name where id = 1")', 1),
    ('db.execute("delete from items")', 3),
    ('db.execute("select * from items")', 3),
    ('db.execute("create table things (id integer)")', 0),
    ('db.executeMany("insert into items values (:id, :n, null)", [{"id": 8, "n": "a"}, {"id": 9, "n": "b"}])', 2),
    ('db.executeMany("update items set price = ? where id >= ?", [[7, 1], [8, 2]])', 5),
    ('db.executeMany("insert into items values (?, ?, ?)", [])', 0),
    ('db.insert("insert into items (id, name) values (?, ?)", [7, "seven"])["rows"]', 1),
]


@pytest.mark.parametrize(("expression", "answer"), ANSWERS)
def test_a_statement_answers(db: Asker, expression: str, answer: Any) -> None:
    assert db.ask(expression) == answer


WRONG: list[tuple[str, str, str]] = [
    ('db.query("select ?", [1, 2])', "ValueError", "expected 1 values, one for each ?, got 2"),
    ('db.query("select ?")', "ValueError", "expected 1 values, one for each ?, got 0"),
    ('db.query("select :a, :b", {"a": 1})', "ValueError", "expected a value for :b, got :a"),
    ('db.query("select :a", {"a": 1, "c": 2})', "ValueError", "expected values for :a, got :c too"),
    ('db.query("select ?", {"a": 1})', "ValueError", "expected :name"),
    ('db.query("select 1", 7)', "TypeError", "expected values as a list"),
    ("db.query(7)", "TypeError", "expected a statement as text"),
    ('db.execute("nonsense")', "SqlError", "sql.db: expected the database to do it, got"),
    ('db.execute("select * from missing")', "SqlError", "; in: select * from missing"),
    ('db.execute("insert into items (id) values (1)")', "SqlError", "; in: insert into items"),
    ('db.executeMany("insert into items (id) values (?)", [[5], [1]])', "SqlError", "; in: insert into items"),
]


@pytest.mark.parametrize(("expression", "name", "message"), WRONG)
def test_what_is_wrong_is_said_and_the_next_statement_works(
    db: Asker, expression: str, name: str, message: str
) -> None:
    fault = db.fault(expression)
    assert (fault.name, fault.message.partition(message)[1]) == (name, message)
    assert db.ask('db.queryOne("select count(*) as n from items")') == {"n": 3}


def test_a_value_is_never_part_of_the_statement(db: Asker) -> None:
    evil = "'; drop table items; \\' \" % %s %(x)s ? :x"
    assert db.ask('db.execute("update items set name = :it where id = 1", {"it": event})', evil) == 1
    assert db.ask('db.queryOne("select name from items where name = ?", [event])', evil) == {"name": evil}


def test_an_iterator_reads_every_row_in_order(db: Asker) -> None:
    db.ask('db.executeMany("insert into items (id) values (?)", event)', [[n] for n in range(10, 1010)])
    rows = db.ask('db.iterate("select id from items where id >= ? order by id", [10]).toArray()')
    assert rows == [{"id": n} for n in range(10, 1010)]
    assert db.ask('db.iterate("select id from items where id > 5000").toArray()') == []


def test_every_call_is_counted(db: Asker) -> None:
    handled = db.run('db.query("select 1"); db.execute("delete from items"); db.query("nonsense")')
    (count,) = handled.calls
    assert (count.resource, count.calls, count.failed, len(count.samples)) == ("sql.db", 3, 1, 3)


def test_a_table_may_change_while_it_is_read(db: Asker) -> None:
    for _ in range(12):  # drivers prepare a statement once they have seen it often
        db.ask('db.query("select * from items")')
    db.ask('db.execute("alter table items add column note varchar(10)")')
    assert db.ask('db.queryOne("select * from items where id = 1")')["note"] is None
