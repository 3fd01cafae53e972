from __future__ import annotations

import asyncio
import fcntl
import os
import pty
import select
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from trimtab.api import SinkError, SourceError, StateError
from trimtab.plugins.codecs import MsgpackCodec, TextCodec
from trimtab.plugins.files.lines import LONGEST_LINE
from trimtab.plugins.stdio.sink import LineOutput
from trimtab.plugins.stdio.source import LineStream, StdinOptions, create_source
from trimtab.testing import RecordingContext

READ_AND_WRITE = """
import asyncio, sys
from pathlib import Path
from trimtab.api import SinkContext
from trimtab.plugins.codecs import TextCodec
from trimtab.plugins.stdio.source import StdinOptions, create_source
from trimtab.plugins.stdio.sink import StdoutOptions, create_sink
from trimtab.testing import RecordingContext

async def main():
    context = RecordingContext(TextCodec(), Path("."))
    await create_source(StdinOptions(), context).run()
    sink = create_sink(StdoutOptions(), SinkContext("out", Path(".")))
    await sink.write(b"".join(line + b"\\n" for line in context.lines), len(context.lines))

asyncio.run(main())
"""


@pytest.fixture
def pipe() -> Iterator[list[int]]:
    """The two ends of a pipe; a test that closes one takes it out of the list."""
    ends = list(os.pipe())
    yield ends
    for end in ends:
        os.close(end)


def context() -> RecordingContext:
    return RecordingContext(TextCodec(), Path(), name="in", partition="run-7")


def test_a_pipe_in_comes_out_as_it_was() -> None:
    data = b"".join(b"line %d\n" % number for number in range(50_000))
    done = subprocess.run(
        [sys.executable, "-c", READ_AND_WRITE], input=data, capture_output=True, check=True, timeout=60
    )
    assert done.stdout == data


@pytest.mark.parametrize("data", [b"", b"1\n2\n", b"1\n2"])
def test_files_in_and_out_work_like_pipes(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "in").write_bytes(data)
    with (tmp_path / "in").open("rb") as source, (tmp_path / "out").open("wb") as sink:
        subprocess.run([sys.executable, "-c", READ_AND_WRITE], stdin=source, stdout=sink, check=True, timeout=60)
    assert (tmp_path / "out").read_bytes() == data + (b"\n" if data and not data.endswith(b"\n") else b"")


def test_the_null_device_is_an_input_without_events() -> None:
    done = subprocess.run(
        [sys.executable, "-c", READ_AND_WRITE], stdin=subprocess.DEVNULL, capture_output=True, check=True, timeout=60
    )
    assert done.stdout == b""


def test_lines_are_accepted_while_the_pipe_is_open(pipe: list[int]) -> None:
    async def run() -> RecordingContext:
        recording = context()
        task = asyncio.create_task(LineStream(pipe[0], recording).run())
        os.write(pipe[1], b"one\ntw")
        await recording.until_lines(1)
        os.write(pipe[1], b"o\nend")
        await recording.until_lines(2)
        os.close(pipe.pop(1))
        await task
        return recording

    recording = asyncio.run(run())
    assert recording.lines == [b"one", b"two", b"end"]
    assert recording.places == [("journal", 0), ("journal", 1), ("journal", 2)]


class FullDisk(RecordingContext):
    """Accepts nothing until :attr:`room` is set."""

    def __init__(self) -> None:
        super().__init__(TextCodec(), Path(), name="in")
        self.room = asyncio.Event()
        self.refused = asyncio.Event()

    async def accept(self, records: Sequence[bytes]) -> None:
        if not self.room.is_set():
            self.refused.set()
            raise StateError("disk full")
        await super().accept(records)


def test_lines_that_the_journal_refuses_are_kept_until_it_takes_them(pipe: list[int]) -> None:
    async def run() -> FullDisk:
        recording = FullDisk()
        task = asyncio.create_task(LineStream(pipe[0], recording).run())
        os.write(pipe[1], b"one\ntwo\n")
        await recording.refused.wait()
        os.write(pipe[1], b"three\n")
        os.close(pipe.pop(1))
        recording.room.set()
        await task
        return recording

    assert asyncio.run(run()).lines == [b"one", b"two", b"three"]


def test_what_is_read_while_others_are_accepted_is_accepted_together_behind_them(pipe: list[int]) -> None:
    async def run() -> RecordingContext:
        recording = context()
        recording.busy = True
        task = asyncio.create_task(LineStream(pipe[0], recording).run())
        os.write(pipe[1], b"0\n")
        await recording.until_waiting()
        for number in range(1, 10):
            os.write(pipe[1], b"%d\n" % number)
            while select.select(pipe[:1], (), (), 0)[0]:  # noqa: ASYNC110 - it is read
                await asyncio.sleep(0)
        recording.busy = False
        os.close(pipe.pop(1))
        await task
        return recording

    recording = asyncio.run(run())
    assert recording.lines == [b"%d" % number for number in range(10)]
    assert len(recording.delivered) == 2


