"""What every finite source of lines must hold, whichever it is."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from trimtab.api import Source
from trimtab.plugins.codecs import JsonCodec
from trimtab.plugins.files.source import FileSourceOptions
from trimtab.plugins.files.source import create_source as create_file
from trimtab.plugins.stdio.source import LineStream
from trimtab.testing import RecordingContext, TestingSource

DATA = b'{"a":1}\n\n{"broken"\n{"b":2}\r\nlast'
RECORDS = [b'{"a":1}', b"", b'{"broken"', b'{"b":2}\r', b"last"]

Make = Callable[[RecordingContext], Source]


@contextmanager
def file(folder: Path) -> Iterator[Make]:
    (folder / "in").write_bytes(DATA)
    yield lambda context: create_file(FileSourceOptions("in"), context)


@contextmanager
def file_as_stdin(folder: Path) -> Iterator[Make]:
    (folder / "in").write_bytes(DATA)
    descriptor = os.open(folder / "in", os.O_RDONLY)
    yield lambda context: LineStream(descriptor, context)
    os.close(descriptor)


@contextmanager
def pipe_of_a_process(_folder: Path) -> Iterator[Make]:
    code = f"import os; [os.write(1, bytes([byte])) for byte in {DATA!r}]"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        descriptor = process.stdout.fileno()
        yield lambda context: LineStream(descriptor, context)


@contextmanager
def scripted(_folder: Path) -> Iterator[Make]:
    yield lambda context: TestingSource(RECORDS, context)


@pytest.fixture(params=[file, file_as_stdin, pipe_of_a_process, scripted])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Make]:
    with request.param(tmp_path) as made:
        yield made


@pytest.fixture
def context(tmp_path: Path) -> RecordingContext:
    return RecordingContext(JsonCodec(), tmp_path)


def test_every_record_is_delivered_as_it_is_whether_valid_or_not(make: Make, context: RecordingContext) -> None:
    asyncio.run(make(context).run())
    assert context.lines == RECORDS
    assert context.rejected == []


def test_each_record_has_a_place_of_its_own_in_ascending_order(make: Make, context: RecordingContext) -> None:
    asyncio.run(make(context).run())
    assert len({partition for partition, _ in context.places}) == 1
    positions = [position for _, position in context.places]
    assert positions == sorted(set(positions))
    assert positions[0] == 0


def test_nothing_is_delivered_while_the_stream_is_busy(make: Make, context: RecordingContext) -> None:
    async def run() -> None:
        context.busy = True
        task = asyncio.create_task(make(context).run())
        await context.until_waiting()
        assert (context.lines, task.done()) == ([], False)
        context.busy = False
        await task

    asyncio.run(run())
    assert context.lines == RECORDS


def test_a_source_that_waits_for_a_busy_stream_can_be_cancelled(make: Make, context: RecordingContext) -> None:
    async def run() -> None:
        context.busy = True
        task = asyncio.create_task(make(context).run())
        await context.until_waiting()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(run())
    assert context.lines == []


def test_it_serves_no_http_routes(make: Make, context: RecordingContext) -> None:
    assert list(make(context).routes()) == []
