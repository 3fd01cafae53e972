"""The servers that scenarios run on in production."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.scenarios.fleet import Fleet
from tests.servers.sql_servers import PostgresServer


@contextmanager
def postgres_server() -> Iterator[PostgresServer]:
    server = PostgresServer()
    try:
        server.start()
        yield server
    finally:
        server.remove()


@pytest.fixture(scope="session")
def postgres_of_the_session() -> Iterator[PostgresServer]:
    with postgres_server() as server:
        yield server


@pytest.fixture(scope="session")
def second_postgres_of_the_session() -> Iterator[PostgresServer]:
    with postgres_server() as server:
        yield server


@pytest.fixture
def postgres(postgres_of_the_session: PostgresServer) -> PostgresServer:
    """A server without tables: the scripts make theirs."""
    return emptied(postgres_of_the_session)


@pytest.fixture
def second_postgres(second_postgres_of_the_session: PostgresServer) -> PostgresServer:
    """Another one."""
    return emptied(second_postgres_of_the_session)


def emptied(server: PostgresServer) -> PostgresServer:
    server.run("drop table if exists fences", "drop table if exists contacts")
    return server


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    """The demo on its embedded defaults."""
    return Fleet(tmp_path)


@pytest.fixture(params=["sqlite", "postgresql"])
def fleet_on_each(request: pytest.FixtureRequest, tmp_path: Path) -> Fleet:
    """The demo on each kind of database."""
    if request.param == "sqlite":
        return Fleet(tmp_path)
    server: PostgresServer = request.getfixturevalue("postgres")
    return Fleet(tmp_path, database=f'url = "{server.url}"')