def test_a_line_that_is_too_long_is_rejected_and_the_others_are_accepted(tmp_path: Path) -> None:
    (tmp_path / "in").write_bytes(b"1\n" + b"x" * (LONGEST_LINE * 2) + b"\n2\n")
    recording = context()
    with (tmp_path / "in").open("rb") as file:
        asyncio.run(LineStream(file.fileno(), recording).run())
    assert recording.lines == [b"1", b"2"]
    assert [(rejected.partition, rejected.position) for rejected in recording.rejected] == [("run-7", 2)]


def test_a_source_that_waits_can_be_cancelled_and_leaves_the_pipe_as_it_was(pipe: list[int]) -> None:
    async def run() -> None:
        recording = context()
        task = asyncio.create_task(LineStream(pipe[0], recording).run())
        os.write(pipe[1], b"one\n")
        await recording.until_lines(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(run())
    assert not fcntl.fcntl(pipe[0], fcntl.F_GETFL) & os.O_NONBLOCK


def test_a_terminal_is_read_line_by_line_until_its_end() -> None:
    async def run(controller: int, terminal: int) -> list[bytes]:
        recording = context()
        task = asyncio.create_task(LineStream(terminal, recording).run())
        os.write(controller, b"typed\n")
        await recording.until_lines(1)
        os.write(controller, b"\x04")
        await task
        return recording.lines

    controller, terminal = pty.openpty()
    try:
        assert asyncio.run(run(controller, terminal)) == [b"typed"]
    finally:
        os.close(controller)
        os.close(terminal)


def test_an_input_that_is_closed_is_an_error() -> None:
    nobody_has_it = 1000
    with pytest.raises(SourceError, match=r"sources\.in: expected standard input to be open, got Bad file descriptor"):
        asyncio.run(LineStream(nobody_has_it, context()).run())


def test_a_codec_without_lines_is_refused_for_stdin() -> None:
    with pytest.raises(SourceError, match="source of type stdin expected a codec with one record a line"):
        create_source(StdinOptions(), RecordingContext(MsgpackCodec(), Path()))


# --- the sink ---


def test_a_file_is_flushed_and_a_pipe_needs_no_flush(tmp_path: Path, pipe: list[int]) -> None:
    async def run(descriptor: int) -> None:
        sink = LineOutput(descriptor, "out")
        await sink.write(b"1\n", 1)
        await sink.flush()

    asyncio.run(run(pipe[1]))
    with (tmp_path / "out").open("wb") as file:
        asyncio.run(run(file.fileno()))
    with pytest.raises(SinkError, match="expected the file of standard output to be written to the disk"):
        asyncio.run(LineOutput(1000, "out").flush())


def test_a_slow_reader_stops_the_write_but_not_the_event_loop(pipe: list[int]) -> None:
    data = b"".join(b"line %d\n" % number for number in range(50_000))

    async def run() -> bytes:
        writing = asyncio.create_task(LineOutput(pipe[1], "out").write(data, 50_000))
        got = b""
        while len(got) < len(data):
            await asyncio.sleep(0)  # goes on although the pipe is full
            got += await asyncio.to_thread(os.read, pipe[0], 65536)
        await writing
        return got

    assert asyncio.run(run()) == data
    assert not fcntl.fcntl(pipe[1], fcntl.F_GETFL) & os.O_NONBLOCK


def test_what_others_print_meanwhile_does_not_land_within_a_line(pipe: list[int]) -> None:
    line = b"x" * 1499 + b"\n"

    async def run() -> bytes:
        writing = asyncio.create_task(LineOutput(pipe[1], "out").write(line * 100, 100))
        got = b""
        while not writing.done():
            got += await asyncio.to_thread(os.read, pipe[0], 9000)
            os.write(pipe[1], b"!\n")
            await asyncio.sleep(0)
        os.close(pipe.pop(1))
        while chunk := os.read(pipe[0], 65536):
            got += chunk
        return got

    assert set(asyncio.run(run()).splitlines(keepends=True)) == {line, b"!\n"}


def test_a_line_longer_than_a_piece_goes_out_whole(pipe: list[int]) -> None:
    line = b"x" * 20_000 + b"\n"
    asyncio.run(LineOutput(pipe[1], "out").write(line + b"y\n", 2))
    assert os.read(pipe[0], 65536) == line + b"y\n"


def test_a_reader_that_has_gone_is_an_error_for_good(pipe: list[int]) -> None:
    os.close(pipe.pop(0))
    with pytest.raises(SinkError, match=r"sinks\.out: expected a reader of standard output, got Broken pipe") as e:
        asyncio.run(LineOutput(pipe[0], "out").write(b"1\n", 1))
    assert not e.value.retryable
    assert "keep the reader running" in str(e.value)


def test_a_reader_that_goes_while_a_write_waits_is_an_error_too(pipe: list[int]) -> None:
    async def run() -> None:
        writing = asyncio.create_task(LineOutput(pipe[1], "out").write(b"x\n" * 100_000, 100_000))
        await asyncio.to_thread(os.read, pipe[0], 1)
        os.close(pipe.pop(0))
        with pytest.raises(SinkError):
            await writing

    asyncio.run(run())
