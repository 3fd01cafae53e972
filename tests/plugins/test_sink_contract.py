"""What every sink must hold, whichever it is."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from trimtab.api import Sink, SinkContext, SinkError
from trimtab.plugins.files.sink import FileSinkOptions, create_sink
from trimtab.plugins.stdio.sink import LineOutput
from trimtab.testing import CollectingSink

Parts = tuple[Sink, Callable[[], bytes]]
"""A sink, and what has come out of it."""


@contextmanager
def file(folder: Path) -> Iterator[Parts]:
    yield create_sink(FileSinkOptions("out"), SinkContext("s", folder)), (folder / "out").read_bytes


@contextmanager
def pipe(_folder: Path) -> Iterator[Parts]:
    with tempfile.TemporaryFile() as taken:
        yield LineOutput(taken.fileno(), "s"), lambda: os.pread(taken.fileno(), 1 << 20, 0)


@contextmanager
def collecting(_folder: Path) -> Iterator[Parts]:
    sink = CollectingSink()
    yield sink, lambda: b"".join(line + b"\n" for line in sink.lines)


@pytest.fixture(params=[file, pipe, collecting])
def parts(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Parts]:
    with request.param(tmp_path) as made:
        yield made


def test_what_is_written_comes_out_in_order_and_at_once(parts: Parts) -> None:
    sink, out = parts

    async def run() -> None:
        await sink.open()
        await sink.write(b'{"a":1}\n"b"\n', 2)
        assert out() == b'{"a":1}\n"b"\n'
        for number in range(100):
            await sink.write(b"%d\n" % number, 1)
        await sink.close()

    asyncio.run(run())
    assert out().splitlines()[2:] == [b"%d" % number for number in range(100)]


def test_a_big_write_comes_out_whole(parts: Parts) -> None:
    sink, out = parts
    lines = b'"0123456789"\n' * 50_000

    async def run() -> None:
        await sink.open()
        await sink.write(lines, 50_000)
        await sink.close()

    asyncio.run(run())
    assert out() == lines


def test_a_sink_that_wrote_nothing_can_be_closed(parts: Parts) -> None:
    sink, out = parts

    async def run() -> None:
        await sink.open()
        await sink.close()

    asyncio.run(run())
    assert out() == b""


def test_an_error_of_a_collecting_sink_takes_nothing_and_is_over_with_the_next_write() -> None:
    sink = CollectingSink()
    sink.errors = [SinkError("full", retryable=True)]

    async def run() -> None:
        with pytest.raises(SinkError, match="full"):
            await sink.write(b"1\n", 1)
        await sink.write(b"1\n", 1)

    asyncio.run(run())
    assert sink.values == [1]
