"""The server that runs in the host's own loop."""

from __future__ import annotations

import asyncio
import signal
import socket

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from trimtab.control import server
from trimtab.control.server import serving
from trimtab.errors import StateError


async def hello(_request: Request) -> PlainTextResponse:
    return PlainTextResponse("hello")


APP = Starlette(routes=[Route("/", hello)])


def test_it_serves_on_a_free_port_while_the_block_runs() -> None:
    async def use() -> str:
        async with serving(APP, "127.0.0.1", 0) as url, httpx.AsyncClient() as client:
            assert (await client.get(url)).text == "hello"
            return url

    url = asyncio.run(use())
    with pytest.raises(httpx.ConnectError):
        httpx.get(url)


def test_it_can_listen_again_at_once_on_the_port_it_left() -> None:
    async def use(port: int) -> int:
        async with serving(APP, "127.0.0.1", port) as url, httpx.AsyncClient() as client:
            assert (await client.get(url)).status_code == 200
            return int(url.rpartition(":")[2])

    port = asyncio.run(use(0))
    assert asyncio.run(use(port)) == port


def test_a_port_in_use_is_a_state_error_that_names_it() -> None:
    async def use(port: int) -> None:
        async with serving(APP, "127.0.0.1", port):
            pass

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(StateError, match=rf"127\.0\.0\.1:{port}.*in use"):
            asyncio.run(use(port))


def test_the_signals_stay_with_the_host() -> None:
    async def use() -> None:
        async with serving(APP, "127.0.0.1", 0):
            assert signal.getsignal(signal.SIGTERM) is before

    before = signal.getsignal(signal.SIGTERM)
    asyncio.run(use())


def test_a_request_in_hand_is_answered_when_the_server_stops() -> None:
    async def use() -> httpx.Response:
        entered, leave = asyncio.Event(), asyncio.Event()

        async def slow(_request: Request) -> PlainTextResponse:
            entered.set()
            await leave.wait()
            return PlainTextResponse("done")

        async with httpx.AsyncClient() as client:
            async with serving(Starlette(routes=[Route("/", slow)]), "127.0.0.1", 0) as url:
                answer = asyncio.create_task(client.get(url))
                await entered.wait()
                asyncio.get_running_loop().call_later(0.05, leave.set)
            return await answer

    assert asyncio.run(use()).text == "done"


def test_an_answer_does_not_wait_for_the_acknowledgement_of_the_one_before() -> None:
    with server._bind("127.0.0.1", 0) as listener:
        listener.setblocking(True)
        with socket.create_connection(listener.getsockname()), listener.accept()[0] as accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
