"""Databases and askers for the tests of SQL."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.servers.sql_servers import MariaDbServer, PostgresServer
from tests.sql.asking import JAR, LANGUAGES, Asker, java_options

Ask = Callable[..., Asker]

KINDS = ("sqlite", "postgresql", "mariadb", "java")


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    server = PostgresServer()
    server.start()
    yield server
    server.remove()


@pytest.fixture(scope="session")
def mariadb() -> Iterator[MariaDbServer]:
    server = MariaDbServer()
    server.start()
    yield server
    server.remove()


@pytest.fixture
def java(postgres: PostgresServer) -> dict[str, Any]:
    """Options of PostgreSQL through Java."""
    if not JAR.exists() or shutil.which("java") is None:
        reason = "no Java or no driver; install them with: apt-get install -y libpostgresql-jdbc-java"
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
    return java_options(postgres)


@pytest.fixture
def options(request: pytest.FixtureRequest, kind: str) -> dict[str, Any]:
    """Options of an empty database of the kind."""
    if kind == "sqlite":
        return {"url": "sqlite:///app.db"}
    if kind == "mariadb":
        server = request.getfixturevalue("mariadb")
        server.run("drop table if exists items", "drop table if exists things")
        return {"url": server.url}
    server = request.getfixturevalue("postgres")
    server.run("drop table if exists items, things")
    return {"url": server.url} if kind == "postgresql" else dict(request.getfixturevalue("java"))


@pytest.fixture
def ask(tmp_path: Path) -> Iterator[Ask]:
    """Makes askers, and closes them."""
    made: list[Asker] = []

    def make(options: dict[str, Any], language: str = "python", **more: Any) -> Asker:
        made.append(Asker(options, language, tmp_path, **more))
        return made[-1]

    yield make
    for asker in made:
        asker.close()


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=LANGUAGES)
def language(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def db(ask: Ask, options: dict[str, Any], language: str) -> Asker:
    """Every kind of database, in every language, with a table ``items`` of three rows."""
    asker = ask(options, language)
    asker.ask('db.execute("create table items (id integer primary key, name varchar(60), price numeric(8, 2))")')
    asker.ask(
        'db.executeMany("insert into items values (?, ?, ?)", [[1, "one", 1.5], [2, "two", 2.25], [3, "it\'s", 0]])'
    )
    return asker
