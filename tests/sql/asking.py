"""Asks databases from scripts, in either language. What is asked is written so that both languages understand it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.servers.sql_servers import PASSWORD, USER, MariaDbServer, PostgresServer
from trimtab.api import Fault
from trimtab.engine.calls import Call
from trimtab.testing import Handled, ScriptRunner

JAR = Path("/usr/share/java/postgresql.jar")
"""Of the Debian package libpostgresql-jdbc-java."""

LANGUAGES = {
    "python": ("ask__py", 'from trimtab import emit, sql\n\n\ndef handle(event):\n    db = sql("db")\n    {}\n'),
    "javascript": (
        "ask__js",
        'import {{ emit, sql }} from "trimtab";\nexport function handle(event) {{\n  const db = sql("db");\n  {}\n}}\n',
    ),
}
"""The file and the frame of a script."""


@dataclass
class Asker:
    """One script beside one database, which it knows as ``db``."""

    options: Mapping[str, Any]
    language: str = "python"
    folder: Path = field(default_factory=Path)
    rehearsed: list[Call] | None = None

    def __post_init__(self) -> None:
        self.runner = ScriptRunner({"sql.db": dict(self.options)}, folder=self.folder, rehearsed=self.rehearsed)

    def run(self, code: str, *events: Any) -> Handled:
        """Load a script with this code in its handler, and hand it the events, or one."""
        file, frame = LANGUAGES[self.language]
        self.runner.load(**{file: frame.format(code)})
        return self.runner.handle(*(events or (None,)))

    def ask(self, expression: str, event: Any = None) -> Any:
        """Return the value of an expression."""
        handled = self.run(f'emit("out", {expression})', event)
        assert not handled.faults, handled.faults
        (value,) = handled.emitted
        return value

    def fault(self, expression: str, event: Any = None) -> Fault:
        """Return how an expression fails."""
        handled = self.run(f'emit("out", {expression})', event)
        assert not handled.emitted, handled.emitted
        (fault,) = handled.faults
        return fault

    def close(self) -> None:
        assert list(self.runner.close()) == []


def postgres_options(server: PostgresServer, **more: Any) -> dict[str, Any]:
    return {"url": server.url, **more}


def mariadb_options(server: MariaDbServer, **more: Any) -> dict[str, Any]:
    return {"url": server.url, **more}


def java_options(server: PostgresServer, **more: Any) -> dict[str, Any]:
    driver = {"driver": "org.postgresql.Driver", "jar": str(JAR)}
    return {"url": server.jdbc_url, "user": USER, "password": PASSWORD, **driver, **more}
