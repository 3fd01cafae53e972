"""Coroutines of a script: tasks on the one event loop of the process, each of their steps under the limits.

It imports asyncio, so it is imported itself when a script has its first async function to call.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Generator, Iterable, Iterator
from contextlib import AbstractContextManager, suppress
from contextvars import ContextVar, copy_context
from dataclasses import dataclass
from time import perf_counter_ns
from types import CoroutineType, FrameType
from typing import Any, NoReturn

from trimtab.engine.flights import waited_too_long
from trimtab.engine.objects import call_outside
from trimtab.engine.run import HandlerRun, in_flight
from trimtab.engine.script import DEFAULT_TIMEOUT, LogEntry, Script, ScriptHost
from trimtab.errors import ScriptError
from trimtab.sandbox.python.guard import Guard

Advance = Callable[[Callable[..., Any], tuple[Any, ...]], Any]
"""Calls a method of a coroutine under the limits."""


class Coroutines:
    """The tasks of one script instance: of events in flight, of ``open`` and ``close``, and those it starts itself.

    ``registered``: inside the block that it makes, the script's modules can be found.
    """

    def __init__(
        self, script: Script, host: ScriptHost, guard: Guard, registered: Callable[[], AbstractContextManager[None]]
    ) -> None:
        self._script, self._host, self._guard, self._registered = script, host, guard, registered
        self._tasks: set[_ScriptTask] = set()
        self._flying: dict[int, _ScriptTask] = {}
        """By the identity of the run, for events whose time is not up."""
        host.tasks.loop.set_task_factory(_new_task)
        host.tasks.loop.set_exception_handler(_report)

    def start(
        self, function: Callable[[], Awaitable[Any]], seconds: float, run: HandlerRun, done: Callable[[], None]
    ) -> None:
        """Begin to handle the event in hand of a run; record into the run what fails, and tell when it is ``done``.

        ``seconds``: what each step may compute.
        """
        started = perf_counter_ns()
        task = self._flying[id(run)] = self._task(function, seconds, run)

        def landed(_task: object) -> None:
            if self._flying.pop(id(run), None) is None:
                return  # its time was up
            if (error := _error_of(task)) is not None:
                run.fail(run.index, self._guard.fault(error))
            run.samples.append(perf_counter_ns() - started)
            done()

        task.add_done_callback(landed)

    def cancel(self, run: HandlerRun) -> tuple[str, int] | None:
        """Give up an event. Returns where it waits, as file and line, if that is known."""
        task = self._flying.pop(id(run))
        place = self._guard.waiting_at(task.frames())
        task.cancel()
        return place

    def finish(self, function: Callable[[], Awaitable[Any]]) -> None:
        """Call an async function and run the event loop until it has ended. Raises :class:`ScriptError`."""
        task = self._task(function, DEFAULT_TIMEOUT, None)
        if not self._wait([task]):
            place = self._guard.waiting_at(task.frames())
            task.cancel()
            self._wait([task])  # it may clean up, for as long again
            raise ScriptError(waited_too_long(DEFAULT_TIMEOUT, place))
        if (error := _error_of(task)) is not None:
            raise ScriptError(self._guard.fault(error))

    def close(self) -> None:
        """Cancel what still runs, and let it clean up. Raises :class:`ScriptError` when it does not come to an end."""
        for task in (tasks := list(self._tasks)):
            task.cancel()
        if tasks:
            self._wait(tasks)
        for task in tasks:
            if task.done() and not task.cancelled() and (error := task.exception()) is not None:
                self.log(error)
        if stuck := list(self._tasks):
            place = self._guard.waiting_at(stuck[0].frames())
            for task in stuck:
                task.cut_off()
            self._wait(stuck)
            raise ScriptError(waited_too_long(DEFAULT_TIMEOUT, place))

    # --- what tasks need ---

    def adopt(self, coroutine: Coroutine[Any, Any, Any], owner: _Owner, **options: Any) -> _ScriptTask:
        """Make a task of this script."""
        steps = _Steps(coroutine, lambda method, arguments: self._step(method, arguments, owner.seconds))
        task = _ScriptTask(steps, owner, **options)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def log(self, error: BaseException) -> None:
        """Log an error of a task that nobody has waited for."""
        fault = self._guard.fault(error)
        message = f"a task that nothing has waited for has failed: {fault}"
        self._host.log(LogEntry("error", self._script.name, self._script.version, message, {}))

    def _step(self, method: Callable[..., Any], arguments: tuple[Any, ...], seconds: float) -> Any:
        with self._registered():
            return self._guard.step(method, arguments, seconds)

    def _task(self, function: Callable[[], Awaitable[Any]], seconds: float, run: HandlerRun | None) -> _ScriptTask:
        context = copy_context()
        context.run(in_flight.set, run)
        context.run(call_outside.set, self._host.tasks.call)
        owner = _Owner(self, seconds)
        context.run(_owner.set, owner)
        return self.adopt(_awaited(function), owner, loop=self._host.tasks.loop, context=context)

    def _wait(self, tasks: Iterable[_ScriptTask]) -> bool:
        """Run the event loop until all tasks have ended, for as long as ``open`` may take. Returns whether they did."""
        loop, wake = self._host.tasks.loop, self._host.tasks.wake
        waiting = loop.create_task(asyncio.wait(tasks, timeout=DEFAULT_TIMEOUT))
        waiting.add_done_callback(lambda _task: wake())
        self._host.tasks.run(waiting.done)
        _done, pending = waiting.result()
        return not pending


@dataclass(frozen=True, slots=True)
class _Owner:
    """Who has to answer for the tasks that are started in a context, and what their steps may take."""

    coroutines: Coroutines
    seconds: float


_owner: ContextVar[_Owner | None] = ContextVar("_owner", default=None)


class _Steps(Coroutine[Any, Any, Any]):
    """A coroutine of the user, as a task sees it."""

    def __init__(self, coroutine: Coroutine[Any, Any, Any], advance: Advance) -> None:
        self.coroutine = coroutine
        self.ends = False
        """It goes no further, whatever it wants."""
        self._advance = advance

    def send(self, value: Any) -> Any:
        return self._end() if self.ends else self._advance(self.coroutine.send, (value,))

    def throw(self, *error: Any) -> Any:
        return self._end() if self.ends else self._advance(self.coroutine.throw, error)

    def _end(self) -> NoReturn:
        with suppress(BaseException):  # it has had its time to clean up
            self.close()
        raise asyncio.CancelledError

    def close(self) -> None:
        self._advance(self.coroutine.close, ())

    def __await__(self) -> Generator[Any, Any, Any]:
        raise NotImplementedError("only a task goes through the steps")


class _ScriptTask(asyncio.Task[Any]):
    """A task that a script has to answer for."""

    def __init__(self, steps: _Steps, owner: _Owner, **options: Any) -> None:
        self.owner = owner
        self._steps = steps
        super().__init__(steps, **options)

    def frames(self) -> Iterator[FrameType]:
        """The frames in which it waits, from the outermost on."""
        coroutine: Any = self._steps.coroutine
        while isinstance(coroutine, CoroutineType) and coroutine.cr_frame is not None:
            yield coroutine.cr_frame
            coroutine = coroutine.cr_await

    def cut_off(self) -> None:
        """End it, also where it swallows that it is cancelled."""
        self._steps.ends = True
        self.cancel()


def _new_task(loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any) -> asyncio.Task[Any]:
    """Make a task of the script in whose context it is started. The task factory of the event loop."""
    context = options.get("context")
    owner = _owner.get() if context is None else context.get(_owner)
    if owner is None:
        return asyncio.Task(coroutine, loop=loop, **options)
    return owner.coroutines.adopt(coroutine, owner, loop=loop, **options)


def _report(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Take what went wrong where nobody waits. The exception handler of the event loop.

    The error of a task comes when the task is freed: at any moment, in any thread.
    """
    task, error = context.get("future"), context.get("exception")
    if isinstance(task, _ScriptTask) and error is not None:
        loop.call_soon_threadsafe(task.owner.coroutines.log, error)
    else:
        loop.default_exception_handler(context)


async def _awaited(function: Callable[[], Awaitable[Any]]) -> Any:
    return await function()


def _error_of(task: _ScriptTask) -> BaseException | None:
    try:
        return task.exception()
    except asyncio.CancelledError as error:
        return error
