"""The endpoint of the HTTP source: from a request to an answer."""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Sequence
from typing import Protocol

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from trimtab.api import Codec
from trimtab.plugins.http.bodies import inflate, split
from trimtab.plugins.http.described import operations
from trimtab.plugins.http.options import HttpSourceOptions
from trimtab.plugins.http.refusals import Refusal, too_large

_NDJSON = frozenset({"application/x-ndjson", "application/ndjson", "application/jsonl"})
_GZIP = frozenset({"gzip", "x-gzip"})
_LARGE = 1 << 17
"""Bodies above this many bytes are taken apart in a thread, so that the stream does not wait for them."""


class Taker(Protocol):
    """What takes the records of requests. Both methods raise :class:`Refusal`."""

    def check_room(self) -> None:
        """Return if records would be taken now."""

    async def accept(self, records: Sequence[bytes]) -> None:
        """Take all records, or none."""


class Intake:
    """An ASGI application for one path and every method.

    Answers 202 ``{"accepted": N}`` once the records are on the disk, or an error as :class:`Refusal` describes it.
    What can be refused is refused before the body is read.
    """

    def __init__(self, options: HttpSourceOptions, codec: Codec, taker: Taker) -> None:
        self._token = None if options.token is None else options.token.encode()
        self._limit = options.max_body
        self._codec = codec
        self._taker = taker
        self.openapi = operations(codec, token=self._token is not None)
        """See :meth:`Source.routes`."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        try:
            response = await self._take(Request(scope, receive))
        except Refusal as refusal:
            response = JSONResponse(refusal.document(), refusal.status, refusal.headers)
        except ClientDisconnect:
            return  # nobody is there to answer, and nothing was taken
        await response(scope, receive, send)

    async def _take(self, request: Request) -> Response:
        _check_method(request)
        self._check_token(request)
        self._taker.check_room()
        is_gzip = _is_gzip(request)
        is_ndjson = _media_type(request) in _NDJSON
        body = await _read(request, self._limit)
        if is_gzip or len(body) > _LARGE:
            records = await asyncio.to_thread(self._records, body, is_gzip=is_gzip, is_ndjson=is_ndjson)
        else:
            records = self._records(body, is_gzip=False, is_ndjson=is_ndjson)
        if records:
            await self._taker.accept(records)
        return Response(b'{"accepted":%d}' % len(records), 202, media_type="application/json")

    def _records(self, body: bytes, *, is_gzip: bool, is_ndjson: bool) -> list[bytes]:
        data = inflate(body, self._limit) if is_gzip else body
        return split(data, self._codec, ndjson=is_ndjson)

    def _check_token(self, request: Request) -> None:
        if self._token is None:
            return
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        is_bearer = scheme.lower() == "bearer"
        if is_bearer and hmac.compare_digest(token.strip().encode(), self._token):
            return
        raise Refusal(
            401,
            expected="the header Authorization: Bearer TOKEN",
            got="another token" if is_bearer else f"the scheme {scheme!r}" if scheme else "no such header",
            hint="send the token that the source has in the configuration",
            headers={"WWW-Authenticate": 'Bearer realm="trimtab"'},
        )


def _check_method(request: Request) -> None:
    if request.method != "POST":
        raise Refusal(
            405,
            expected="POST",
            got=request.method,
            hint="send events as the body of a POST",
            headers={"Allow": "POST"},
        )


def _is_gzip(request: Request) -> bool:
    coding = request.headers.get("content-encoding", "identity").strip().lower()
    if coding in _GZIP:
        return True
    if coding in {"identity", ""}:
        return False
    raise Refusal(
        415,
        expected="Content-Encoding gzip, or none",
        got=repr(coding),
        hint="send the body as it is or in gzip",
        headers={"Accept-Encoding": "gzip"},
    )


def _media_type(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


async def _read(request: Request, limit: int) -> bytes:
    """Return the body; stop reading as soon as it is over ``limit`` bytes, whatever its headers say."""
    length = request.headers.get("content-length", "")
    if length.isdecimal() and int(length) > limit:
        raise too_large(limit, f"Content-Length {length}")
    chunks = []
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > limit:
            raise too_large(limit, f"more (at least {size})")
        chunks.append(chunk)
    return b"".join(chunks)
