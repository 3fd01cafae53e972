"""Sources and sinks as the host runs them: decoding, counting, trying again."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from tests.runtime.held_lanes import HeldLane, held
from trimtab.api import Codec, Position, Records, SinkError, SourceError
from trimtab.engine.result import Lines
from trimtab.plugins.codecs import JsonCodec, MsgpackCodec, TextCodec
from trimtab.runtime.ingest import Ingest
from trimtab.runtime.journal import Journal
from trimtab.runtime.sinks import SinkWriter
from trimtab.testing import Abort, CollectingSink, Eof, TestingSource

Rejected = tuple[str, bytes, str, int]


@pytest.fixture(name="journal")
def _journal(tmp_path: Path) -> Iterator[Journal]:
    journal = Journal(tmp_path / "journal.db")
    yield journal
    journal.close()


def ingest_of(codec: Codec, journal: Journal) -> tuple[Ingest, HeldLane, list[Rejected]]:
    """An ingest in front of one lane, and what it rejects."""
    router, (lane,) = held(1, None, target=1000)
    rejected: list[Rejected] = []

    async def reject(source: str, record: bytes, partition: str, position: int, _reason: str) -> None:
        rejected.append((source, record, partition, position))

    return Ingest("gps", Path(), codec, 0, router, reject, journal, "run", lambda: 0), lane, rejected


def taken(lane: HeldLane) -> list[tuple[bytes, int]]:
    """Every event in the lane's queue with its position."""
    while lane.busy:
        lane.take()
    lines = [(work.batch, work.batch.data.split(b"\n")) for work in lane.works]
    return [pair for batch, texts in lines for pair in zip(texts, batch.positions_of(texts), strict=True)]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])  # nothing is put into the journal
@given(st.lists(st.sampled_from([b"one", b"", b'"two"', b"\xff", b"a\xc3", "ü".encode()]), min_size=1), st.booleans())
def test_records_that_are_not_valid_leave_the_others_at_their_places(
    journal: Journal, lines: list[bytes], offsets: bool
) -> None:
    async def scenario() -> None:
        ingest, lane, rejected = ingest_of(TextCodec(), journal)
        starts = [100 + sum(len(line) + 1 for line in lines[:i]) for i in range(len(lines))]
        positions = starts if offsets else list(range(len(lines)))
        await ingest.deliver(Records(b"\n".join(lines), 100, None if offsets else positions, "p"))
        placed = list(zip(lines, positions, strict=True))
        bad = [(line, at) for line, at in placed if line in {b"\xff", b"a\xc3"}]
        codec = TextCodec()
        assert rejected == [("gps", line, "p", at) for line, at in bad]
        assert taken(lane) == [(codec.to_json(line), at) for line, at in placed if (line, at) not in bad]
        assert (ingest.status().rejected, ingest.status().lag) == (len(bad), len(lines) - len(bad))

    asyncio.run(scenario())


def test_a_delivery_of_invalid_records_alone_puts_nothing_into_the_lanes(journal: Journal) -> None:
    async def scenario() -> None:
        ingest, lane, rejected = ingest_of(MsgpackCodec(), journal)
        covered = await ingest.deliver(Records(b"\xc1\n\xc1", 0, [4], "p"))
        assert ingest.take_covered() == [covered]
        assert ingest.position() == Position("p", 5)
        assert (rejected, taken(lane)) == ([("gps", b"\xc1\n\xc1", "p", 4)], [])

    asyncio.run(scenario())


def test_what_is_handled_is_counted_when_it_is_done(journal: Journal) -> None:
    async def scenario() -> None:
        ingest, lane, _rejected = ingest_of(JsonCodec(), journal)
        covered = await ingest.deliver(Records(b"1\n2\n3"))
        assert (ingest.status().received, ingest.status().handled, ingest.status().lag) == (3, 0, 3)
        lane.take()
        lane.works[0].done()
        await asyncio.sleep(0)
        assert not covered.done()  # that is for the checkpoint
        assert (ingest.status().handled, ingest.status().lag) == (3, 0)

    asyncio.run(scenario())


