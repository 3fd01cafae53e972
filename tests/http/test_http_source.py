"""The HTTP source, served by a real server to real clients."""

from __future__ import annotations

import asyncio
import gzip
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from typing import Any

import httpx
import msgspec
import pytest

from tests.http.http_servers import Stream, raw_client, running, served
from trimtab.plugins.codecs import MsgpackCodec, TextCodec
from trimtab.plugins.http import source as module
from trimtab.plugins.http import trimtab_sources
from trimtab.plugins.http.options import HttpSourceOptions
from trimtab.plugins.http.source import HttpSource

EVENT = {"vehicle_id": "v1", "speed": 61.5}
LINE = b'{"vehicle_id":"v1","speed":61.5}'


async def post(stream: Stream, body: bytes, **headers: str) -> httpx.Response:
    """Send one body to a source with default options."""
    async with running(HttpSource(HttpSourceOptions(), stream)) as client:
        return await client.post("", content=body, headers={k.replace("_", "-"): v for k, v in headers.items()})


def error(response: httpx.Response) -> dict[str, Any]:
    """The error of an answer, which always has the same shape."""
    found: dict[str, Any] = response.json()["error"]
    assert list(found) == ["message", "expected", "got", "hint", "line", "index"]
    assert found["expected"] in found["message"]
    assert found["hint"] in found["message"]
    return found


# --- what is accepted ---


@pytest.mark.parametrize(
    ("body", "headers", "lines"),
    [
        (LINE, {}, [LINE]),
        (b'{\n  "a": 1\n}\n', {}, [b'{   "a": 1 }']),
        (b"[%b,\n%b]" % (LINE, LINE), {"content_type": "application/json"}, [LINE, LINE]),
        (b"%b\n%b\n" % (LINE, LINE), {"content_type": "application/x-ndjson; charset=utf-8"}, [LINE, LINE]),
        (b"%b\r\n\r\n%b" % (LINE, LINE), {}, [LINE, LINE]),
        (gzip.compress(LINE), {"content_encoding": "gzip"}, [LINE]),
        (LINE, {"content_encoding": "identity"}, [LINE]),
    ],
    ids=["object", "pretty", "array", "ndjson", "detected", "gzip", "identity"],
)
def test_events_are_accepted_in_every_form(body: bytes, headers: dict[str, str], lines: list[bytes]) -> None:
    stream = Stream()
    response = asyncio.run(post(stream, body, **headers))
    assert (response.status_code, response.json()) == (202, {"accepted": len(lines)})
    assert stream.lines == lines


def test_a_large_body_is_accepted_whole() -> None:
    stream = Stream()
    response = asyncio.run(post(stream, b"[" + b",".join([LINE] * 20_000) + b"]"))
    assert response.json() == {"accepted": 20_000}
    assert stream.lines == [LINE] * 20_000


def test_an_empty_array_is_accepted_and_delivers_nothing() -> None:
    stream = Stream()
    response = asyncio.run(post(stream, b"[]"))
    assert (response.status_code, response.json(), stream.delivered) == (202, {"accepted": 0}, [])


def test_the_path_may_end_in_a_slash() -> None:
    async def scenario() -> list[int]:
        async with running(HttpSource(HttpSourceOptions(), Stream())) as client:
            url = str(client.base_url).rstrip("/")
            return [(await client.post(path, content=LINE)).status_code for path in (url, f"{url}/")]

    assert asyncio.run(scenario()) == [202, 202]


def test_the_events_of_one_request_stay_together() -> None:
    stream = Stream()

    async def scenario() -> None:
        async with running(HttpSource(HttpSourceOptions(), stream)) as client:
            bodies = [[{"request": n, "element": i} for i in range(n % 4 + 1)] for n in range(40)]
            await asyncio.gather(*(client.post("", json=body) for body in bodies))

    asyncio.run(scenario())
    assert stream.places == [("journal", position) for position in range(100)]
    events = [json.loads(line) for line in stream.lines]
    starts = [index for index, event in enumerate(events) if event["element"] == 0]
    for start, end in zip(starts, [*starts[1:], 100], strict=True):
        assert [(event["request"], event["element"]) for event in events[start:end]] == [
            (events[start]["request"], i) for i in range(end - start)
        ]


