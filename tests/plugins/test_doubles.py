from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from trimtab.api import Records, SourceError
from trimtab.plugins.codecs import JsonCodec, MsgpackCodec
from trimtab.testing import Abort, CollectingSink, Eof, FakeClock, Pause, RecordingContext, TestingSource


def context() -> RecordingContext:
    return RecordingContext(JsonCodec(), Path())


def test_a_scripted_source_goes_on_behind_an_abort_and_an_end() -> None:
    async def run() -> RecordingContext:
        recording = context()
        source = TestingSource([b"1", Abort(), b"2", Eof(), b"3"], recording)
        with pytest.raises(SourceError) as e:
            await source.run()
        assert e.value.retryable
        assert recording.lines == [b"1"]
        await source.run()
        assert recording.lines == [b"1", b"2"]
        await source.run()
        return recording

    assert asyncio.run(run()).places == [("test", 0), ("test", 1), ("test", 2)]


def test_a_scripted_source_stands_still_until_told() -> None:
    async def run() -> None:
        recording, pause = context(), Pause()
        task = asyncio.create_task(TestingSource([b"1", pause, b"2"], recording).run())
        await pause.reached.wait()
        assert (recording.lines, task.done()) == ([b"1"], False)
        pause.resume.set()
        await task
        assert recording.lines == [b"1", b"2"]

    asyncio.run(run())


def test_the_context_counts_positions_like_the_host() -> None:
    async def run() -> RecordingContext:
        recording = context()
        handled = await recording.deliver(Records(b"a\nbc\nd", 10, partition="p"))
        assert handled.done()
        await recording.deliver(Records(b"e\nf", 5, [5, 9], "q"))
        return recording

    assert asyncio.run(run()).places == [("p", 10), ("p", 12), ("p", 15), ("q", 5), ("q", 9)]


def test_the_context_numbers_what_is_accepted_and_keeps_records_that_are_not_lines_apart() -> None:
    async def run(recording: RecordingContext) -> RecordingContext:
        await recording.accept([b"a", b"b"])
        await recording.accept([b"c"])
        return recording

    lines, others = (asyncio.run(run(RecordingContext(codec, Path()))) for codec in (JsonCodec(), MsgpackCodec()))
    assert [records.data for records in lines.delivered] == [b"a\nb", b"c"]
    assert [records.data for records in others.delivered] == [b"a", b"b", b"c"]
    assert lines.places == others.places == [("journal", 0), ("journal", 1), ("journal", 2)]


@pytest.mark.parametrize(
    ("count", "position"),
    [(1, ("p", 12)), (2, ("p", 20)), (3, ("q", 9)), (4, ("q", 10)), (5, ("q", 12))],
)
def test_the_context_gives_the_position_behind_any_number_of_records(count: int, position: tuple[str, int]) -> None:
    async def run() -> RecordingContext:
        recording = context()
        await recording.deliver(Records(b"a\nbc", 10, partition="p", end=20))
        await recording.deliver(Records(b"e\nf", positions=[5, 9], partition="q"))
        await recording.deliver(Records(b"g", 10, partition="q"))
        return recording

    found = asyncio.run(run()).position(count, noted=(1, "a"))
    assert (found.partition, found.next) == position
    assert found.noted == [1, "a"]


def test_waiting_for_lines_that_do_not_come_ends_with_an_error() -> None:
    with pytest.raises(TimeoutError):
        asyncio.run(context().until_lines(1, seconds=0.01))
    with pytest.raises(TimeoutError):
        asyncio.run(CollectingSink().until_lines(1, seconds=0.01))


@pytest.mark.parametrize(("lines", "count"), [(b"1\n2\n", 1), (b"1\n", 2), (b"1", 1)])
def test_a_collecting_sink_checks_what_the_host_tells_it(lines: bytes, count: int) -> None:
    with pytest.raises(AssertionError, match="each ended by a newline"):
        asyncio.run(CollectingSink().write(lines, count))


def test_a_fake_clock_goes_only_when_told() -> None:
    clock = FakeClock(5)
    assert (clock(), clock()) == (5, 5)
    clock.advance(1.5)
    assert clock() == 6.5
