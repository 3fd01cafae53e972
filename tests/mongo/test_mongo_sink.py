"""The sink: values become documents, each once where that can be known."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from bson import ObjectId
from pymongo.collection import Collection

from tests.servers.mongo_server import HOST, PASSWORD, USERNAME, MongoServer
from tests.servers.programs import free_port
from trimtab.api import Sink, SinkContext, SinkError
from trimtab.plugin_manager import Plugins
from trimtab.plugins.mongo.options import MongoSinkOptions
from trimtab.plugins.mongo.sink import MongoSink

Documents = Collection[dict[str, Any]]


def lines(*values: Any) -> tuple[bytes, int]:
    return b"".join(msgspec.json.encode(value) + b"\n" for value in values), len(values)


def make(server: MongoServer, collection: str, **options: Any) -> MongoSink:
    given = {"url": server.url, "database": "sinks", "collection": collection, **options}
    return MongoSink(msgspec.convert(given, MongoSinkOptions), SinkContext("s", Path()))


@contextmanager
def stored(server: MongoServer, collection: str) -> Iterator[Documents]:
    with server.client() as client:
        yield client.sinks[collection]


def write(sink: Sink, *batches: tuple[bytes, int]) -> None:
    async def run() -> None:
        await sink.open()
        try:
            for batch in batches:
                await sink.write(*batch)
        finally:
            await sink.close()

    asyncio.run(run())


def refusal(sink: Sink, *values: Any) -> SinkError:
    with pytest.raises(SinkError) as caught:
        write(sink, lines(*values))
    return caught.value


def numbers(documents: Documents) -> list[int]:
    return sorted(document["n"] for document in documents.find())


def test_values_become_documents(server: MongoServer, collection: str) -> None:
    write(make(server, collection), lines({"n": 1}, {"n": 1}), lines({"n": 2, "deep": [{"a": None}]}))
    with stored(server, collection) as documents:
        assert numbers(documents) == [1, 1, 2]
        assert documents.find_one({"n": 2}, {"_id": 0}) == {"n": 2, "deep": [{"a": None}]}


def test_values_are_extended_json(server: MongoServer, collection: str) -> None:
    oid = ObjectId()
    value = {"_id": {"$oid": str(oid)}, "at": {"$date": "2024-01-02T03:04:05Z"}, "big": {"$numberLong": str(2**60)}}
    write(make(server, collection), lines(value))
    with stored(server, collection) as documents:
        found = documents.find_one()
    assert found is not None
    assert found["_id"] == oid
    assert (found["at"].year, found["big"]) == (2024, 2**60)


def test_a_big_batch_is_stored_whole(server: MongoServer, collection: str) -> None:
    write(make(server, collection), lines(*({"n": n} for n in range(3000))))
    with stored(server, collection) as documents:
        assert numbers(documents) == list(range(3000))


def test_with_a_key_a_value_takes_the_place_of_the_one_before(server: MongoServer, collection: str) -> None:
    sink = make(server, collection, key="id")
    write(sink, lines({"id": 1, "n": 1, "old": True}, {"id": 2, "n": 2}, {"id": 1, "n": 3}), lines({"id": 2, "n": 4}))
    with stored(server, collection) as documents:
        assert list(documents.find({}, {"_id": 0}).sort("id")) == [{"id": 1, "n": 3}, {"id": 2, "n": 4}]


def test_the_key_may_be_the_id(server: MongoServer, collection: str) -> None:
    write(make(server, collection, key="_id"), lines({"_id": "a", "n": 1}), lines({"_id": "a", "n": 2}))
    with stored(server, collection) as documents:
        assert list(documents.find()) == [{"_id": "a", "n": 2}]


BAD: list[tuple[Any, str]] = [
    (5, "value 2: expected a value as an object, got int: 5"),
    ({"n": {"$oid": "x"}}, "value 2: expected extended JSON with $oid"),
    ({"n": 2**64}, "value 2: expected an integer of at most 64 bits"),
    ({"_id": 7, "n": 2}, "E11000 duplicate key"),
]


@pytest.mark.parametrize(("value", "reason"), BAD)
def test_a_value_that_is_refused_keeps_no_other_from_being_stored(
    server: MongoServer, collection: str, value: Any, reason: str
) -> None:
    write(make(server, collection), lines({"_id": 7, "n": 0}))
    error = refusal(make(server, collection), {"n": 1}, value, {"n": 3})
    assert not error.retryable
    assert "sink s: expected to store 3 values, got 1 refused and the others stored" in str(error)
    assert reason in str(error)
    with stored(server, collection) as documents:
        assert numbers(documents) == [0, 1, 3]


def test_a_value_without_the_key_is_refused(server: MongoServer, collection: str) -> None:
    error = refusal(make(server, collection, key="id"), {"n": 1}, {"id": 2, "n": 2})
    assert "value 1: expected the field 'id' that the sink has as key" in str(error)
    with stored(server, collection) as documents:
        assert numbers(documents) == [2]


def test_a_document_that_is_too_large_is_refused(server: MongoServer, collection: str) -> None:
    error = refusal(make(server, collection), {"n": 1, "text": "x" * (16 << 20)}, {"n": 2})
    assert "value 1: expected at most 16 MiB" in str(error)
    with stored(server, collection) as documents:
        assert numbers(documents) == [2]


def test_a_server_that_is_not_there_is_tried_again() -> None:
    options = {"url": f"mongodb://{HOST}:{free_port()}", "database": "d", "collection": "c", "timeout": "200ms"}
    error = refusal(MongoSink(msgspec.convert(options, MongoSinkOptions), SinkContext("s", Path())), {"n": 1})
    assert error.retryable
    assert "sink s: expected a connection, got" in str(error)
    assert error.__cause__ is None


def test_a_login_that_is_wrong_stores_nothing(locked_server: MongoServer, collection: str) -> None:
    error = refusal(make(locked_server, collection, user=USERNAME, password="wrong"), {"n": 1})
    assert "sink s: expected to log in" in str(error)
    write(make(locked_server, collection, user=USERNAME, password=PASSWORD), lines({"n": 1}))
    with stored(locked_server, collection) as documents:
        assert numbers(documents) == [1]


def test_a_write_that_nobody_answered_is_not_stored_twice(frail_server: MongoServer, collection: str) -> None:
    """The server takes the values while it is silent, and answers nobody any more."""
    sink = make(frail_server, collection, timeout="500ms")
    batch = lines(*({"n": n} for n in range(50)))

    async def run() -> None:
        await sink.write(*lines({"n": -1}))
        frail_server.pause()
        with pytest.raises(SinkError) as caught:
            await sink.write(*batch)
        assert caught.value.retryable
        frail_server.resume()
        await _until_written(sink, batch)
        await _until_written(sink, lines({"n": 50}))
        await sink.close()

    with stored(frail_server, collection) as documents:
        asyncio.run(run())
        assert numbers(documents) == list(range(-1, 51))


def test_values_wait_for_a_server_that_was_killed(frail_server: MongoServer, collection: str) -> None:
    sink = make(frail_server, collection, timeout="500ms")

    async def run() -> None:
        await sink.write(*lines({"n": 1}))
        frail_server.kill()
        with pytest.raises(SinkError):
            await sink.write(*lines({"n": 2}))
        frail_server.start()
        await _until_written(sink, lines({"n": 2}))
        await sink.close()

    asyncio.run(run())
    with stored(frail_server, collection) as documents:
        assert numbers(documents) == [1, 2]


async def _until_written(sink: Sink, batch: tuple[bytes, int]) -> None:
    """Do as the host does: write again and again, as long as the error may be retried."""
    async with asyncio.timeout(30):
        while True:
            try:
                return await sink.write(*batch)
            except SinkError as error:
                if not error.retryable:
                    raise
            await asyncio.sleep(0.02)


def test_the_type_is_there() -> None:
    assert Plugins.load().sink_kinds()["mongo"].options is MongoSinkOptions