def test_several_requests_may_wait_for_the_disk_and_none_is_answered_before() -> None:
    stream = Stream()
    stream.gate.clear()

    async def scenario() -> list[httpx.Response]:
        async with running(HttpSource(HttpSourceOptions(), stream)) as client:
            requests = [asyncio.create_task(client.post("", content=b"%d" % n)) for n in range(5)]
            await stream.until_waiting_for_the_disk(5)
            assert not any(request.done() for request in requests)
            stream.gate.set()
            return await asyncio.gather(*requests)

    assert [response.status_code for response in asyncio.run(scenario())] == [202] * 5
    assert sorted(stream.lines) == [b"%d" % n for n in range(5)]


def test_requests_come_back_later_while_too_much_waits_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_UNDER_WAY", 100)
    stream = Stream()
    stream.gate.clear()

    async def scenario() -> list[httpx.Response]:
        async with running(HttpSource(HttpSourceOptions(), stream)) as client:
            first = asyncio.create_task(client.post("", json=["x" * 100]))
            await stream.until_waiting_for_the_disk(1)
            second = await client.post("", content=b"1")
            stream.gate.set()
            return [await first, second, await client.post("", content=b"2")]

    first, second, third = asyncio.run(scenario())
    assert (second.status_code, second.headers["retry-after"]) == (429, "1")
    assert [first.status_code, third.status_code] == [202, 202]
    assert len(stream.lines) == 2


# --- what is refused ---


@pytest.mark.parametrize(
    ("body", "line", "index"),
    [(b'{"a":1}\n{"a":', 2, None), (b'[{"a":1},{"a":NaN}]', 1, 1), (b"", None, None)],
    ids=["line", "index", "empty"],
)
def test_a_bad_body_is_refused_whole_with_the_place(body: bytes, line: int | None, index: int | None) -> None:
    stream = Stream()
    response = asyncio.run(post(stream, body))
    assert response.status_code == 400
    assert (error(response)["line"], error(response)["index"]) == (line, index)
    assert stream.delivered == []


def test_bytes_that_are_not_gzip_are_refused() -> None:
    response = asyncio.run(post(Stream(), LINE, content_encoding="gzip"))
    assert response.status_code == 400
    assert "gzip" in error(response)["message"]


def test_another_encoding_is_refused_with_the_ones_that_are_known() -> None:
    response = asyncio.run(post(Stream(), LINE, content_encoding="br"))
    assert (response.status_code, response.headers["accept-encoding"]) == (415, "gzip")
    assert error(response)["got"] == "'br'"


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS"])
def test_only_post_is_taken(method: str) -> None:
    async def scenario() -> httpx.Response:
        async with running(HttpSource(HttpSourceOptions(), Stream())) as client:
            return await client.request(method, "")

    response = asyncio.run(scenario())
    assert (response.status_code, response.headers["allow"]) == (405, "POST")
    if method != "HEAD":
        assert error(response)["got"] == method


@pytest.mark.parametrize(
    ("given", "got"),
    [
        (None, "no such header"),
        ("Bearer wrong", "another token"),
        ("Bearer s3cret2", "another token"),
        ("Bearer", "another token"),
        ("Basic s3cret", "the scheme 'Basic'"),
        ("Bearer \xff", "another token"),
    ],
)
def test_a_source_with_a_token_refuses_requests_without_it(given: str | None, got: str) -> None:
    stream = Stream()

    async def scenario() -> httpx.Response:
        headers = {} if given is None else {"Authorization": given.encode("latin-1")}
        async with running(HttpSource(HttpSourceOptions(token="s3cret"), stream)) as client:
            return await client.post("", content=LINE, headers=headers)  # type: ignore[arg-type]

    response = asyncio.run(scenario())
    assert (response.status_code, response.headers["www-authenticate"]) == (401, 'Bearer realm="trimtab"')
    assert error(response)["got"] == got
    assert "s3cret" not in response.text
    assert stream.delivered == []


