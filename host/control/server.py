"""Serves an ASGI application in the host's own event loop."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterator

import uvicorn
from starlette.types import ASGIApp

from trimtab.errors import StateError

DRAIN_SECONDS = 5
"""How long requests in hand may take when the server stops."""


@contextlib.asynccontextmanager
async def serving(app: ASGIApp, host: str, port: int) -> AsyncIterator[str]:
    """Serve ``app`` on ``host:port`` (port 0: a free one) while the block runs; gives the URL.

    Raises :class:`StateError` when the address cannot be had. At the end requests in hand are finished.
    """
    listener = _bind(host, port)
    settings = uvicorn.Config(
        app,
        lifespan="off",
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=DRAIN_SECONDS,
    )
    server = _Server(settings)
    task = asyncio.create_task(server.serve(sockets=[listener]), name="control server")
    started = asyncio.create_task(server.listening.wait())
    try:
        await asyncio.wait({task, started}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            raise StateError(f"the control API cannot be served on {host}:{port}: {task.exception() or 'it ended'}")
        yield _url(listener)
    finally:
        started.cancel()
        server.should_exit = True
        await task
        listener.close()


class _Server(uvicorn.Server):
    """Says when it listens, and leaves the process's signals to the host."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listening.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _bind(host: str, port: int) -> socket.socket:
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listener = socket.create_server((host, port), family=family, backlog=2048)
    except (OSError, OverflowError) as error:
        raise StateError(
            f"cannot listen on {host}:{port}: expected a free local address, got: {error}; "
            "stop what uses it, or set host.listen to another one (port 0 takes any free port)"
        ) from error
    # Accepted connections inherit it. asyncio sets it only where the socket names its protocol, which this one does
    # not; without it, each answer but the first of a connection waits 40 ms for the client's acknowledgement.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    listener.setblocking(False)
    return listener


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
