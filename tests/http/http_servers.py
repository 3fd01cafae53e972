"""Real servers and clients that the tests of the HTTP plugin use."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route

from trimtab.api import Codec, Records, Source
from trimtab.control.server import serving
from trimtab.plugins.codecs import JsonCodec
from trimtab.testing import RecordingContext

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def app_of(source: Source) -> Starlette:
    """The routes of a source where the host serves them: at ``/sources/gps``, with and without the slash."""
    (route,) = source.routes()
    assert isinstance(route, Route)
    return Starlette(routes=[Route("/sources/gps", route.endpoint), Mount("/sources/gps", routes=[route])])


class Stream(RecordingContext):
    """The host's side of one source. ``gate`` closed: deliveries that have begun wait, though there is room.

    ``uneven``: an earlier delivery often ends after later ones, so a source must make them one at a time.
    """

    def __init__(self, codec: Codec | None = None, *, busy: bool = False, uneven: bool = False) -> None:
        super().__init__(codec or JsonCodec(), Path(), name="gps")
        self.busy = busy
        self._uneven = uneven
        self.gate = asyncio.Event()
        self.gate.set()
        self._calls = 0

    async def deliver(self, records: Records) -> asyncio.Future[None]:
        """Keep the records."""
        self._calls += 1
        for _ in range(10 - self._calls % 10 if self._uneven else 0):
            await asyncio.sleep(0)
        await self.gate.wait()
        return await super().deliver(records)


@contextlib.asynccontextmanager
async def served(source: Source) -> AsyncIterator[httpx.AsyncClient]:
    """Serve the routes of a source; gives a client whose base URL is the source's."""
    async with (
        serving(app_of(source), "127.0.0.1", 0) as url,
        httpx.AsyncClient(base_url=f"{url}/sources/gps", trust_env=False) as client,
    ):
        yield client


@contextlib.asynccontextmanager
async def running(source: Source) -> AsyncIterator[httpx.AsyncClient]:
    """Run a source and serve it."""
    run = asyncio.create_task(source.run())
    try:
        async with served(source) as client:
            yield client
    finally:
        run.cancel()
        await asyncio.wait({run})


@contextlib.asynccontextmanager
async def raw_server(talk: Talk) -> AsyncIterator[str]:
    """Serve connections as ``talk`` does, byte by byte; gives the URL. The end waits for all of them."""
    connections: set[asyncio.Task[None] | None] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.add(asyncio.current_task())
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            try:
                await talk(reader, writer)
            finally:
                writer.close()
                await writer.wait_closed()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/in"
    await asyncio.wait_for(asyncio.gather(*filter(None, connections)), 10)


@contextlib.asynccontextmanager
async def raw_client(client: httpx.AsyncClient) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """Connect to the server of ``client`` without HTTP."""
    reader, writer = await asyncio.open_connection(client.base_url.host, client.base_url.port)
    try:
        yield reader, writer
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


@dataclass
class Received:
    """One request that :class:`Receiver` got."""

    body: bytes
    headers: dict[str, str]
    port: int
    """Of the client: the same port is the same connection."""


@dataclass
class Receiver:
    """A server that answers with ``answers`` one after the other, then with 200, and keeps what it got."""

    answers: Iterator[Response] = field(default_factory=lambda: iter(()))
    requests: list[Received] = field(default_factory=list)

    @property
    def keys(self) -> list[str]:
        """The idempotency key of each request."""
        return [request.headers["idempotency-key"] for request in self.requests]

    @property
    def bodies(self) -> list[bytes]:
        """The body of each request."""
        return [request.body for request in self.requests]

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[str]:
        """Serve; gives the URL."""
        app = Starlette(routes=[Route("/in", self._receive, methods=["POST"])])
        async with serving(app, "127.0.0.1", 0) as url:
            yield f"{url}/in"

    async def _receive(self, request: Request) -> Response:
        assert request.client is not None
        self.requests.append(Received(await request.body(), dict(request.headers), request.client.port))
        return next(self.answers, None) or Response(b'{"ok":true}')