@pytest.mark.parametrize("scheme", ["Bearer", "bearer"])
def test_a_source_with_a_token_takes_requests_with_it(scheme: str) -> None:
    async def scenario() -> int:
        async with running(HttpSource(HttpSourceOptions(token="s3cret"), Stream())) as client:
            return (await client.post("", content=LINE, headers={"Authorization": f"{scheme} s3cret"})).status_code

    assert asyncio.run(scenario()) == 202


# --- how much is taken ---


@pytest.mark.parametrize("size", [99, 100, 101])
def test_the_limit_is_the_last_size_that_is_taken(size: int) -> None:
    async def scenario() -> list[int]:
        async with running(HttpSource(HttpSourceOptions(max_body=100), Stream())) as client:
            body = b'"%b"' % (b"x" * (size - 2))
            packed = {"Content-Encoding": "gzip"}
            return [
                (await client.post("", content=body)).status_code,
                (await client.post("", content=gzip.compress(body), headers=packed)).status_code,
            ]

    assert asyncio.run(scenario()) == ([413, 413] if size > 100 else [202, 202])


def test_a_body_over_the_limit_is_refused_with_the_limit() -> None:
    async def scenario() -> httpx.Response:
        async with running(HttpSource(HttpSourceOptions(max_body=100), Stream())) as client:
            return await client.post("", content=bytes(101))

    response = asyncio.run(scenario())
    assert response.status_code == 413
    assert error(response)["expected"] == "a body of at most 100 bytes"


