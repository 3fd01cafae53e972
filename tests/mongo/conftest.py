from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest

from tests.mongo.asking import Asker
from tests.servers.mongo_server import MongoServer

_names = itertools.count()


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MongoServer]:
    """A server for tests that leave it running."""
    with MongoServer(tmp_path_factory.mktemp("mongo")) as running:
        yield running


@pytest.fixture(scope="session")
def locked_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MongoServer]:
    """A server that lets in only who can log in."""
    with MongoServer(tmp_path_factory.mktemp("mongo"), login=True) as running:
        yield running


@pytest.fixture(scope="session")
def frail_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MongoServer]:
    """A server for tests that kill and pause it. They leave it running."""
    with MongoServer(tmp_path_factory.mktemp("mongo")) as running:
        yield running


@pytest.fixture
def collection() -> str:
    """The name of a collection that no other test has."""
    return f"c{next(_names)}"


@pytest.fixture(params=["python", "javascript"])
def asker(request: pytest.FixtureRequest, server: MongoServer, collection: str) -> Iterator[Asker]:
    """Calls a collection of the server from a script, in each language."""
    with Asker(request.param, {"url": server.url}, collection) as running:
        yield running
