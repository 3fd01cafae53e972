"""The servers that Lofka scripts talk to. Tests leave them running."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest

from tests.lofka.lofka_http import EchoServer, echoing
from tests.redis.conftest import redis_cluster, redis_server  # noqa: F401 - fixtures
from tests.servers.mongo_server import MongoServer
from tests.servers.sql_servers import MariaDbServer, PostgresServer

_names = itertools.count()


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A PostgreSQL."""
    server = PostgresServer()
    try:
        server.start()
        yield server
    finally:
        server.remove()


@pytest.fixture(scope="session")
def mariadb() -> Iterator[MariaDbServer]:
    """A MariaDB."""
    server = MariaDbServer()
    try:
        server.start()
        yield server
    finally:
        server.remove()


@pytest.fixture(scope="session")
def mongo_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MongoServer]:
    """A MongoDB."""
    with MongoServer(tmp_path_factory.mktemp("mongo")) as server:
        yield server


@pytest.fixture
def http_server() -> Iterator[EchoServer]:
    """An HTTP server that echoes."""
    with echoing() as server:
        yield server


@pytest.fixture
def name() -> str:
    """A name that no other test uses: of a key, a table, a collection."""
    return f"lofka_{next(_names)}"