def test_a_body_without_length_is_not_read_beyond_the_limit() -> None:
    async def scenario() -> bytes:
        source = HttpSource(HttpSourceOptions(max_body=100_000), Stream())
        async with running(source) as client, raw_client(client) as (reader, writer):
            writer.write(b"POST /sources/gps HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
            answer = asyncio.create_task(reader.readuntil(b"\r\n"))
            for _ in range(2_000):  # 20 MB, and no end: only the refusal can come
                writer.write(b"2710\r\n%b\r\n" % bytes(10_000))
                await writer.drain()
            return await asyncio.wait_for(answer, 20)

    assert asyncio.run(scenario()).split()[1] == b"413"


@pytest.mark.parametrize(
    ("options", "busy", "headers", "status"),
    [
        (HttpSourceOptions(max_body=100), False, b"Content-Length: 1000000000000", 413),
        (HttpSourceOptions(token="s3cret"), False, b"Content-Length: 10", 401),
        (HttpSourceOptions(), True, b"Content-Length: 10", 429),
        (HttpSourceOptions(), False, b"Content-Length: 10\r\nContent-Encoding: br", 415),
    ],
    ids=["413", "401", "429", "415"],
)
def test_what_can_be_refused_is_refused_before_the_body_comes(
    options: HttpSourceOptions, busy: bool, headers: bytes, status: int
) -> None:
    async def scenario() -> bytes:
        source = HttpSource(options, Stream(busy=busy))
        async with running(source) as client, raw_client(client) as (reader, writer):
            writer.write(b"POST /sources/gps HTTP/1.1\r\nHost: x\r\n%b\r\n\r\n" % headers)
            return await reader.readuntil(b"\r\n")

    assert asyncio.run(scenario()).split()[1] == b"%d" % status


def test_a_sender_that_hangs_up_within_the_body_delivers_nothing_and_others_go_on() -> None:
    stream = Stream()

    async def scenario() -> int:
        async with running(HttpSource(HttpSourceOptions(), stream)) as client:
            async with raw_client(client) as (_reader, writer):
                writer.write(b"POST /sources/gps HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n%b\n" % LINE)
                await writer.drain()
            return (await client.post("", content=LINE)).status_code

    assert asyncio.run(scenario()) == 202
    assert stream.lines == [LINE]


# --- when events cannot be taken ---


def test_a_busy_stream_answers_429_with_retry_after() -> None:
    response = asyncio.run(post(Stream(busy=True), LINE))
    assert (response.status_code, response.headers["retry-after"]) == (429, "1")
    assert error(response)["expected"] == "room for events"


def test_a_stream_that_gets_busy_while_the_body_comes_answers_429_and_delivers_nothing() -> None:
    stream = Stream()

    async def scenario() -> httpx.Response:
        async def body() -> AsyncIterator[bytes]:
            yield LINE[:5]
            stream.busy = True
            yield LINE[5:]

        async with running(HttpSource(HttpSourceOptions(), stream)) as client:
            return await client.post("", content=body())

    assert asyncio.run(scenario()).status_code == 429
    assert stream.delivered == []


def test_a_source_that_does_not_run_yet_or_any_more_answers_503() -> None:
    async def scenario() -> list[httpx.Response]:
        source = HttpSource(HttpSourceOptions(), Stream())
        async with served(source) as client:
            before = await client.post("", content=LINE)
            run = asyncio.create_task(source.run())
            await asyncio.sleep(0)
            during = await client.post("", content=LINE)
            run.cancel()
            await asyncio.wait({run})
            return [before, during, await client.post("", content=LINE)]

    before, during, after = asyncio.run(scenario())
    assert [response.status_code for response in (before, during, after)] == [503, 202, 503]
    assert after.headers["retry-after"] == "1"
    assert "gps" in error(after)["got"]


def test_events_that_the_journal_cannot_take_are_refused_and_the_sender_learns_no_paths() -> None:
    stream = Stream(full=True)

    async def scenario() -> list[httpx.Response]:
        async with running(HttpSource(HttpSourceOptions(), stream)) as client:
            refused = await client.post("", content=LINE)
            stream.full = False
            return [refused, await client.post("", content=LINE)]

    refused, accepted = asyncio.run(scenario())
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
    assert error(refused)["got"] == "one that cannot be written; the log of the host says why"
    assert "/state" not in refused.text
    assert accepted.status_code == 202
    assert stream.lines == [LINE]


def test_the_end_of_run_waits_for_requests_under_way_and_refuses_what_comes_then() -> None:
    stream = Stream()
    stream.gate.clear()

    async def scenario() -> list[httpx.Response]:
        source = HttpSource(HttpSourceOptions(), stream)
        run = asyncio.create_task(source.run())
        async with served(source) as client:
            first = asyncio.create_task(client.post("", content=b"0"))
            await stream.until_waiting_for_the_disk(1)
            run.cancel()
            second = await client.post("", content=b"1")
            assert not run.done()
            stream.gate.set()
            await asyncio.wait({run})
            assert run.cancelled()
            assert stream.lines == [b"0"]
            return [await first, second]

    first, second = asyncio.run(scenario())
    assert [first.status_code, second.status_code] == [202, 503]


def test_a_record_without_bytes_is_waited_for_too() -> None:
    stream = Stream(TextCodec())
    stream.gate.clear()

    async def scenario() -> None:
        source = HttpSource(HttpSourceOptions(), stream)
        run = asyncio.create_task(source.run())
        await asyncio.sleep(0)
        accepting = asyncio.create_task(source.accept([b""]))
        await stream.until_waiting_for_the_disk(1)
        run.cancel()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert not run.done()
        stream.gate.set()
        await asyncio.wait({run, accepting})

    asyncio.run(scenario())
    assert stream.places == [("journal", 0)]


# --- other codecs ---


def test_a_codec_without_lines_delivers_the_body_as_one_record() -> None:
    stream = Stream(MsgpackCodec())
    body = msgspec.msgpack.encode({"line\nend": 10})
    response = asyncio.run(post(stream, body))
    assert response.json() == {"accepted": 1}
    assert [records.data for records in stream.delivered] == [body]
    assert stream.places == [("journal", 0)]


def test_a_codec_of_lines_delivers_one_record_a_line() -> None:
    stream = Stream(TextCodec())
    assert asyncio.run(post(stream, b"first\nsecond\n")).json() == {"accepted": 2}
    assert stream.lines == [b"first", b"second"]


# --- the plugin ---


def test_a_lane_that_loads_the_plugin_loads_neither_starlette_nor_httpx() -> None:
    code = "import sys, trimtab.plugins.http as p; p.trimtab_sources(); p.trimtab_sinks(); print(*sys.modules)"
    modules = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
    assert "trimtab.plugins.http" in modules
    assert not {"starlette", "httpx"} & set(modules)


def test_the_source_never_ends_by_itself() -> None:
    (kind,) = trimtab_sources()
    assert kind.name == "http"
    assert not kind.finite(HttpSourceOptions())