def test_a_source_that_fails_for_a_while_is_started_again_where_it_was(journal: Journal) -> None:
    async def scenario() -> None:
        ingest, lane, _rejected = ingest_of(JsonCodec(), journal)
        await ingest.run(TestingSource([b"1", Abort(), b"2"], ingest))
        assert taken(lane) == [(b"1", 0), (b"2", 1)]
        assert (ingest.status().state, ingest.status().error) == ("finished", None)

    asyncio.run(scenario())


def test_a_source_that_fails_for_good_ends_with_its_error(journal: Journal) -> None:
    async def scenario() -> None:
        ingest, lane, _rejected = ingest_of(JsonCodec(), journal)
        error = SourceError("gone", retryable=False)
        with pytest.raises(SourceError, match="gone"):
            await ingest.run(TestingSource([b"1", Abort(error), b"2", Eof()], ingest))
        assert taken(lane) == [(b"1", 0)]
        assert (ingest.status().state, ingest.status().error) == ("failed", "gone")

    asyncio.run(scenario())


# --- sinks ---


def writer_of(sink: CollectingSink) -> tuple[SinkWriter, list[Lines]]:
    """A writer, and what it gives up."""
    lost: list[Lines] = []

    async def give_up(name: str, lines: Lines, error: SinkError) -> None:
        assert (name, str(error)) == ("out", "refused")
        lost.append(lines)

    return SinkWriter("out", sink, give_up), lost


def test_a_sink_that_fails_for_a_while_gets_everything_in_order() -> None:
    async def scenario() -> None:
        sink = CollectingSink()
        sink.errors = [SinkError("down", retryable=True)] * 3
        writer, lost = writer_of(sink)
        await asyncio.gather(*(writer.write(Lines(b"%d\n" % n, 1)) for n in range(5)))
        assert (sink.values, lost) == ([0, 1, 2, 3, 4], [])
        assert (writer.status.written, writer.status.failed, writer.status.error) == (5, 0, None)

    asyncio.run(scenario())


def test_what_a_sink_refuses_is_given_up_and_the_rest_goes_on() -> None:
    async def scenario() -> None:
        sink = CollectingSink()
        sink.errors = [SinkError("refused", retryable=False)]
        writer, lost = writer_of(sink)
        await writer.write(Lines(b"1\n2\n", 2))
        await writer.write(Lines(b"3\n", 1))
        assert (sink.values, lost) == ([3], [Lines(b"1\n2\n", 2)])
        assert (writer.status.written, writer.status.failed) == (1, 2)

    asyncio.run(scenario())


def test_a_run_of_equal_refusals_is_logged_once_and_counted() -> None:
    async def scenario() -> None:
        sink = CollectingSink()
        sink.errors = [SinkError("refused", retryable=False) for _ in range(3)]
        writer, lost = writer_of(sink)
        for _ in range(4):
            await writer.write(Lines(b"1\n2\n", 2))
        sink.errors = [SinkError("refused", retryable=False)]
        await writer.write(Lines(b"3\n", 1))
        assert (len(lost), writer.status.written, writer.status.failed) == (4, 2, 7)

    with capture_logs() as logs:
        asyncio.run(scenario())
    assert [(entry["count"], entry["error"]) for entry in logs] == [(2, "refused"), (1, "refused")]


def test_a_single_try_returns_the_error() -> None:
    async def scenario() -> None:
        sink = CollectingSink()
        sink.errors = [SinkError("down", retryable=True)]
        writer, lost = writer_of(sink)
        error = await writer.try_once(Lines(b"1\n", 1))
        assert (str(error), lost) == ("down", [])
        assert await writer.try_once(Lines(b"1\n", 1)) is None
        assert (sink.values, writer.status.written) == ([1], 1)

    asyncio.run(scenario())
