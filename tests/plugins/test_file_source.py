from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from trimtab.api import SourceError
from trimtab.plugins.codecs import JsonCodec, MsgpackCodec
from trimtab.plugins.files.lines import LONGEST_LINE
from trimtab.plugins.files.source import FileSourceOptions, create_source
from trimtab.testing import RecordingContext


def context_in(folder: Path) -> RecordingContext:
    return RecordingContext(JsonCodec(), folder, name="replay")


def read_once(folder: Path, path: str = "in.jsonl") -> RecordingContext:
    context = context_in(folder)
    asyncio.run(create_source(FileSourceOptions(path), context).run())
    return context


@asynccontextmanager
async def followed(folder: Path, path: str = "in.jsonl") -> AsyncIterator[RecordingContext]:
    context = context_in(folder)
    task = asyncio.create_task(create_source(FileSourceOptions(path, follow=True), context).run())
    try:
        yield context
        assert not task.done(), task.exception()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def follow(folder: Path, test: Callable[[RecordingContext], Awaitable[None]]) -> None:
    async def run() -> None:
        async with followed(folder) as context:
            await test(context)

    asyncio.run(run())


def append(path: Path, data: bytes) -> None:
    with path.open("ab") as file:
        file.write(data)


# --- finite ---


def test_a_file_is_delivered_whole_with_byte_offsets_and_its_inode(tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    path.write_bytes(b'{"a":1}\n{"a":22}\n{"a":3}\n')
    context = read_once(tmp_path)
    inode = f"{path.stat().st_ino:x}"
    assert context.lines == [b'{"a":1}', b'{"a":22}', b'{"a":3}']
    assert context.places == [(inode, 0), (inode, 8), (inode, 17)]


def test_a_last_line_without_newline_is_an_event(tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_bytes(b"1\n2")
    assert read_once(tmp_path).lines == [b"1", b"2"]


def test_an_empty_file_has_no_events(tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").touch()
    assert read_once(tmp_path).delivered == []


def test_a_big_file_comes_in_blocks_of_many_lines_and_loses_none(tmp_path: Path) -> None:
    lines = [b'{"number":%d,"text":"%s"}' % (number, b"x" * (number % 97)) for number in range(40_000)]
    (tmp_path / "in.jsonl").write_bytes(b"\n".join(lines) + b"\n")
    context = read_once(tmp_path)
    assert context.lines == lines
    assert len(context.delivered) < 100


def test_a_line_that_is_too_long_is_rejected_and_the_others_go_on(tmp_path: Path) -> None:
    with (tmp_path / "in.jsonl").open("wb") as file:
        file.write(b"1\n" + b"x" * (LONGEST_LINE + (2 << 20)) + b"\n2\n")
    context = read_once(tmp_path)
    assert context.lines == [b"1", b"2"]
    (rejected,) = context.rejected
    assert rejected.position == 2
    assert rejected.reason.startswith("expected a line of at most 16777216 bytes, got a longer one")


def test_a_missing_file_is_refused_before_anything_runs(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"sources\.replay\.path: expected a file, got nothing at .*none\.jsonl") as e:
        create_source(FileSourceOptions("none.jsonl"), context_in(tmp_path))
    assert not e.value.retryable


def test_a_file_that_goes_away_before_it_is_read_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    path.touch()
    source = create_source(FileSourceOptions("in.jsonl"), context_in(tmp_path))
    path.unlink()
    with pytest.raises(SourceError, match="got No such file or directory at"):
        asyncio.run(source.run())


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_what_is_not_a_regular_file_is_refused(tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path / "in.jsonl")
    with pytest.raises(SourceError, match="expected a regular file, got something else"):
        read_once(tmp_path)


def test_a_codec_without_lines_is_refused(tmp_path: Path) -> None:
    context = RecordingContext(MsgpackCodec(), tmp_path, name="replay")
    with pytest.raises(SourceError, match=r"sources\.replay\.codec: .* got 'msgpack'; choose \"json\" or \"text\""):
        create_source(FileSourceOptions("in.jsonl"), context)


# --- follow ---


def test_a_followed_file_may_come_later_and_grow(tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"

    async def test(context: RecordingContext) -> None:
        await asyncio.sleep(0)
        append(path, b"1\n")
        await context.until_lines(1)
        append(path, b"2\n3\n")
        await context.until_lines(3)
        assert context.lines == [b"1", b"2", b"3"]

    follow(tmp_path, test)


def test_a_line_is_held_back_until_its_newline_comes(tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    path.write_bytes(b'1\n{"half":')

    async def test(context: RecordingContext) -> None:
        await context.until_lines(1)
        append(path, b"2}\n3\n")
        await context.until_lines(3)
        assert context.lines == [b"1", b'{"half":2}', b"3"]

    follow(tmp_path, test)


def test_rotation_finishes_the_old_file_and_begins_the_new_one_in_another_partition(tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    path.write_bytes(b"1\n")

    async def test(context: RecordingContext) -> None:
        await context.until_lines(1)
        rotated = path.rename(tmp_path / "in.jsonl.1")
        append(rotated, b"2\n")  # the writer has not noticed yet
        await context.until_lines(2)
        append(rotated, b"last")
        path.write_bytes(b"3\n")
        await context.until_lines(4)
        assert context.lines == [b"1", b"2", b"last", b"3"]
        assert context.places == [
            *((f"{rotated.stat().st_ino:x}", position) for position in (0, 2, 4)),
            (f"{path.stat().st_ino:x}", 0),
        ]

    follow(tmp_path, test)


def test_truncation_starts_again_in_a_partition_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    path.write_bytes(b"1\n2\n")

    async def test(context: RecordingContext) -> None:
        await context.until_lines(2)
        os.truncate(path, 0)
        append(path, b"3\n")
        await context.until_lines(3)
        inode = f"{path.stat().st_ino:x}"
        assert context.places == [(inode, 0), (inode, 2), (f"{inode}.1", 0)]

    follow(tmp_path, test)


def test_no_event_has_the_id_of_another_over_many_rotations(tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"

    async def test(context: RecordingContext) -> None:
        for number in range(6):
            path.write_bytes(b"%d\n" % number)
            await context.until_lines(number + 1)
            path.unlink()  # so that the file system may give the inode again
        assert len(set(context.places)) == 6

    follow(tmp_path, test)


def test_a_busy_stream_stops_the_reading(tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    path.write_bytes(b"1\n")

    async def test(context: RecordingContext) -> None:
        await context.until_lines(1)
        context.busy = True
        append(path, b"2\n" * 500_000)
        await context.until_waiting()
        assert len(context.lines) == 1
        context.busy = False
        await context.until_lines(500_001)

    follow(tmp_path, test)


def test_a_followed_path_that_is_a_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").mkdir()
    source = create_source(FileSourceOptions("in.jsonl", follow=True), context_in(tmp_path))
    with pytest.raises(SourceError, match="expected a regular file"):
        asyncio.run(source.run())


def test_a_folder_that_cannot_be_searched_is_an_error_that_may_pass(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    source = create_source(FileSourceOptions("file/in.jsonl", follow=True), context_in(tmp_path))
    with pytest.raises(SourceError, match="Not a directory") as e:
        asyncio.run(source.run())
    assert e.value.retryable
