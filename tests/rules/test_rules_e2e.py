"""Rules in a SQL table, in a host that runs: rows that come, change, are bad, go, and are out of reach."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from tests.e2e.project import Numbers, Project, eventually, running

RACKS = """
[resources.sql.racks]
url = "sqlite:///racks.db"
[discoverers.racks]
type = "sql-rules"
resource = "racks"
poll = "100ms"
"""
SINGLE = {"consumingStrategy": "SKIP_TILL_NEXT", "properties": ["SINGLE"]}


def pattern(condition: str) -> str:
    """A pattern of one stage."""
    stage = {
        "name": "one",
        "type": "ATOMIC",
        "quantifier": SINGLE,
        "condition": {"type": "AVIATOR", "expression": condition},
    }
    root = {"name": "rule", "type": "COMPOSITE", "quantifier": SINGLE, "nodes": [stage], "edges": []}
    return json.dumps({**root, "afterMatchStrategy": {"type": "NO_SKIP"}})


class RackDatabase:
    """The file, which comes to be with its first statement."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "racks.db"
        self.away = folder / "away.db"

    def run(self, statement: str, *values: Any) -> None:
        with closing(sqlite3.connect(self.file)) as connection, connection:
            connection.execute(statement, values)

    def insert(self, name: str, condition: str, version: int = 1) -> None:
        values = (name, version, pattern(condition), "emit:out", '{"least": 0}')
        self.run("insert into rules values (?, ?, ?, ?, ?)", *values)


def test_rows_run_change_and_go_and_an_outage_changes_nothing(tmp_path: Path) -> None:
    project = Project(tmp_path, lanes=1, extra=RACKS)
    database = RackDatabase(tmp_path)

    def versions(rule: str) -> int:
        """How many versions of a rule have found something."""
        return len({row["version"] for row in project.emitted() if row["rule"] == rule})

    def running_rules() -> set[str]:
        return {rule["name"] for rule in project.ask("/api/rules") if rule["version"]}

    def outage() -> str | None:
        error: str | None = project.status()["discoverers"]["discoverers.racks"]["error"]
        return error

    with running(project):
        assert "expected a database file" in (outage() or "")
        numbers = Numbers(project)
        database.run("create table rules (id primary key, version, pattern, function, parameters)")
        database.insert("low", "n >= least")
        numbers.send_until(lambda: versions("low") == 1, "the row that was inserted runs")
        assert outage() is None

        database.run("update rules set version = 2, parameters = ?", '{"least": 5}')
        numbers.send_until(lambda: versions("low") == 2, "the row that was changed runs")
        generation = project.status()["generation"]

        database.run(
            "insert into rules values ('bad', 1, '{nodes', '', null), ('high', 1, ?, 'emit:out', null)",
            pattern("n > 1"),
        )
        numbers.send_until(lambda: versions("high"), "the good one of two rows runs")
        refused = eventually(lambda: project.status()["rules"]["errors"].get("bad.rule.json"), "the bad one is refused")
        assert "$.pattern: expected JSON" in refused
        assert "expected JSON" in str(project.history("bad.rule.json"))
        assert running_rules() == {"low.rule.json", "high.rule.json"}
        assert project.status()["generation"] > generation

        database.run("delete from rules where id in ('low', 'bad')")
        eventually(lambda: running_rules() == {"high.rule.json"}, "the row that was deleted stops")
        eventually(lambda: not project.status()["rules"]["refused"], "the bad one is forgotten")

        generation = project.status()["generation"]
        database.file.rename(database.away)
        eventually(outage, "the outage is told")
        before = len(project.emitted())
        numbers.send_until(lambda: len(project.emitted()) > before, "the rule still runs")
        assert not database.file.exists()
        database.away.rename(database.file)
        eventually(lambda: outage() is None, "the outage is over")
        assert running_rules() == {"high.rule.json"}
        assert project.status()["generation"] == generation
