"""Values that are read page by page, in plain and in asynchronous handlers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from threading import current_thread, main_thread
from typing import Any

import pytest

from trimtab.engine.objects import Pages, call_outside


class Numbers(Pages):
    """Three pages; ``read``: whether each was read on the main thread."""

    def __init__(self) -> None:
        self._pages = [[1, 2], [3], [4, 5]]
        self.read: list[bool] = []
        self.closed = False

    def next_page(self) -> Sequence[int]:
        self.read.append(current_thread() is main_thread())
        return self._pages.pop(0) if self._pages and not self.closed else []

    def close(self) -> None:
        self.closed = True


def in_handler(use: Callable[[Numbers], Any]) -> Any:
    """Return what a coroutine gives that runs as an asynchronous handler does."""

    async def handler() -> Any:
        call_outside.set(lambda work: asyncio.get_running_loop().run_in_executor(None, work))
        return await use(numbers)

    numbers = Numbers()
    return asyncio.run(handler())


def test_a_plain_loop_reads_every_value_and_closes() -> None:
    numbers = Numbers()
    assert list(numbers) == [1, 2, 3, 4, 5]
    assert numbers.closed
    assert all(numbers.read)


def test_an_asynchronous_loop_reads_every_page_in_a_thread_and_closes() -> None:
    async def use(numbers: Numbers) -> Any:
        found = [number async for number in numbers]
        return found, numbers.read, numbers.closed

    assert in_handler(use) == ([1, 2, 3, 4, 5], [False] * 4, True)


def test_all_that_is_left_can_be_awaited() -> None:
    async def use(numbers: Numbers) -> Any:
        waiting: Any = numbers.to_array()
        return await waiting, numbers.read

    assert in_handler(use) == ([1, 2, 3, 4, 5], [False] * 4)


def test_a_plain_loop_in_an_asynchronous_handler_is_told_what_to_write() -> None:
    async def use(numbers: Numbers) -> Any:
        return list(numbers)

    with pytest.raises(TypeError, match="expected `async for` in an asynchronous handler"):
        in_handler(use)


def test_an_asynchronous_loop_elsewhere_is_told_what_to_write() -> None:
    async def use() -> list[Any]:
        return [number async for number in Numbers()]

    with pytest.raises(TypeError, match="expected `for` outside of an asynchronous handler"):
        asyncio.run(use())
