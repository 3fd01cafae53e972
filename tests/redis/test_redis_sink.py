"""The sink ``redis-stream``."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.redis.conftest import AnyRedis
from tests.servers.programs import free_port
from tests.servers.redis_servers import RedisServer
from trimtab.api import SinkContext, SinkError
from trimtab.plugins.codecs import JsonCodec
from trimtab.plugins.redis.options import RedisSinkOptions, RedisSourceOptions
from trimtab.plugins.redis.sink import StreamSink
from trimtab.plugins.redis.source import StreamSource
from trimtab.testing import RecordingContext


def make(url: str, **options: Any) -> StreamSink:
    return StreamSink(RedisSinkOptions(url=url, stream="s", **options), SinkContext("out", Path()))


def write(sink: StreamSink, *writes: bytes) -> None:
    async def run() -> None:
        await sink.open()
        try:
            for lines in writes:
                await sink.write(lines, lines.count(b"\n"))
        finally:
            await sink.close()

    asyncio.run(run())


def entries(server: RedisServer) -> list[dict[str, str]]:
    return [fields for _id, fields in server.ask("XRANGE", "s", "-", "+")]


def test_each_value_becomes_an_entry_that_the_source_reads(empty_redis: AnyRedis, tmp_path: Path) -> None:
    write(make(empty_redis.url), b'{"a":1}\n"b"\n', b"3\n")
    context = RecordingContext(JsonCodec(), tmp_path)

    async def read() -> None:
        source = StreamSource(RedisSourceOptions(url=empty_redis.url, stream="s"), context)
        task = asyncio.create_task(source.run())
        await context.until_lines(3)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(read())
    assert context.lines == [b'{"a":1}', b'"b"', b"3"]


def test_the_field_has_the_name_that_was_asked_for(server: RedisServer) -> None:
    write(make(server.url, field="body"), b"1\n")
    assert entries(server) == [{"body": "1"}]


def test_the_stream_is_cut_to_about_the_length_that_was_asked_for(server: RedisServer) -> None:
    write(make(server.url, maxlen=100), *(b"".join(b"%d\n" % n for n in range(500)) for _ in range(4)))
    assert 100 <= server.ask("XLEN", "s") < 500


def test_text_in_any_language_stays_what_it_is(server: RedisServer) -> None:
    line = '"\u2028ü\x85"\n'.encode()
    write(make(server.url), line)
    assert entries(server) == [{"event": line.decode().removesuffix("\n")}]


def test_a_server_that_is_gone_can_be_tried_again_and_is_used_when_it_is_back(tmp_path: Path) -> None:
    with RedisServer(tmp_path) as server:
        sink = make(server.url)

        async def run() -> None:
            await sink.write(b"1\n", 1)
            server.kill()
            with pytest.raises(SinkError, match=rf"sinks\.out: expected Redis \({server.address}\)") as caught:
                await sink.write(b"2\n", 1)
            assert caught.value.retryable
            server.start()
            await sink.write(b"2\n", 1)
            await sink.close()

        asyncio.run(run())
        assert entries(server) == [{"event": "2"}]


def test_nothing_listens_and_the_password_is_not_told() -> None:
    with pytest.raises(SinkError) as caught:
        write(make(f"redis://u:secret@127.0.0.1:{free_port()}"), b"1\n")
    assert caught.value.retryable
    assert "secret" not in str(caught.value)


def test_a_key_that_is_no_stream_fails_for_good_and_takes_nothing(server: RedisServer) -> None:
    server.ask("SET", "s", "v")
    with pytest.raises(SinkError, match="WRONGTYPE") as caught:
        write(make(server.url), b"1\n2\n")
    assert not caught.value.retryable


def test_a_write_that_is_refused_in_part_takes_nothing(tmp_path: Path) -> None:
    with RedisServer(tmp_path) as server:
        server.ask("ACL SETUSER", "writer", "on", ">p", "~s", "-@all", "+xadd", "+multi", "+client")
        with pytest.raises(SinkError, match=r"NOPERM|permissions") as caught:
            write(make(f"redis://writer:p@{server.address}"), b"1\n2\n")  # may not EXEC
        assert not caught.value.retryable
        assert server.ask("EXISTS", "s") == 0
