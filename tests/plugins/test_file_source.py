from __future__ import annotations

import asyncio
import os
import tracemalloc
from collections.abc import Awaitable, Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trimtab.api import Position, SourceError
from trimtab.plugins.codecs import JsonCodec, MsgpackCodec
from trimtab.plugins.files.lines import LONGEST_LINE, READ_SIZE
from trimtab.plugins.files.opened import OpenFile
from trimtab.plugins.files.source import FileSourceOptions, create_source
from trimtab.testing import RecordingContext


def context_in(folder: Path) -> RecordingContext:
    return RecordingContext(JsonCodec(), folder, name="replay")


def read_once(folder: Path, position: Position | None = None) -> RecordingContext:
    return read_to(folder, 0, position)[0]


def read_to(folder: Path, cut: int, position: Position | None = None) -> tuple[RecordingContext, Position | None]:
    """Read a finite file; also gives the position behind the first ``cut`` records, if there are so many."""
    context = context_in(folder)
    source = create_source(FileSourceOptions("in.jsonl"), context)
    if position is not None:
        source.resume(position)
    asyncio.run(source.run())
    return context, context.position(cut, source.note()) if 0 < cut <= len(context.lines) else position


Test = Callable[[RecordingContext], Awaitable[None]]


def follow(folder: Path, test: Test, position: Position | None = None, cut: int = 0) -> Position:
    """Follow the file while the test runs; gives the position behind the first ``cut`` records, or all."""

    async def run() -> Position:
        context = context_in(folder)
        source = create_source(FileSourceOptions("in.jsonl", follow=True), context)
        if position is not None:
            source.resume(position)
        task = asyncio.create_task(source.run())
        try:
            await test(context)
            assert not task.done(), task.exception()
            return context.position(cut or len(context.lines), source.note())
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    return asyncio.run(run())


def lines(count: int) -> Test:
    """Wait for that many lines."""
    return lambda context: context.until_lines(count)


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


# --- finite, in a later run ---


