"""The sink: emitted values go out by POST, as JSON arrays."""

from __future__ import annotations

import asyncio
import random
import time
import uuid
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

import httpx

from trimtab.api import Sink, SinkContext, SinkError, parse_duration
from trimtab.plugins.http.options import HttpSinkOptions
from trimtab.plugins.http.retries import Backoff, is_retryable, retry_after
from trimtab.plugins.http.urls import shown

_EXCERPT = 200
"""Characters of an answer that an error shows."""
_ANSWER = 1 << 16
"""Bytes of an answer that are read so that its connection can be used again; a longer one costs the connection."""


class HttpSink(Sink):
    """Sends values in order, one request at a time; a request is tried up to ``attempts`` times before it fails.

    Every request has an ``Idempotency-Key``. It stays the same however often the request is tried, also when the
    host writes the same lines again after an error; requests that were taken are not sent again then.
    """

    def __init__(self, options: HttpSinkOptions, context: SinkContext, backoff: Backoff | None = None) -> None:
        self._url = httpx.URL(options.url)
        self._batch = options.batch
        self._attempts = options.attempts
        self._timeout = parse_duration(options.timeout)
        self._backoff = backoff or Backoff()
        self._place = f"sink {context.name}: POST {shown(self._url)}"
        # The deadline of a request is asyncio's: httpx knows one for each read, which a slow answer never meets.
        self._client = httpx.AsyncClient(headers=_headers(options), timeout=None, follow_redirects=False)  # noqa: S113
        self._lines = b""
        self._requests: deque[_Request] = deque()

    async def write(self, lines: bytes, count: int) -> None:
        """Send the values. Waits between tries, so it may take ``attempts`` times the timeout and the back-off."""
        if lines != self._lines:
            self._lines = lines
            self._requests.clear()
            self._requests.extend(_Request(body) for body in arrays(lines, count, self._batch))
        try:
            while self._requests:
                await self._send(self._requests[0])
                self._requests.popleft()
        except SinkError as error:
            if not error.retryable:
                self._lines = b""
            raise
        self._lines = b""

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def _send(self, request: _Request) -> None:
        failure = await self._try(request)
        tries = 1
        while failure is not None and tries < self._attempts:
            await asyncio.sleep(self._backoff.delay(tries, random.random(), failure.asked))
            failure = await self._try(request)
            tries += 1
        if failure is not None:
            raise SinkError(f"{self._place}: {failure.reason}, after {tries} attempts", retryable=True)

    async def _try(self, request: _Request) -> _Failure | None:
        """Send a request once. Returns why it should be tried again; raises :class:`SinkError` if it should not."""
        try:
            async with asyncio.timeout(self._timeout):
                answer = await self._exchange(request)
        except TimeoutError:
            return _Failure(f"expected an answer within {self._timeout:g} s, got none")
        except httpx.TransportError as error:
            return _Failure(f"expected an answer, got {type(error).__name__} ({error})")
        if 200 <= answer.status < 300:
            return None
        reason = f"expected a status of 2xx, got {answer.status} {answer.excerpt!r}"
        if is_retryable(answer.status):
            return _Failure(reason, retry_after(answer.retry_after, time.time()))
        raise SinkError(f"{self._place}: {reason}{_hint(answer.status)}", retryable=False)

    async def _exchange(self, request: _Request) -> _Answer:
        headers = {"idempotency-key": request.key}
        async with self._client.stream("POST", self._url, content=request.body, headers=headers) as response:
            excerpt = await _excerpt(response)
        return _Answer(response.status_code, response.headers.get("retry-after"), excerpt)


@dataclass(frozen=True, slots=True)
class _Request:
    body: bytes
    key: str = field(default_factory=lambda: str(uuid.uuid4()))


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    retry_after: str | None
    excerpt: str


@dataclass(frozen=True, slots=True)
class _Failure:
    reason: str
    asked: float | None = None
    """Seconds that the server asks to wait."""


def arrays(lines: bytes, count: int, batch: int) -> Iterator[bytes]:
    """Yield the values, which end in newlines, as JSON arrays of at most ``batch`` elements."""
    if count <= batch:
        yield b"[%b]" % lines.removesuffix(b"\n").replace(b"\n", b",")
        return
    values = lines.split(b"\n")
    for start in range(0, count, batch):
        yield b"[%b]" % b",".join(values[start : min(start + batch, count)])


def _headers(options: HttpSinkOptions) -> httpx.Headers:
    headers = httpx.Headers(
        {"content-type": "application/json", "accept-encoding": "identity", "user-agent": "trimtab"}
    )
    headers.update(options.headers)
    if options.token is not None:
        headers["authorization"] = f"Bearer {options.token}"
    return headers


async def _excerpt(response: httpx.Response) -> str:
    """Read an answer, but not much of it, and return its beginning."""
    head = bytearray()
    async for chunk in response.aiter_raw():
        head += chunk
        if len(head) > _ANSWER:
            break
    return head[: 4 * _EXCERPT].decode(errors="replace")[:_EXCERPT]


def _hint(status: int) -> str:
    return "; redirects are not followed: set url to the address that takes the values" if 300 <= status < 400 else ""
