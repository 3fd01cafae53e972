"""Rules as rows of a table, in a host that runs: many at once, bad ones among them, rollbacks that hold, functions."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from tests.e2e.project import Numbers, Project, eventually, running

TABLE = """
[resources.sql.racks]
url = "sqlite:///racks.db"
[discoverers.racks]
type = "sql-rules"
resource = "racks"
poll = "50ms"
"""
SINGLE = {"consumingStrategy": "SKIP_TILL_NEXT", "properties": ["SINGLE"]}
TOLD = "from trimtab import emit\n\ndef told(match, ctx):\n    emit('out', 'told')\n"
MANY = 300


def pattern(condition: str) -> str:
    """A pattern of one stage."""
    stage = {"name": "one", "type": "ATOMIC", "quantifier": SINGLE}
    stage["condition"] = {"type": "AVIATOR", "expression": condition}
    root = {"name": "rule", "type": "COMPOSITE", "quantifier": SINGLE, "nodes": [stage], "edges": []}
    return json.dumps({**root, "afterMatchStrategy": {"type": "NO_SKIP"}})


class Racks:
    """A project with a table of rules."""

    def __init__(self, folder: Path) -> None:
        self.project = Project(folder, extra=TABLE)
        self._file = folder / "racks.db"
        self.run(
            "create table rules (id text, version integer, pattern text, function text, primary key (id, version))"
        )

    def run(self, statement: str, *rows: tuple[Any, ...]) -> None:
        with closing(sqlite3.connect(self._file)) as connection, connection:
            connection.executemany(statement, rows) if rows else connection.execute(statement)

    def put(self, name: str, version: int, text: str, function: str = "emit:out") -> None:
        self.run("insert into rules values (?, ?, ?, ?)", (name, version, text, function))

    def rule(self, name: str) -> dict[str, Any]:
        """What the host says of a rule; empty where it has none of this id."""
        found: list[dict[str, Any]] = self.project.ask(f"/api/rules?name={name}.rule.json&limit=1")
        return found[0] if found else {}

    def active(self, name: str, seq: int) -> bool:
        return self.rule(name).get("seq") == seq


def test_of_very_many_rows_at_a_first_start_the_good_ones_run_together(tmp_path: Path) -> None:
    racks = Racks(tmp_path)
    rows = [(f"r{n}", 1, "{bad" if n % 100 == 7 else pattern(f"n == {n}"), "emit:out") for n in range(MANY)]
    racks.run("insert into rules values (?, ?, ?, ?)", *rows)
    with running(racks.project) as project:
        status = project.status()
        assert (status["rules"]["running"], status["rules"]["refused"]) == (MANY - 3, 3)
        assert set(status["rules"]["errors"]) == {"r7.rule.json", "r107.rule.json", "r207.rule.json"}
        generations = project.history()["generations"]
        assert [(each["outcome"], len(each["changes"])) for each in reversed(generations)] == [
            ("committed", 2),
            ("committed", MANY - 3),
            ("refused", 3),
        ]
        assert project.stop() == 0
    with running(racks.project) as project:
        assert project.history()["generations"] == generations
        assert project.status()["rules"] == status["rules"]


def test_a_rollback_holds_until_the_row_changes_and_a_lower_version_counts_where_it_is_the_highest(
    tmp_path: Path,
) -> None:
    racks = Racks(tmp_path)
    racks.put("big", 1, pattern("n >= 0"))
    with running(racks.project) as project:
        racks.put("big", 2, pattern("n >= 5"))
        eventually(lambda: racks.active("big", 2), "the second version runs")
        project.trimtab("rollback", "big.rule.json")
        racks.put("other", 1, pattern("n < 0"))
        eventually(lambda: racks.active("other", 1), "the table was read again")
        assert (racks.rule("big")["seq"], racks.rule("big")["state"]) == (1, "rolled-back")
        racks.put("big", 3, pattern("n >= 7"))
        eventually(lambda: racks.active("big", 3), "the third version runs")
        racks.run("delete from rules where id = 'big' and version = 3")
        eventually(lambda: racks.active("big", 4), "the second version runs, which is the highest now")
        shown = json.loads(project.trimtab("show", "big.rule.json").stdout)
        assert (shown["version"], shown["pattern"]) == (2, json.loads(pattern("n >= 5")))


def test_a_rule_without_its_function_is_refused_alone_until_there_is_one(tmp_path: Path) -> None:
    racks = Racks(tmp_path)
    racks.put("call", 1, pattern("n >= 0"), "work.py:told")
    racks.put("plain", 1, pattern("n >= 0"))
    with running(racks.project) as project:
        assert (racks.rule("call")["state"], racks.rule("plain")["state"]) == ("rejected", "active")
        assert "work.py" in racks.rule("call")["error"]
        project.save("work.py", TOLD)
        eventually(lambda: racks.active("call", 1), "the rule runs, now that its function is there")
        numbers = Numbers(project)
        numbers.send_until(lambda: "told" in project.emitted(), "the function is told of a match")
        assert project.stop() == 0
    with running(racks.project):
        assert racks.active("call", 1)
