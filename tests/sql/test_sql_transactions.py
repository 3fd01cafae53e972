"""Transactions, in every database and language: all or nothing."""

from __future__ import annotations

from typing import Any

import pytest

from tests.sql.asking import Asker
from tests.sql.conftest import Ask
from trimtab.engine.calls import Call

COUNT = 'db.queryOne("select count(*) as n from items")'

BODIES = {
    "python": {
        "keep": """
    def work(tx):
        tx.execute("delete from items where id = 1")
        tx.executeMany("insert into items (id) values (?)", [[8], [9]])
        return tx.queryOne("select count(*) as n from items")["n"]
    emit("out", db.transaction(work))""",
        "throw": """
    def work(tx):
        tx.execute("delete from items")
        raise KeyError("stop")
    try:
        db.transaction(work)
    except KeyError as error:
        emit("out", "stop" in str(error))""",
        "fail": """
    def work(tx):
        tx.execute("delete from items where id = 1")
        tx.execute("insert into items (id) values (2)")
    try:
        db.transaction(work)
    except Exception as error:
        emit("out", error.name)""",
        "inner": """
    def inner(tx):
        tx.execute("delete from items")
        raise KeyError("stop")
    def work(tx):
        tx.execute("delete from items where id = 1")
        try:
            tx.transaction(inner)
        except KeyError:
            pass
        tx.transaction(lambda more: more.execute("delete from items where id = 2"))
    emit("out", db.transaction(work))""",
        "loop": """
    def work(tx):
        tx.execute("delete from items")
        while True:
            pass
    db.transaction(work)""",
        "outside": """
    emit("out", db.transaction(lambda tx: [tx.execute("delete from items"), db.queryOne("select count(*) as n from items")]))""",
        "late": """
    kept = []
    db.transaction(kept.append)
    kept[0].execute("delete from items")""",
    },
    "javascript": {
        "keep": """
  emit("out", db.transaction((tx) => {
    tx.execute("delete from items where id = 1");
    tx.executeMany("insert into items (id) values (?)", [[8], [9]]);
    return tx.queryOne("select count(*) as n from items").n;
  }));""",
        "throw": """
  try {
    db.transaction((tx) => {
      tx.execute("delete from items");
      throw new RangeError("stop");
    });
  } catch (error) {
    emit("out", error instanceof RangeError);
  }""",
        "fail": """
  try {
    db.transaction((tx) => {
      tx.execute("delete from items where id = 1");
      tx.execute("insert into items (id) values (2)");
    });
  } catch (error) {
    emit("out", error.name);
  }""",
        "inner": """
  emit("out", db.transaction((tx) => {
    tx.execute("delete from items where id = 1");
    try {
      tx.transaction((more) => {
        more.execute("delete from items");
        throw new RangeError("stop");
      });
    } catch (error) {}
    tx.transaction((more) => more.execute("delete from items where id = 2"));
    return null;
  }));""",
        "loop": """
  db.transaction((tx) => {
    tx.execute("delete from items");
    for (;;) {}
  });""",
        "outside": """
  emit("out", db.transaction((tx) => [tx.execute("delete from items"), db.queryOne("select count(*) as n from items")]));""",
        "late": """
  const kept = [];
  db.transaction((tx) => { kept.push(tx); });
  kept[0].execute("delete from items");""",
    },
}


@pytest.mark.parametrize(
    ("body", "out", "left"),
    [("keep", 4, 4), ("throw", True, 3), ("fail", "SqlError", 3), ("inner", None, 1), ("outside", [3, {"n": 3}], 0)],
)
def test_a_transaction_comes_to_be_whole_or_not_at_all(db: Asker, body: str, out: Any, left: int) -> None:
    handled = db.run(BODIES[db.language][body].strip())
    assert (handled.emitted, handled.faults) == ([out], [])
    assert db.ask(COUNT) == {"n": left}


def test_a_transaction_is_rolled_back_when_the_time_is_up(db: Asker) -> None:
    (fault,) = db.run(BODIES[db.language]["loop"].strip()).faults
    assert fault.name == "TimeLimitExceeded"
    assert db.ask(COUNT) == {"n": 3}


def test_a_transaction_that_has_ended_says_so(db: Asker) -> None:
    (fault,) = db.run(BODIES[db.language]["late"].strip()).faults
    assert fault.name == {"python": "ValueError", "javascript": "ReferenceError"}[db.language]
    assert db.ask(COUNT) == {"n": 3}


@pytest.mark.parametrize("code", ["db.begin()", "db.transaction(lambda tx: tx.savepoint())"])
def test_what_is_begun_cannot_be_left_open(ask: Ask, code: str) -> None:
    assert ask({"url": "sqlite:///app.db"}).fault(code).name == "AttributeError"


def test_an_async_function_is_refused(ask: Ask) -> None:
    asker = ask({"url": "sqlite:///app.db"})
    (fault,) = asker.run("async def work(tx):\n        pass\n    db.transaction(work)").faults
    assert (fault.name, "expected a plain function" in fault.message) == ("TypeError", True)


def test_a_rehearsal_calls_nobody(ask: Ask, language: str) -> None:
    calls: list[Call] = []
    asker = ask({"url": "postgresql://127.0.0.1:1/none"}, language, rehearsed=calls)
    assert asker.ask('db.query("select :a as a", {"a": 1})') == []
    assert asker.ask('db.queryOne("select 1")') is None
    assert asker.ask('db.insert("insert into t values (1)")') == {"rows": 0, "key": None}
    assert asker.ask('db.iterate("select 1").toArray()') == []
    asker.run(BODIES[language]["throw"].strip())
    shown = [(call.method, call.arguments) for call in calls]
    assert ("query", ("select :a as a", {"a": 1})) in shown
    assert shown[-2:] == [("begin", ()), ("execute", ("delete from items",))]