def test_a_file_that_was_read_to_its_end_delivers_nothing_and_ends(tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_bytes(b"1\n2")
    _context, position = read_to(tmp_path, 2)
    assert read_once(tmp_path, position).lines == []


def test_a_later_run_reads_what_the_file_has_got_since(tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    path.write_bytes(b"1\n2")
    _context, position = read_to(tmp_path, 2)
    append(path, b"\n\n3\n")
    context = read_once(tmp_path, position)
    assert context.lines == [b"", b"3"]
    assert context.places == [(f"{path.stat().st_ino:x}", at) for at in (4, 5)]


def test_another_file_at_the_path_is_read_whole(tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    path.write_bytes(b"1\n2\n")
    _context, position = read_to(tmp_path, 1)
    path.rename(tmp_path / "old")
    path.write_bytes(b"3\n4\n5\n")
    context = read_once(tmp_path, position)
    assert context.lines == [b"3", b"4", b"5"]
    assert context.places[0] == (f"{path.stat().st_ino:x}", 0)


@pytest.mark.parametrize("content", [b"3\n", b"3\n4\n", b"3\n4\n5\n6\n"], ids=["shorter", "as long", "longer"])
def test_a_file_that_was_written_anew_is_read_whole_with_ids_of_its_own(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "in.jsonl"
    path.write_bytes(b"1\n2\n")
    _context, position = read_to(tmp_path, 2)
    path.write_bytes(content)
    context, position = read_to(tmp_path, 1, position)
    inode = f"{path.stat().st_ino:x}"
    assert context.lines == content.split()
    assert context.places[0] == (f"{inode}.1", 0)
    path.write_bytes(b"")
    append(path, b"7\n")
    assert read_once(tmp_path, position).places == [(f"{inode}.2", 0)]


def test_a_file_that_was_cut_off_is_read_whole_with_ids_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    path.write_bytes(b"some line\n" * 1000)
    _context, position = read_to(tmp_path, 900)
    os.truncate(path, 5000)
    context = read_once(tmp_path, position)
    assert len(context.lines) == 500
    assert context.places[0] == (f"{path.stat().st_ino:x}.1", 0)


def test_the_position_of_a_source_of_another_type_is_of_no_use(tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_bytes(b"1\n")
    assert read_once(tmp_path, Position("stream", 7, {"group": "g", "ids": "1-0"})).lines == [b"1"]
    assert read_once(tmp_path, Position("c0ffee00", 7)).lines == [b"1"]


LINE = st.binary(max_size=9).map(lambda line: line.replace(b"\n", b"-"))


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(st.lists(LINE, min_size=1, max_size=5), st.booleans(), st.integers(0, 6)), min_size=1, max_size=4
    ),
)
def test_however_often_a_file_is_left_and_grows_every_line_is_counted_once(
    growths: list[tuple[list[bytes], bool, int]],
) -> None:
    """Each run ends behind some record. ``ended``: the last line has its newline already."""
    counted: list[bytes] = []
    written: list[bytes] = []
    position = None
    with TemporaryDirectory() as name:
        path, is_ended = Path(name, "in.jsonl"), True
        for texts, ended, cut in [*growths, ([b"last"], True, 99)]:
            append(path, (b"" if is_ended else b"\n") + b"\n".join(texts) + (b"\n" if ended else b""))
            is_ended = ended or not texts[-1]
            written += texts if ended or texts[-1] else texts[:-1]
            context, position = read_to(Path(name), cut, position)
            counted += context.lines[: cut if cut <= len(context.lines) else 0]
        assert [*counted, *context.lines] == written


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


# --- follow, in a later run ---


def test_a_followed_file_that_was_rotated_meanwhile_is_read_to_its_end_before_the_new_one(tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    path.write_bytes(b"1\n2\n")
    position = follow(tmp_path, lines(2), cut=1)
    old = path.rename(tmp_path / "in.jsonl.1")
    append(old, b"last")
    path.write_bytes(b"3\n")

    async def test(context: RecordingContext) -> None:
        await context.until_lines(3)
        assert context.lines == [b"2", b"last", b"3"]
        old_inode, inode = (f"{file.stat().st_ino:x}" for file in (old, path))
        assert context.places == [(old_inode, 2), (old_inode, 4), (inode, 0)]

    position = follow(tmp_path, test, position)
    append(path, b"4\n")

    async def again(context: RecordingContext) -> None:
        await context.until_lines(1)
        assert context.lines == [b"4"]

    follow(tmp_path, again, position)


def test_a_followed_file_that_has_another_name_grows_until_another_is_in_its_place(tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    path.write_bytes(b"1\n")
    position = follow(tmp_path, lines(1))
    old = path.rename(tmp_path / "in.jsonl.1")

    async def test(context: RecordingContext) -> None:
        append(old, b"2\n")
        await context.until_lines(1)
        append(old, b"3\n")
        path.write_bytes(b"4\n")
        await context.until_lines(3)
        assert context.lines == [b"2", b"3", b"4"]

    follow(tmp_path, test, position)


def test_a_followed_file_that_is_away_for_a_while_is_not_read_again(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "in.jsonl"
    path.parent.mkdir()
    path.write_bytes(b"1\n")
    position = follow(path.parent, lines(1))
    away = path.rename(tmp_path / "away")

    async def test(context: RecordingContext) -> None:
        await asyncio.sleep(0)
        append(away, b"2\n")
        away.rename(path)
        await context.until_lines(1)
        assert context.lines == [b"2"]

    follow(path.parent, test, position)


@pytest.mark.parametrize("content", [b"3\n", b"3\n4\n5\n6\n"], ids=["shorter", "longer"])
def test_a_followed_file_that_was_written_anew_is_read_whole_with_ids_of_its_own(
    tmp_path: Path, content: bytes
) -> None:
    path = tmp_path / "in.jsonl"
    path.write_bytes(b"1\n2\n")
    position = follow(tmp_path, lines(2))
    path.write_bytes(content)

    async def test(context: RecordingContext) -> None:
        await context.until_lines(len(content.split()))
        assert context.lines == content.split()
        assert context.places[0] == (f"{path.stat().st_ino:x}.1", 0)

    follow(tmp_path, test, position)


def test_a_rotated_file_whose_inode_another_one_has_got_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    path.write_bytes(b"1\n2\n")
    position = follow(tmp_path, lines(2))
    path.rename(tmp_path / "other").write_bytes(b"nothing to do with it\n")
    path.write_bytes(b"3\n")

    async def test(context: RecordingContext) -> None:
        await context.until_lines(1)
        assert context.lines == [b"3"]

    follow(tmp_path, test, position)


def test_a_file_that_was_over_before_the_checkpoint_stays_so(tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    path.write_bytes(b"1\n2\n")

    async def cut_off(context: RecordingContext) -> None:
        await context.until_lines(2)
        os.truncate(path, 0)
        append(path, b"3\n")
        await context.until_lines(3)

    position = follow(tmp_path, cut_off, cut=2)
    append(path, b"4\n5\n")

    async def test(context: RecordingContext) -> None:
        await context.until_lines(3)
        assert context.lines == [b"3", b"4", b"5"]
        assert {partition for partition, _position in context.places} == {f"{path.stat().st_ino:x}.1"}

    follow(tmp_path, test, position)


def test_a_source_that_failed_for_a_while_goes_on_where_it_was(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "in.jsonl"
    path.parent.mkdir()
    path.write_bytes(b"1\n")
    context = context_in(path.parent)
    source = create_source(FileSourceOptions("in.jsonl", follow=True), context)

    async def test() -> None:
        task = asyncio.create_task(source.run())
        await context.until_lines(1)
        path.parent.rename(tmp_path / "away")
        path.parent.touch()
        with pytest.raises(SourceError, match="Not a directory"):
            await task
        path.parent.unlink()
        (tmp_path / "away").rename(path.parent)
        append(path, b"2\n")
        task = asyncio.create_task(source.run())
        await context.until_lines(2)
        task.cancel()
        await asyncio.wait([task])

    asyncio.run(test())
    assert context.lines == [b"1", b"2"]


def test_a_look_for_more_takes_little_room_where_there_is_little(tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_bytes(b"1\n")
    with OpenFile(tmp_path / "in.jsonl", "replay") as file:
        tracemalloc.start()
        try:
            assert file.read() == b"1\n"
            _, most = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert most < READ_SIZE / 8
