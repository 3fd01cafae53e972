"""Waits for a file descriptor in the event loop, without changing its mode."""

from __future__ import annotations

import asyncio


async def readable(descriptor: int) -> None:
    """Wait until a read returns at once. Raises ``PermissionError`` for a file, which cannot be waited for."""
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[None] = loop.create_future()
    loop.add_reader(descriptor, _resolve, ready)
    try:
        await ready
    finally:
        loop.remove_reader(descriptor)


async def writable(descriptor: int) -> None:
    """Wait until a write of some bytes returns at once. Raises ``PermissionError`` like :func:`readable`."""
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[None] = loop.create_future()
    loop.add_writer(descriptor, _resolve, ready)
    try:
        await ready
    finally:
        loop.remove_writer(descriptor)


def _resolve(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
