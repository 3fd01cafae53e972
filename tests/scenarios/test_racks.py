"""Racks that heat up: rules in an SQL table that change while readings flow. Each reading is judged by one version."""

from __future__ import annotations

import ast
import json
import random
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.project import PATIENCE, Project, eventually, running
from trimtab.cep import Matcher

DEMO = Path(__file__).parents[2] / "scripts" / "racks.py"
SOURCE = 'key = "rack"\ntimestamp = "ts"\n[checkpoints]\ninterval = "100ms"\n'
PLACES = """
[sinks.racks]
type = "file"
path = "alarms.jsonl"
[resources.sql.racks]
url = "sqlite:///racks.db"
[discoverers.racks]
type = "sql-rules"
resource = "racks"
table = "rules"
poll = "50ms"
[sandbox]
writes = ["."]
"""
STEP = 500
"""Milliseconds between two readings."""


class Racks:
    """The project, what was fed to it, and what must have come out."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self.expected: list[tuple[str, int, int]] = []
        self.seen: str | None = None
        self._random = random.Random(5)
        self._time = 1_700_000_000_000

    # --- the table ---

    def table(self, statement: str, *parameters: Any) -> None:
        database = sqlite3.connect(self.project.folder / "racks.db", timeout=PATIENCE)
        with database:
            database.execute(statement, parameters)
        database.close()

    def change(self, **columns: Any) -> None:
        """Change the rule, as a new version of it; wait until that runs."""
        places = ", ".join(f"{name} = ?" for name in columns)
        self.table(f"update rules set version = version + 1, {places} where id = 'heating'", *columns.values())
        self.runs_next()

    def runs_next(self) -> None:
        before = self.seen
        eventually(lambda: self.running() not in (None, before), "the next version of the rule runs")
        self.seen = self.running()

    def running(self) -> str | None:
        rules = self.project.ask("/api/rules")
        return next((rule["version"] for rule in rules if rule["name"] == "heating.rule.json"), None)

    # --- readings ---

    def readings(self, count: int = 60) -> list[dict[str, Any]]:
        """Make readings, in the order of their times."""
        made = []
        for _ in range(count):
            self._time += STEP
            made.append(
                {"rack": f"r{self._random.randrange(4)}", "temp": self._random.randrange(30, 80), "ts": self._time}
            )
        return made

    def feed(self, readings: Sequence[dict[str, Any]]) -> None:
        """Feed readings, then one of a rack that is always cool, and wait until all of them are through."""
        self._time += 60_000  # beyond every window
        self.project.send(*readings, {"rack": "cool", "temp": 0, "ts": self._time})
        eventually(self._is_through, "every reading is handled, and event time has come by all of them")

    def _is_through(self) -> bool:
        source = self.project.status()["sources"]["gps"]
        return bool(source["lag"] == 0 and source["watermark"] == self._time)

    def expect(self, readings: Sequence[dict[str, Any]], limit: int, keys: Sequence[str] = ()) -> None:
        """Take note of what a version of the rule must find in readings that it sees from its beginning."""
        matcher = Matcher({**RULE, "parameters": {"limit": limit}}, key="rack")
        for reading in readings:
            matcher.feed(reading)
        matches = [match for match in matcher.advance(1 << 52) if match.kind == "match"]
        self.expected += [(m.key, m.timestamp, limit) for m in matches if not keys or m.key in keys]

    def alarms(self) -> list[tuple[str, int, int]]:
        """What has come out."""
        path = self.project.folder / "alarms.jsonl"
        lines = path.read_text().splitlines() if path.exists() else []
        return [(alarm["rack"], alarm["at"], alarm["limit"]) for alarm in map(json.loads, lines)]

    def check(self, *, repeated: bool = False) -> None:
        """Wait for what must have come out, and see that nothing else has; ``repeated``: some may have come twice."""
        eventually(lambda: set(self.alarms()) >= set(self.expected), f"{len(self.expected)} alarms")
        found = sorted(set(self.alarms())) if repeated else sorted(self.alarms())
        assert found == sorted(self.expected)


def _rule() -> dict[str, Any]:
    """The rule that the demo begins with."""
    source = DEMO.read_text().partition("HEATING = ")[2].partition("\nROW = ")[0]
    return {"pattern": ast.literal_eval(source), "function": ""}


RULE = _rule()


@pytest.fixture
def racks(tmp_path: Path) -> Iterator[Racks]:
    project = Project(tmp_path, source=SOURCE, extra=PLACES)
    project.save("racks.py", DEMO.read_bytes())
    with running(project):
        yield Racks(project)


def test_a_rule_in_a_table_changes_while_readings_flow(racks: Racks) -> None:
    racks.runs_next()
    first = racks.readings()
    racks.feed(first)
    racks.expect(first, 45)

    racks.change(parameters='{"limit": 60}')
    second = racks.readings()
    racks.feed(second)
    racks.expect(second, 60)

    racks.change(parameters='{"limit": 30}', binding_keys='["r1", "r3"]')
    third = racks.readings()
    racks.feed(third)
    racks.expect(third, 30, ["r1", "r3"])

    racks.project.trimtab("rollback", "heating.rule.json")
    racks.runs_next()
    fourth = racks.readings()
    racks.feed(fourth)
    racks.expect(fourth, 60)
    racks.check()


def test_a_change_that_is_scheduled_holds_from_its_event_time_on(racks: Racks) -> None:
    racks.runs_next()
    before, after = racks.readings(), racks.readings()
    racks.change(parameters='{"limit": 60}', effective_at=after[0]["ts"])
    racks.feed([*before, *after])
    racks.expect(before, 45)
    racks.expect(after, 60)
    racks.check()


def test_a_bad_row_is_refused_alone_and_a_database_that_is_away_changes_nothing(racks: Racks) -> None:
    racks.runs_next()
    racks.table("insert into rules (id, version, pattern, function) values ('bad', 1, '{\"nodes\": []}', '')")
    eventually(lambda: "bad.rule.json" in racks.project.status()["rules"]["errors"], "the bad row is refused")
    first = racks.readings()
    racks.feed(first)
    racks.expect(first, 45)

    database = racks.project.folder / "racks.db"
    away = database.rename(racks.project.folder / "away.db")
    eventually(lambda: racks.project.status()["discoverers"]["discoverers.racks"]["error"], "the outage is seen")
    second = racks.readings()
    racks.feed(second)
    racks.expect(second, 45)
    away.rename(database)
    eventually(lambda: not racks.project.status()["discoverers"]["discoverers.racks"]["error"], "the outage is over")
    racks.change(parameters='{"limit": 70}')
    third = racks.readings()
    racks.feed(third)
    racks.expect(third, 70)
    racks.check()


def test_a_host_that_is_killed_goes_on_with_the_version_and_the_partial_matches_that_it_had(racks: Racks) -> None:
    racks.runs_next()
    racks.change(parameters='{"limit": 50}')
    readings = racks.readings(200)
    racks.expect(readings, 50)
    for part in range(4):
        racks.project.send(*readings[50 * part : 50 * part + 50])
        assert racks.project.process is not None
        racks.project.process.kill()
        racks.project.process.wait()
        racks.project.start()
    racks.feed([])
    racks.check(repeated=True)
