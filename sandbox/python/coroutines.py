"""Async functions of a script: each call runs to its end on an event loop of the script's own."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from trimtab.engine.script import Limits

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop, Task


class Coroutines:
    """The event loop of one script instance, made when first needed.

    Tasks that a script starts and does not await go on while it awaits something in a later call.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._loop: AbstractEventLoop | None = None

    def finished(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return a plain function that calls an async one and waits for its end."""

        def call(*arguments: Any) -> Any:
            return self._finish(function(*arguments))

        return call

    def close(self) -> None:
        """Cancel what still runs, let it clean up, and close the loop. Runs user code."""
        if self._loop is None:
            return
        from asyncio import all_tasks, wait

        loop, self._loop = self._loop, None
        try:
            tasks = all_tasks(loop)
            for task in tasks:
                task.cancel()
            for task in tasks:
                loop.run_until_complete(wait([task]))
            loop.run_until_complete(loop.shutdown_asyncgens())
        finally:
            loop.close()

    def _finish(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        loop = self._started()
        task = loop.create_task(coroutine)
        try:
            return loop.run_until_complete(task)
        finally:
            if not task.done():
                self._cancel(loop, task)

    def _started(self) -> AbstractEventLoop:
        if self._loop is None:
            from asyncio import new_event_loop

            self._loop = new_event_loop()
        return self._loop

    def _cancel(self, loop: AbstractEventLoop, task: Task[Any]) -> None:
        """Let a task that was interrupted clean up now, with the same time again, before the next event comes."""
        self._limits.mark = object()
        task.cancel()
        with suppress(BaseException):
            loop.run_until_complete(task)
