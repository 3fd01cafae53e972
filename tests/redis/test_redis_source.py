"""The source ``redis-stream``."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.redis.conftest import AnyRedis
from tests.servers.programs import free_port
from tests.servers.redis_servers import RedisServer
from trimtab.api import Codec, Position, Records, SourceError
from trimtab.plugins.codecs import JsonCodec, MsgpackCodec, TextCodec
from trimtab.plugins.redis import source as module
from trimtab.plugins.redis.options import RedisSourceOptions
from trimtab.plugins.redis.source import StreamSource
from trimtab.testing import RecordingContext

PATIENCE = 30


class HoldingContext(RecordingContext):
    """Keeps records; they are handled when :meth:`handle` says so."""

    def __init__(self, codec: Codec, folder: Path, *, name: str = "test") -> None:
        super().__init__(codec, folder, name=name)
        self.held: list[asyncio.Future[None]] = []

    async def deliver(self, records: Records) -> asyncio.Future[None]:
        await super().deliver(records)
        handled: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.held.append(handled)
        return handled

    def handle(self) -> None:
        """All that was delivered so far is handled."""
        for handled in self.held:
            handled.set_result(None)
        self.held = []


@pytest.fixture
def context(tmp_path: Path) -> RecordingContext:
    return RecordingContext(JsonCodec(), tmp_path)


def make(redis: AnyRedis, context: RecordingContext, **options: Any) -> StreamSource:
    return StreamSource(RedisSourceOptions(url=redis.url, stream="s", **options), context)


@asynccontextmanager
async def running(source: StreamSource) -> AsyncIterator[asyncio.Task[None]]:
    """Run a source as the host does: again when it fails for a while, until the block ends."""

    async def run() -> None:
        while True:
            try:
                await source.run()
            except SourceError as error:
                if not error.retryable:
                    raise
                await asyncio.sleep(0.05)

    task = asyncio.create_task(run())
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def eventually(fact: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not fact():  # noqa: ASYNC110 - it happens in the server
            await asyncio.sleep(0.02)


def run(work: Coroutine[Any, Any, None]) -> None:
    asyncio.run(work)


def pending(server: RedisServer, group: str = "trimtab") -> int:
    return int(server.ask("XPENDING", "s", group)["pending"])


def numbers(lines: list[bytes]) -> list[int]:
    return [int(line) for line in lines]


def add(server: RedisServer, *values: Any) -> None:
    with server.client() as client:
        for value in values:
            client.xadd("s", {"event": value})


# --- what comes ---


def test_entries_come_in_order_and_are_acknowledged(empty_redis: AnyRedis, context: RecordingContext) -> None:
    server = empty_redis.master_of("s")
    add(server, *range(1200))

    async def test() -> None:
        source = make(empty_redis, context)
        assert source.position() is None
        async with running(source):
            await context.until_lines(1200)
            add(server, 1200)
            await context.until_lines(1201)
            await eventually(lambda: pending(server) == 0)
            last = server.ask("XINFO STREAM", "s")["last-generated-id"]
            await eventually(lambda: source.position() == last)

    run(test())
    assert numbers(context.lines) == list(range(1201))


def test_a_place_is_the_stream_and_the_number_that_the_id_makes(server: RedisServer, context: RecordingContext) -> None:
    for entry in ("5-1", "5-2", "1700000000000-0"):
        server.ask("XADD", "s", entry, "event", "1")

    async def test() -> None:
        async with running(make(server, context)):
            await context.until_lines(3)

    run(test())
    assert context.places == [("s", (5 << 22) + 1), ("s", (5 << 22) + 2), ("s", 1_700_000_000_000 << 22)]


def test_an_entry_is_its_event_field_or_all_its_fields_as_an_object(
    server: RedisServer, context: RecordingContext
) -> None:
    server.ask("XADD", "s", "*", "event", '{"a": 1}')
    server.ask("XADD", "s", "*", "speed", "50", "name", "ü")
    server.ask("XADD", "s", "*", "event", "x", "more", "y")
    server.ask("XADD", "s", "*", "event", '{\n"a": 2\n}')

    async def test() -> None:
        async with running(make(server, context)):
            await context.until_lines(4)

    run(test())
    assert context.lines == [b'{"a": 1}', '{"speed":"50","name":"ü"}'.encode(), b'{"event":"x","more":"y"}', b'{"a":2}']


def test_a_named_field_holds_the_event(server: RedisServer, tmp_path: Path) -> None:
    context = RecordingContext(TextCodec(), tmp_path)
    server.ask("XADD", "s", "*", "event", "no", "body", "yes")

    async def test() -> None:
        async with running(make(server, context, field="body")):
            await context.until_lines(1)

    run(test())
    assert context.lines == [b"yes"]


def test_binary_codecs_get_each_entry_by_itself(server: RedisServer, tmp_path: Path) -> None:
    context = RecordingContext(MsgpackCodec(), tmp_path)
    with server.client() as client:
        for value in (b"\x0a", b"\xa1a"):
            client.xadd("s", {"event": value})

    async def test() -> None:
        async with running(make(server, context)):
            await eventually(lambda: len(context.delivered) == 2)
            await eventually(lambda: pending(server) == 0)

    run(test())
    assert [records.data for records in context.delivered] == [b"\x0a", b"\xa1a"]


@pytest.mark.parametrize(
    ("codec", "options", "fields", "reason"),
    [
        (JsonCodec(), {"field": "body"}, ["a", "1"], "expected the field 'body', got the fields a"),
        (JsonCodec(), {}, ["event", "{\n"], "expected JSON"),
        (TextCodec(), {}, ["event", "a\nb"], "expected one line of text"),
        (JsonCodec(), {}, ["a", b"\xff"], "expected fields in UTF-8"),
    ],
    ids=["no such field", "no JSON", "two lines", "no text"],
)
def test_an_entry_that_is_not_valid_is_rejected_and_acknowledged(
    server: RedisServer, tmp_path: Path, codec: Codec, options: dict[str, str], fields: list[Any], reason: str
) -> None:
    context = RecordingContext(codec, tmp_path)
    server.ask("XADD", "s", "7-0", *fields)
    valid = ["body", "1"] if options else ["event", "1"]
    server.ask("XADD", "s", "8-0", *valid)

    async def test() -> None:
        async with running(make(server, context, **options)):
            await context.until_lines(1)
            await eventually(lambda: pending(server) == 0)

    run(test())
    [rejected] = context.rejected
    assert reason in rejected.reason
    assert rejected.position == 7 << 22
    assert context.lines == [b"1"]


def test_a_new_group_may_begin_at_the_end(server: RedisServer, context: RecordingContext) -> None:
    add(server, "0")

    async def test() -> None:
        async with running(make(server, context, start="end")):
            await eventually(lambda: bool(server.ask("XINFO GROUPS", "s")))
            add(server, "1")
            await context.until_lines(1)

    run(test())
    assert context.lines == [b"1"]


# --- what was not handled ---


def test_what_this_consumer_had_taken_before_it_died_comes_first(
    server: RedisServer, context: RecordingContext
) -> None:
    add(server, *range(7))
    server.ask("XGROUP CREATE", "s", "trimtab", "0")
    assert server.ask("XREADGROUP", "GROUP", "trimtab", "me", "COUNT", 5, "STREAMS", "s", ">")

    async def test() -> None:
        async with running(make(server, context, consumer="me", batch=2)):
            await context.until_lines(7)
            await eventually(lambda: pending(server) == 0)

    run(test())
    assert numbers(context.lines) == list(range(7))


def test_entries_of_a_dead_consumer_are_taken_over(server: RedisServer, context: RecordingContext) -> None:
    add(server, *range(5))
    server.ask("XGROUP CREATE", "s", "trimtab", "0")
    assert server.ask("XREADGROUP", "GROUP", "trimtab", "dead", "COUNT", 5, "STREAMS", "s", ">")

    async def test() -> None:
        async with running(make(server, context, claim_after="100ms", batch=2)):
            await context.until_lines(5)
            await eventually(lambda: pending(server) == 0)

    run(test())
    assert sorted(numbers(context.lines)) == list(range(5))


@pytest.mark.parametrize("most", [module.MOST_UNACKNOWLEDGED, 1], ids=["more may come", "no room for more"])
def test_entries_that_take_long_are_not_taken_over_while_their_consumer_lives(
    server: RedisServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    monkeypatch.setattr(module, "MOST_UNACKNOWLEDGED", most)
    slow, idle = HoldingContext(JsonCodec(), tmp_path), RecordingContext(JsonCodec(), tmp_path)

    def claims() -> int:
        return int(server.info("commandstats").get("cmdstat_xautoclaim", {"calls": 0})["calls"])

    async def test() -> None:
        async with running(make(server, slow, consumer="a", claim_after="600ms")):
            add(server, 1)
            await slow.until_lines(1)
            async with running(make(server, idle, consumer="b", claim_after="600ms")):
                before = claims()
                await eventually(lambda: claims() >= before + 10)  # five of each: over a second
                assert idle.lines == []
                slow.handle()
                await eventually(lambda: pending(server) == 0)

    run(test())
    assert slow.lines == [b"1"]


def test_entries_that_were_deleted_meanwhile_are_acknowledged(server: RedisServer, context: RecordingContext) -> None:
    for entry in ("1-0", "2-0", "3-0"):
        server.ask("XADD", "s", entry, "event", entry[0])
    server.ask("XGROUP CREATE", "s", "trimtab", "0")
    server.ask("XREADGROUP", "GROUP", "trimtab", "me", "COUNT", 2, "STREAMS", "s", ">")
    server.ask("XDEL", "s", "1-0")

    async def test() -> None:
        async with running(make(server, context, consumer="me")):
            await context.until_lines(2)
            await eventually(lambda: pending(server) == 0)

    run(test())
    assert context.lines == [b"2", b"3"]


def test_the_end_waits_until_what_is_on_its_way_is_acknowledged(server: RedisServer, tmp_path: Path) -> None:
    context = HoldingContext(JsonCodec(), tmp_path)
    add(server, 1)

    async def test() -> None:
        task = asyncio.create_task(make(server, context).run())
        await context.until_lines(1)
        task.cancel()
        await asyncio.sleep(0.1)
        assert pending(server) == 1
        context.handle()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert pending(server) == 0

    run(test())
    assert context.lines == [b"1"]


def test_no_more_is_read_than_may_be_on_its_way(
    server: RedisServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_UNACKNOWLEDGED", 10)
    context = HoldingContext(JsonCodec(), tmp_path)
    add(server, *range(100))

    async def test() -> None:
        async with running(make(server, context, batch=5)):
            await context.until_lines(10)
            add(server, 100)
            await asyncio.sleep(0.1)
            assert len(context.lines) == 10
            while len(context.lines) < 101:
                context.handle()
                await asyncio.sleep(0.01)
            context.handle()
            await eventually(lambda: pending(server) == 0)

    run(test())
    assert numbers(context.lines) == list(range(101))


def test_a_stream_that_is_busy_takes_nothing_and_can_be_left(server: RedisServer, context: RecordingContext) -> None:
    context.busy = True
    add(server, 1)

    async def test() -> None:
        async with running(make(server, context)):
            await context.until_waiting()
        assert context.lines == []
        context.busy = False
        async with running(make(server, context)):
            await context.until_lines(1)

    run(test())


# --- in a later run ---


def noted(source: StreamSource) -> set[str]:
    return set(source.note()["ids"].split())


@pytest.mark.parametrize("batch", [1, 3, 100])
def test_a_later_run_acknowledges_what_the_checkpoint_holds_and_delivers_what_it_does_not(
    server: RedisServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, batch: int
) -> None:
    monkeypatch.setattr(module, "FINISH_SECONDS", 0.01)
    killed, later = HoldingContext(JsonCodec(), tmp_path), RecordingContext(JsonCodec(), tmp_path)

    async def test() -> None:
        source = make(server, killed, batch=batch)
        async with running(source):
            add(server, *range(10))
            await killed.until_lines(10)
            position = killed.position(10, source.note())
            add(server, *range(10, 20))
            await killed.until_lines(20)
        assert pending(server) == 20
        source = make(server, later, batch=batch)
        source.resume(position)
        async with running(source):
            add(server, *range(20, 25))
            await later.until_lines(15)
            await eventually(lambda: pending(server) == 0)
        assert noted(source) == set()

    run(test())
    assert numbers(later.lines) == list(range(10, 25))
    assert all(records.whole for records in killed.delivered)


def test_a_checkpoint_holds_what_was_delivered_until_it_is_acknowledged_and_nothing_else(
    server: RedisServer, tmp_path: Path
) -> None:
    context = HoldingContext(JsonCodec(), tmp_path)
    ids = [server.ask("XADD", "s", f"{number}-0", "event", number) for number in range(1, 4)]

    async def test() -> None:
        source = make(server, context)
        context.busy = True
        async with running(source):
            await context.until_waiting()
            assert noted(source) == set()
            context.busy = False
            await context.until_lines(3)
            assert noted(source) == set(ids)
            context.handle()
            await eventually(lambda: noted(source) == set())
            assert pending(server) == 0

    run(test())


@pytest.mark.parametrize(
    "position",
    [
        Position("s", 0, {"group": "another", "ids": "1-0"}),
        Position("another", 0, {"group": "trimtab", "ids": "1-0"}),
        Position("1f", 7, {"past": {}, "head": [0, 0]}),
        Position("s", 7),
    ],
    ids=["group", "stream", "type", "nothing noted"],
)
def test_what_was_noted_of_something_else_is_of_no_use(
    server: RedisServer, context: RecordingContext, position: Position
) -> None:
    server.ask("XADD", "s", "1-0", "event", "1")
    server.ask("XGROUP CREATE", "s", "trimtab", "0")
    server.ask("XREADGROUP", "GROUP", "trimtab", "me", "STREAMS", "s", ">")

    async def test() -> None:
        source = make(server, context, consumer="me")
        source.resume(position)
        async with running(source):
            await context.until_lines(1)

    run(test())
    assert context.lines == [b"1"]


# --- what goes wrong outside ---


def test_a_server_that_comes_back_loses_nothing(tmp_path: Path, context: RecordingContext) -> None:
    with RedisServer(tmp_path, {"appendonly": "yes", "appendfsync": "always"}) as server:
        add(server, *range(10))

        async def test() -> None:
            async with running(make(server, context)):
                await context.until_lines(10)
                server.kill()
                server.start()
                add(server, *range(10, 20))
                await eventually(lambda: set(numbers(context.lines)) == set(range(20)))
                await eventually(lambda: pending(server) == 0)

        run(test())


@pytest.mark.parametrize("how", [["XGROUP DESTROY", "s", "trimtab"], ["DEL", "s"], ["FLUSHALL"]], ids=" ".join)
def test_a_group_that_is_deleted_is_made_again(server: RedisServer, context: RecordingContext, how: list[str]) -> None:
    add(server, 0)

    async def test() -> None:
        async with running(make(server, context, start="end", claim_after="200ms")):
            await eventually(lambda: bool(server.ask("EXISTS", "s")) and bool(server.ask("XINFO GROUPS", "s")))
            add(server, 1)
            await context.until_lines(1)
            server.ask(*how)
            add(server, 2)
            await eventually(lambda: b"2" in context.lines)

    run(test())


def test_a_source_that_cannot_connect_may_be_tried_again(context: RecordingContext) -> None:
    port = free_port()
    source = StreamSource(RedisSourceOptions(url=f"redis://:secret@127.0.0.1:{port}", stream="s"), context)
    with pytest.raises(SourceError, match=rf"sources\.test: expected Redis \(127\.0\.0\.1:{port}\)") as caught:
        run(source.run())
    assert caught.value.retryable
    assert "secret" not in str(caught.value)


def test_a_key_that_is_no_stream_ends_the_source_at_its_start(server: RedisServer, context: RecordingContext) -> None:
    server.ask("SET", "s", "v")
    with pytest.raises(SourceError, match="WRONGTYPE") as caught:
        run(make(server, context).run())
    assert not caught.value.retryable


def test_the_consumer_has_the_same_name_in_each_run_and_another_elsewhere(server: RedisServer, tmp_path: Path) -> None:
    names = []
    for folder, name in [(tmp_path, "a"), (tmp_path, "a"), (tmp_path, "b"), (tmp_path.parent, "a")]:
        context = RecordingContext(JsonCodec(), folder, name=name)

        async def test(context: RecordingContext = context) -> None:
            add(server, 1)
            async with running(make(server, context)):
                await context.until_lines(1)

        run(test())
        names.append({consumer["name"] for consumer in server.ask("XINFO CONSUMERS", "s", "trimtab")})
    assert [len(known) for known in names] == [1, 1, 2, 3]
