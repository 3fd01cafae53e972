"""What every sink must hold, whichever it is."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.http.http_servers import Site
from tests.servers.mongo_server import MongoServer
from tests.servers.redis_servers import RedisServer
from trimtab.api import Sink, SinkContext, SinkError
from trimtab.plugins.files.sink import FileSinkOptions, create_sink
from trimtab.plugins.http.options import HttpSinkOptions
from trimtab.plugins.http.sink import HttpSink
from trimtab.plugins.mongo.options import MongoSinkOptions
from trimtab.plugins.mongo.sink import MongoSink
from trimtab.plugins.redis.options import RedisSinkOptions
from trimtab.plugins.redis.sink import StreamSink
from trimtab.plugins.sql.options import SqlSinkOptions
from trimtab.plugins.sql.sink import create_sink as create_sql
from trimtab.plugins.stdio.sink import LineOutput
from trimtab.testing import CollectingSink


def any_value(number: int) -> Any:
    """A value of any JSON type; another one for each number."""
    return [{"n": number}, f"\u2028{number}", number, [None, number]][number % 4]


def numbered(number: int) -> Any:
    """An object, for sinks that take nothing else."""
    return {"n": number, "text": f"\u2028{number}"}


@dataclass(frozen=True, slots=True)
class Outlet:
    """A sink, the values that it takes, and which of them have come out, in the order in which that keeps them."""

    sink: Sink
    arrived: Callable[[], list[Any]]
    value: Callable[[int], Any] = any_value

    async def write(self, numbers: Sequence[int]) -> None:
        lines = b"".join(msgspec.json.encode(self.value(number)) + b"\n" for number in numbers)
        await self.sink.write(lines, len(numbers))

    def values(self, count: int) -> list[Any]:
        return [self.value(number) for number in range(count)]


def _context(folder: Path) -> SinkContext:
    return SinkContext("s", folder)


def _decoded(lines: bytes) -> list[Any]:
    return [msgspec.json.decode(line) for line in lines.splitlines()]


@contextmanager
def file(folder: Path) -> Iterator[Outlet]:
    sink = create_sink(FileSinkOptions("out"), _context(folder))
    yield Outlet(sink, lambda: _decoded((folder / "out").read_bytes()))


@contextmanager
def pipe(_folder: Path) -> Iterator[Outlet]:
    with tempfile.TemporaryFile() as taken:
        yield Outlet(LineOutput(taken.fileno(), "s"), lambda: _decoded(os.pread(taken.fileno(), 1 << 20, 0)))


@contextmanager
def collecting(_folder: Path) -> Iterator[Outlet]:
    sink = CollectingSink()
    yield Outlet(sink, lambda: sink.values)


@contextmanager
def http(folder: Path) -> Iterator[Outlet]:
    site = Site()
    with site.serving() as url:
        sink = HttpSink(HttpSinkOptions(url), _context(folder))
        yield Outlet(sink, lambda: [value for visit in site.visits for value in msgspec.json.decode(visit.body)])


@contextmanager
def redis_stream(folder: Path) -> Iterator[Outlet]:
    with RedisServer(folder) as server:

        def arrived() -> list[Any]:
            return [msgspec.json.decode(entry["event"]) for _id, entry in server.ask("XRANGE", "s", "-", "+")]

        yield Outlet(StreamSink(RedisSinkOptions(url=server.url, stream="s"), _context(folder)), arrived)


@contextmanager
def sql(folder: Path) -> Iterator[Outlet]:
    with closing(sqlite3.connect(folder / "app.db")) as database:
        database.execute("create table taken (n integer, text varchar)")

        def arrived() -> list[Any]:
            return [{"n": n, "text": text} for n, text in database.execute("select n, text from taken order by rowid")]

        sink = create_sql(SqlSinkOptions(url="sqlite:///app.db", table="taken"), _context(folder))
        yield Outlet(sink, arrived, numbered)


@contextmanager
def mongo(folder: Path) -> Iterator[Outlet]:
    with MongoServer(folder) as server, server.client() as client:
        taken = client.sinks.taken  # which keeps no order of its own

        def arrived() -> list[Any]:
            return list(taken.find({}, {"_id": 0}).sort("n"))

        options = MongoSinkOptions(url=server.url, database="sinks", collection="taken")
        yield Outlet(MongoSink(options, _context(folder)), arrived, numbered)


@pytest.fixture(params=[file, pipe, collecting, http, redis_stream, sql, mongo])
def outlet(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Outlet]:
    with request.param(tmp_path) as made:
        yield made


def test_what_is_written_comes_out_in_order_and_at_once(outlet: Outlet) -> None:
    async def run() -> None:
        await outlet.sink.open()
        await outlet.write([0, 1])
        assert outlet.arrived() == outlet.values(2)
        for number in range(2, 100):
            await outlet.write([number])
        await outlet.sink.flush()
        await outlet.sink.close()

    asyncio.run(run())
    assert outlet.arrived() == outlet.values(100)


def test_a_big_write_comes_out_whole(outlet: Outlet) -> None:
    count = 20_000

    async def run() -> None:
        await outlet.sink.open()
        await outlet.write(range(count))
        await outlet.sink.close()

    asyncio.run(run())
    assert outlet.arrived() == outlet.values(count)


def test_a_sink_that_wrote_nothing_can_be_closed(outlet: Outlet) -> None:
    async def run() -> None:
        await outlet.sink.open()
        await outlet.sink.close()

    asyncio.run(run())
    assert outlet.arrived() == []


def test_an_error_of_a_collecting_sink_takes_nothing_and_is_over_with_the_next_write() -> None:
    sink = CollectingSink()
    sink.errors = [SinkError("full", retryable=True)]

    async def run() -> None:
        with pytest.raises(SinkError, match="full"):
            await sink.write(b"1\n", 1)
        await sink.write(b"1\n", 1)

    asyncio.run(run())
    assert sink.values == [1]
