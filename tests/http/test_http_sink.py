"""The HTTP sink, sending to real servers."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.responses import PlainTextResponse, RedirectResponse, Response

from tests.http.http_servers import Receiver, raw_server
from trimtab.api import SinkContext, SinkError
from trimtab.configuration.checking import Problems, read
from trimtab.plugins.http import trimtab_sinks
from trimtab.plugins.http.options import HttpSinkOptions
from trimtab.plugins.http.retries import Backoff
from trimtab.plugins.http.sink import HttpSink, arrays

QUICK = Backoff(first=0.001, cap=0.001, longest_request=0.2)
LINES = b'{"a":1}\n{"a":2}\n{"a":3}\n'


@contextlib.asynccontextmanager
async def opened(url: str, **options: Any) -> AsyncIterator[HttpSink]:
    sink = HttpSink(HttpSinkOptions(url, **options), SinkContext("alarms", Path()), QUICK)
    await sink.open()
    try:
        yield sink
    finally:
        await sink.close()


def send(receiver: Receiver, *, times: int = 1, **options: Any) -> list[SinkError | None]:
    """Write LINES some times; gives the error of each."""

    async def scenario() -> list[SinkError | None]:
        async with receiver.serving() as url, opened(url, **options) as sink:
            return [await write(sink) for _ in range(times)]

    return asyncio.run(scenario())


async def write(sink: HttpSink, lines: bytes = LINES) -> SinkError | None:
    try:
        await sink.write(lines, lines.count(b"\n"))
    except SinkError as error:
        return error
    return None


def answering(*answers: Response) -> Receiver:
    return Receiver(iter(answers))


# --- what is sent ---


def test_values_go_out_as_a_json_array() -> None:
    receiver = Receiver()
    assert send(receiver) == [None]
    assert receiver.bodies == [b'[{"a":1},{"a":2},{"a":3}]']
    assert receiver.requests[0].headers["content-type"] == "application/json"
    assert receiver.requests[0].headers["accept-encoding"] == "identity"
    assert "authorization" not in receiver.requests[0].headers


def test_more_values_than_a_batch_go_out_in_several_requests_in_order() -> None:
    receiver = Receiver()
    assert send(receiver, batch=2) == [None]
    assert receiver.bodies == [b'[{"a":1},{"a":2}]', b'[{"a":3}]']
    assert len(set(receiver.keys)) == 2


@given(st.lists(st.integers() | st.text(max_size=5), min_size=1, max_size=20), st.integers(1, 8))
def test_batches_hold_all_values_in_order_and_no_more_than_they_may(values: list[Any], batch: int) -> None:
    lines = b"".join(msgspec.json.encode(value) + b"\n" for value in values)
    batches = [json.loads(array) for array in arrays(lines, len(values), batch)]
    assert [value for taken in batches for value in taken] == values
    assert all(1 <= len(taken) <= batch for taken in batches)


def test_headers_and_token_go_with_every_request() -> None:
    receiver = Receiver()
    send(receiver, headers={"X-Site": "north", "User-Agent": "mine"}, token="s3cret", batch=2)
    for request in receiver.requests:
        headers = request.headers
        assert (headers["x-site"], headers["user-agent"], headers["authorization"]) == (
            "north",
            "mine",
            "Bearer s3cret",
        )


def test_requests_share_a_connection() -> None:
    receiver = Receiver()
    assert send(receiver, times=3) == [None, None, None]
    assert len({request.port for request in receiver.requests}) == 1


def test_equal_lines_that_were_both_taken_are_two_requests() -> None:
    receiver = Receiver()
    send(receiver, times=2)
    assert len(receiver.requests) == len(set(receiver.keys)) == 2


# --- what is tried again ---


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503])
def test_a_request_is_tried_again_with_its_idempotency_key(status: int) -> None:
    receiver = answering(Response(status_code=status), Response(status_code=status))
    assert send(receiver) == [None]
    assert len(receiver.requests) == 3
    assert len(set(receiver.keys)) == len(set(receiver.bodies)) == 1


def test_after_all_attempts_the_error_is_retryable_and_says_what_came() -> None:
    receiver = answering(*[PlainTextResponse("busy", 503)] * 3)
    (error,) = send(receiver, attempts=3)
    assert error is not None
    assert error.retryable
    assert str(error).endswith("/in: expected a status of 2xx, got 503 'busy', after 3 attempts")
    assert str(error).startswith("sink alarms: POST http://127.0.0.1:")
    assert len(receiver.requests) == 3


def test_lines_written_again_after_an_error_go_on_where_it_was_with_the_same_key() -> None:
    receiver = answering(Response(), *[Response(status_code=503)] * 2)
    first, second = send(receiver, times=2, batch=1, attempts=2)
    assert first is not None
    assert second is None
    assert receiver.bodies == [b'[{"a":1}]', b'[{"a":2}]', b'[{"a":2}]', b'[{"a":2}]', b'[{"a":3}]']
    assert len(set(receiver.keys)) == 3


def test_other_lines_after_an_error_are_sent_whole() -> None:
    receiver = answering(Response(), Response(status_code=503))

    async def scenario() -> None:
        async with receiver.serving() as url, opened(url, batch=1, attempts=1) as sink:
            assert await write(sink) is not None
            assert await write(sink, b"1\n") is None

    asyncio.run(scenario())
    assert receiver.bodies == [b'[{"a":1}]', b'[{"a":2}]', b"[1]"]


def test_what_the_server_asks_to_wait_is_waited_within_bounds() -> None:
    receiver = answering(Response(status_code=429, headers={"Retry-After": "3600"}))
    start = time.monotonic()
    assert send(receiver) == [None]
    assert QUICK.longest_request <= time.monotonic() - start < 60


def test_a_server_that_is_not_there_is_a_retryable_error() -> None:
    async def scenario() -> SinkError | None:
        async with raw_server(hang_up) as url:
            pass
        async with opened(url, attempts=2) as sink:
            return await write(sink)

    error = asyncio.run(scenario())
    assert error is not None
    assert error.retryable
    assert "expected an answer, got ConnectError" in str(error)


# --- servers that misbehave ---


async def hang_up(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()


async def say_nothing(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    await reader.read(-1)


async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
    while not writer.transport.is_closing():
        writer.write(b".")
        await asyncio.sleep(0.02)


async def cut(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")


async def babble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"SSH-2.0-hello\r\n\r\n")


async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while not writer.transport.is_closing():
        writer.write(b"2710\r\n%b\r\n" % bytes(10_000))
        await writer.drain()


@pytest.mark.parametrize(
    ("talk", "got"),
    [
        (hang_up, "got "),
        (say_nothing, "expected an answer within 0.2 s, got none"),
        (drip, "expected an answer within 0.2 s, got none"),
        (cut, "got RemoteProtocolError"),
        (babble, "got RemoteProtocolError"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_server_without_a_whole_answer_in_time_is_tried_again(talk: Any, got: str) -> None:
    connections = 0

    async def counted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        await talk(reader, writer)

    async def scenario() -> SinkError | None:
        async with raw_server(counted) as url, opened(url, attempts=2, timeout="200ms") as sink:
            return await write(sink)

    error = asyncio.run(scenario())
    assert error is not None
    assert error.retryable
    assert got in str(error)
    assert connections == 2


def test_an_endless_answer_is_not_read_to_its_end() -> None:
    async def scenario() -> SinkError | None:
        async with raw_server(flood) as url, opened(url, timeout="30s") as sink:
            return await asyncio.wait_for(write(sink), 20)

    assert asyncio.run(scenario()) is None


# --- what is not tried again ---


def test_a_refusal_is_not_tried_again_and_shows_the_beginning_of_the_answer() -> None:
    receiver = answering(PlainTextResponse("ü" * 300, 422))
    (error,) = send(receiver)
    assert error is not None
    assert not error.retryable
    assert f"got 422 '{'ü' * 200}'" in str(error)
    assert len(receiver.requests) == 1


def test_redirects_are_not_followed() -> None:
    receiver = answering(RedirectResponse("/in", 307))
    (error,) = send(receiver)
    assert error is not None
    assert not error.retryable
    assert "got 307" in str(error)
    assert "set url" in str(error)
    assert len(receiver.requests) == 1


def test_lines_that_were_refused_are_sent_anew_when_they_come_again() -> None:
    receiver = answering(Response(), Response(status_code=400))
    first, second = send(receiver, times=2, batch=2)
    assert first is not None
    assert second is None
    assert receiver.bodies == [b'[{"a":1},{"a":2}]', b'[{"a":3}]'] * 2
    assert len(set(receiver.keys)) == 4


def test_errors_do_not_show_what_the_url_may_hide() -> None:
    receiver = answering(Response(status_code=400))

    async def scenario() -> SinkError | None:
        async with receiver.serving() as url:
            secret = url.replace("://", "://user:s3cret@") + "?key=s3cret#s3cret"
            async with opened(secret) as sink:
                return await write(sink)

    error = asyncio.run(scenario())
    assert error is not None
    assert "s3cret" not in str(error)
    assert receiver.requests[0].headers["authorization"].startswith("Basic ")


# --- options ---


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("url", "alarms.example/in"),
        ("url", "ftp://alarms.example"),
        ("url", "http://"),
        ("url", "http://host:port/"),
        ("timeout", "soon"),
        ("timeout", 0),
        ("attempts", 0),
        ("batch", 0),
        ("token", "with a space"),
        ("token", "line\n"),
        ("token", ""),
        ("headers", {"a b": "c"}),
        ("headers", {"a": "c\r\nd: e"}),
    ],
)
def test_an_option_that_cannot_work_is_a_problem_of_its_key(key: str, value: Any) -> None:
    problems = Problems()
    read(HttpSinkOptions, {"url": "http://127.0.0.1/", key: value}, "sinks.alarms", problems)
    assert [problem.path for problem in problems] == [f"sinks.alarms.{key}"]


def test_the_plugin_adds_the_sink_with_working_defaults() -> None:
    (kind,) = trimtab_sinks()
    problems = Problems()
    options = read(kind.options, {"url": "https://alarms.example/in?key=1"}, "sinks.alarms", problems)
    assert (kind.name, list(problems)) == ("http", [])
    assert options is not None
    assert isinstance(kind.create(options, SinkContext("alarms", Path())), HttpSink)
