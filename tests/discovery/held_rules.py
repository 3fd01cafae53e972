"""Real places of every kind that hold rules, driven in the same way as all others."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import redis

from tests.discovery.held_places import TIMEOUT, HeldPlace, Kinds, OnServer, OnTheWeb, context, server_running
from tests.discovery.web_shelf import Shelf
from tests.servers.redis_servers import RedisServer
from tests.servers.sql_servers import MariaDbServer, PostgresServer
from trimtab.api import Discoverer
from trimtab.plugins import rules
from trimtab.plugins.rules.options import HttpRulesOptions, RedisRulesOptions, SqlRulesOptions
from trimtab.plugins.sql.options import SqlOptions

POLL = "0.1s"
TABLE = "create table rules (id varchar(99), version int, pattern text, function varchar(99))"


def rule(key: str, value: str) -> dict[str, Any]:
    """The document of a rule; the value is its version."""
    return {"id": key, "version": int(value), "pattern": {"nodes": [key]}, "function": "emit:out"}


def rule_artifacts(content: Mapping[str, str]) -> dict[str, bytes]:
    """What a scan must see where a place holds rules."""
    return {
        f"{key}.rule.json": json.dumps(rule(key, value), sort_keys=True, separators=(",", ":")).encode()
        for key, value in content.items()
    }


def statements(content: Mapping[str, str]) -> list[str]:
    """Write these rules to the table, and nothing else."""
    rows = (rule(key, value) for key, value in content.items())
    values = ((row["id"], row["version"], json.dumps(row["pattern"]), row["function"]) for row in rows)
    return [
        "begin",
        "delete from rules",
        *(f"insert into rules values ('{name}', {version}, '{p}', '{f}')" for name, version, p, f in values),
        "commit",
    ]


def sql_rules(folder: Path, url: str, **options: Any) -> Discoverer:
    """Make a discoverer of the rules in a database."""
    database = SqlOptions(url=url, timeout=options.pop("timeout", TIMEOUT))
    there = replace(context(folder), resource=lambda name: {"sql.place": database}[name])
    return rules.create_sql(SqlRulesOptions(resource="place", **options), "place", there)


class _RuleList(OnTheWeb):
    def make(self) -> Discoverer:
        options = HttpRulesOptions(url=self.options.url, poll=POLL, timeout=TIMEOUT)
        return rules.create_http(options, "place", context(Path("/")))

    def hold(self, content: Mapping[str, str]) -> None:
        self.shelf.documents["/place.json"] = json.dumps([rule(*item) for item in content.items()]).encode()

    def artifacts(self, content: Mapping[str, str]) -> dict[str, bytes]:
        return rule_artifacts(content)


class _RuleHash(OnServer):
    def __init__(self, server: RedisServer, channel: str | None) -> None:
        super().__init__(server)
        self._channel = channel

    def make(self) -> Discoverer:
        poll = POLL if self._channel is None else "1s"
        options = RedisRulesOptions(
            url=self.server.url, password="secret", poll=poll, channel=self._channel, timeout=TIMEOUT
        )
        return rules.create_redis(options, "place", context(Path("/")))

    def hold(self, content: Mapping[str, str]) -> None:
        with redis.Redis(port=self.server.port, password="secret") as client, client.pipeline() as pipeline:
            pipeline.delete("rules")
            pipeline.hset("rules", mapping={key: json.dumps(rule(key, value)) for key, value in content.items()})
            if self._channel is not None:
                pipeline.publish(self._channel, "changed")
            pipeline.execute()

    def artifacts(self, content: Mapping[str, str]) -> dict[str, bytes]:
        return rule_artifacts(content)


class _RuleTable(OnServer):
    def __init__(self, server: PostgresServer | MariaDbServer, channel: str | None) -> None:
        super().__init__(server)
        self._channel = channel
        server.run(TABLE)

    def make(self) -> Discoverer:
        poll = POLL if self._channel is None else "1s"
        return sql_rules(Path("/"), self.server.url, poll=poll, channel=self._channel)

    def hold(self, content: Mapping[str, str]) -> None:
        notify = [f"notify {self._channel}"] if self._channel is not None else []
        self.server.run("; ".join([*statements(content), *notify]))

    def artifacts(self, content: Mapping[str, str]) -> dict[str, bytes]:
        return rule_artifacts(content)

    def stop(self) -> None:
        self.server.kill()  # asked to end, PostgreSQL waits for those who are connected
        self._stopped = True


class _SqliteRules(HeldPlace):
    def __init__(self, folder: Path) -> None:
        self._folder, self._file = folder, folder / "data" / "rules.db"
        self._file.parent.mkdir()
        self._run(TABLE)

    def make(self) -> Discoverer:
        return sql_rules(self._folder, "sqlite:///data/rules.db", poll=POLL)

    def hold(self, content: Mapping[str, str]) -> None:
        self._run(*statements(content))

    def artifacts(self, content: Mapping[str, str]) -> dict[str, bytes]:
        return rule_artifacts(content)

    def _run(self, *texts: str) -> None:
        with closing(sqlite3.connect(self._file, isolation_level=None)) as connection:
            for text in texts:
                connection.execute(text)

    def stop(self) -> None:
        shutil.move(self._file.parent, self._folder / "away")

    def start(self) -> None:
        if not self._file.parent.exists():
            shutil.move(self._folder / "away", self._file.parent)


@contextmanager
def rule_list(_path: Path) -> Iterator[HeldPlace]:
    with Shelf() as shelf:
        yield _RuleList(shelf)


@contextmanager
def rule_hash(path: Path) -> Iterator[HeldPlace]:
    with RedisServer(path, {"requirepass": "secret"}) as server:
        yield _RuleHash(server, None)


@contextmanager
def rule_hash_with_channel(path: Path) -> Iterator[HeldPlace]:
    with RedisServer(path, {"requirepass": "secret"}) as server:
        yield _RuleHash(server, "changes")


@contextmanager
def sqlite_rules(path: Path) -> Iterator[HeldPlace]:
    yield _SqliteRules(path)


@contextmanager
def postgres_rules(_path: Path) -> Iterator[HeldPlace]:
    with server_running(PostgresServer()) as server:
        yield _RuleTable(server, None)


@contextmanager
def postgres_rules_with_channel(_path: Path) -> Iterator[HeldPlace]:
    with server_running(PostgresServer()) as server:
        yield _RuleTable(server, "changes")


@contextmanager
def mariadb_rules(_path: Path) -> Iterator[HeldPlace]:
    with server_running(MariaDbServer()) as server:
        yield _RuleTable(server, None)


RULES_ON_SERVERS: Kinds = (
    rule_list,
    rule_hash,
    rule_hash_with_channel,
    postgres_rules,
    postgres_rules_with_channel,
    mariadb_rules,
)
RULES: Kinds = (sqlite_rules, *RULES_ON_SERVERS)
