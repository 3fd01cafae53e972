"""What every source that reads by itself must hold, whichever it is."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.servers.redis_servers import RedisServer
from trimtab.api import Source
from trimtab.plugins.codecs import JsonCodec
from trimtab.plugins.files.source import FileSourceOptions
from trimtab.plugins.files.source import create_source as create_file
from trimtab.plugins.redis.options import RedisSourceOptions
from trimtab.plugins.redis.source import StreamSource
from trimtab.plugins.stdio.source import LineStream
from trimtab.testing import RecordingContext, TestingSource

DATA = b'{"a":1}\n\n{"broken"\n{"b":2}\r\nlast'
RECORDS = [b'{"a":1}', b"", b'{"broken"', b'{"b":2}\r', b"last"]


@dataclass(frozen=True, slots=True)
class Origin:
    """Where :data:`RECORDS` are read. ``is_finite``: the source ends by itself, and counts from 0."""

    make: Callable[[RecordingContext], Source]
    is_finite: bool = True

    async def read(self, context: RecordingContext) -> None:
        """Read until all is delivered."""
        task = asyncio.create_task(self.make(context).run())
        await self.finish(task, context)

    async def finish(self, task: asyncio.Task[None], context: RecordingContext) -> None:
        """Wait until a source that runs has delivered all, and has ended."""
        if not self.is_finite:
            await context.until_lines(len(RECORDS))
            task.cancel()
            await asyncio.wait([task])
        else:
            await task


Place = Callable[[Path], AbstractContextManager[Origin]]


@contextmanager
def file(folder: Path) -> Iterator[Origin]:
    (folder / "in").write_bytes(DATA)
    yield Origin(lambda context: create_file(FileSourceOptions("in"), context))


@contextmanager
def followed_file(folder: Path) -> Iterator[Origin]:
    (folder / "in").write_bytes(DATA + b"\n")
    options = FileSourceOptions("in", follow=True)
    yield Origin(lambda context: create_file(options, context), is_finite=False)


@contextmanager
def file_as_stdin(folder: Path) -> Iterator[Origin]:
    (folder / "in").write_bytes(DATA)
    descriptor = os.open(folder / "in", os.O_RDONLY)
    yield Origin(lambda context: LineStream(descriptor, context))
    os.close(descriptor)


@contextmanager
def pipe_of_a_process(_folder: Path) -> Iterator[Origin]:
    code = f"import os; [os.write(1, bytes([byte])) for byte in {DATA!r}]"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        descriptor = process.stdout.fileno()
        yield Origin(lambda context: LineStream(descriptor, context))


@contextmanager
def scripted(_folder: Path) -> Iterator[Origin]:
    yield Origin(lambda context: TestingSource(RECORDS, context))


@contextmanager
def redis_stream(folder: Path) -> Iterator[Origin]:
    with RedisServer(folder) as server:
        with server.client() as client:
            for record in RECORDS:
                client.xadd("s", {"event": record})
        options = RedisSourceOptions(url=server.url, stream="s")
        yield Origin(lambda context: StreamSource(options, context), is_finite=False)


@pytest.fixture(params=[file, followed_file, file_as_stdin, pipe_of_a_process, scripted, redis_stream])
def origin(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Origin]:
    with request.param(tmp_path) as made:
        yield made


@pytest.fixture
def context(tmp_path: Path) -> RecordingContext:
    return RecordingContext(JsonCodec(), tmp_path)


def test_every_record_is_delivered_as_it_is_whether_valid_or_not(origin: Origin, context: RecordingContext) -> None:
    asyncio.run(origin.read(context))
    assert context.lines == RECORDS
    assert context.rejected == []


def test_each_record_has_a_place_of_its_own_in_ascending_order(origin: Origin, context: RecordingContext) -> None:
    asyncio.run(origin.read(context))
    assert len({partition for partition, _ in context.places}) == 1
    positions = [position for _, position in context.places]
    assert positions == sorted(set(positions))
    assert positions[0] == 0 or not origin.is_finite


def test_nothing_is_delivered_while_the_stream_is_busy(origin: Origin, context: RecordingContext) -> None:
    async def run() -> None:
        context.busy = True
        task = asyncio.create_task(origin.make(context).run())
        await context.until_waiting()
        assert (context.lines, task.done()) == ([], False)
        context.busy = False
        await origin.finish(task, context)

    asyncio.run(run())
    assert context.lines == RECORDS


def test_a_source_that_waits_for_a_busy_stream_can_be_cancelled(origin: Origin, context: RecordingContext) -> None:
    async def run() -> None:
        context.busy = True
        task = asyncio.create_task(origin.make(context).run())
        await context.until_waiting()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(run())
    assert context.lines == []


def test_it_serves_no_http_routes(origin: Origin, context: RecordingContext) -> None:
    assert list(origin.make(context).routes()) == []


@pytest.mark.parametrize("place", [file, followed_file])
def test_a_later_run_goes_on_exactly_behind_the_position(place: Place, tmp_path: Path) -> None:
    async def run(origin: Origin, cut: int) -> list[bytes]:
        earlier = RecordingContext(JsonCodec(), tmp_path)
        source = origin.make(earlier)
        await origin.finish(asyncio.create_task(source.run()), earlier)
        later = RecordingContext(JsonCodec(), tmp_path)
        source, position = origin.make(later), earlier.position(cut, source.note())
        source.resume(position)
        task = asyncio.create_task(source.run())
        if origin.is_finite:
            await task
        else:
            await later.until_lines(len(RECORDS) - cut)
            task.cancel()
            await asyncio.wait([task])
        assert later.places == earlier.places[cut:]
        return later.lines

    with place(tmp_path) as origin:
        for cut in range(1, len(RECORDS) + 1):
            assert asyncio.run(run(origin, cut)) == RECORDS[cut:], cut
