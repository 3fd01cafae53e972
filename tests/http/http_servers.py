"""Real servers and clients that the tests of the HTTP plugin use."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route

from trimtab.api import Codec, Source, StateError
from trimtab.control.server import serving
from trimtab.plugins.codecs import JsonCodec
from trimtab.testing import RecordingContext

RawTalk = Callable[[socket.socket], None]
Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def app_of(source: Source) -> Starlette:
    """The routes of a source where the host serves them: at ``/sources/gps``, with and without the slash."""
    (route,) = source.routes()
    assert isinstance(route, Route)
    return Starlette(routes=[Route("/sources/gps", route.endpoint), Mount("/sources/gps", routes=[route])])


class Stream(RecordingContext):
    """The host's side of one source. ``gate`` closed: the journal waits for its disk. ``full``: the disk is full."""

    def __init__(self, codec: Codec | None = None, *, busy: bool = False, full: bool = False) -> None:
        super().__init__(codec or JsonCodec(), Path(), name="gps")
        self.busy = busy
        self.full = full
        self.gate = asyncio.Event()
        self.gate.set()
        self.waiting = 0
        """How many requests wait for the disk."""
        self.waits = asyncio.Condition()

    async def accept(self, records: Sequence[bytes]) -> None:
        """Keep the records."""
        if self.full:
            raise StateError("/state/journal.db: expected a journal that can be written, got: disk full")
        async with self.waits:
            self.waiting += 1
            self.waits.notify_all()
        await self.gate.wait()
        await super().accept(records)

    async def until_waiting_for_the_disk(self, count: int) -> None:
        """Wait until so many requests have come as far."""
        async with asyncio.timeout(20), self.waits:
            await self.waits.wait_for(lambda: self.waiting >= count)


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


@dataclass(frozen=True, slots=True)
class Reply:
    """What a :class:`Site` answers."""

    status: int = 200
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Visit:
    """One request that a :class:`Site` got."""

    method: str
    path: str
    headers: dict[str, str]
    """By lower-case name."""
    body: bytes
    client: int
    """Port of the client: the same port is the same connection."""


def _say_ok(_visit: Visit) -> Reply:
    return Reply()


@dataclass
class Site:
    """An HTTP/1.1 server in threads, with connections that are kept; answers as ``answer`` says, and keeps what it got.

    For what calls from the main thread and waits there. ``port`` 0: any that is free; after :meth:`serving` has begun,
    the one that it has, also when it serves again.
    """

    answer: Callable[[Visit], Reply] = _say_ok
    visits: list[Visit] = field(default_factory=list)
    port: int = 0

    @property
    def url(self) -> str:
        """Where it serves."""
        return f"http://127.0.0.1:{self.port}"

    @contextlib.contextmanager
    def serving(self, context: ssl.SSLContext | None = None) -> Iterator[str]:
        """Serve, encrypted with a context; gives the URL. At the end every connection is cut."""
        site, open_sockets = self, set[socket.socket]()

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1
            disable_nagle_algorithm = True

            def setup(self) -> None:
                open_sockets.add(self.request)
                super().setup()

            def finish(self) -> None:
                open_sockets.discard(self.request)
                with contextlib.suppress(OSError):
                    super().finish()

            def handle(self) -> None:
                with contextlib.suppress(OSError):
                    super().handle()

            def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - its name there
                pass

            def _reply(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                headers = {name.lower(): value for name, value in self.headers.items()}
                visit = Visit(self.command, self.path, headers, body, self.client_address[1])
                site.visits.append(visit)
                reply = site.answer(visit)
                self.send_response_only(reply.status)
                for name, value in reply.headers:
                    self.send_header(name, value)
                self.send_header("content-length", str(len(reply.body)))
                self.end_headers()
                self.wfile.write(reply.body if self.command != "HEAD" else b"")

            do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = do_REPORT = _reply  # noqa: N815

        server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        server.daemon_threads = True
        self.port = server.server_port
        if context is not None:
            server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        try:
            yield self.url if context is None else self.url.replace("http:", "https:")
        finally:
            server.shutdown()
            server.server_close()
            for connection in list(open_sockets):
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
            thread.join()


@contextlib.contextmanager
def raw_site(talk: RawTalk, host: str = "127.0.0.1") -> Iterator[str]:
    """Serve connections as ``talk`` does, byte by byte, each in a thread; gives the URL. The end cuts them."""
    connections: list[tuple[threading.Thread, socket.socket]] = []

    def serve(connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection:
            talk(connection)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _address = listener.accept()
                thread = threading.Thread(target=serve, args=(connection,), daemon=True)
                connections.append((thread, connection))
                thread.start()

    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, 0), family=family) as listener:
        accepting = threading.Thread(target=accept, daemon=True)
        accepting.start()
        try:
            yield f"http://{f'[{host}]' if ':' in host else host}:{listener.getsockname()[1]}"
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            accepting.join()
            for thread, connection in connections:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
                thread.join(10)
