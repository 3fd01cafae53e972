"""What an interpreter is entered for."""

from __future__ import annotations

from collections.abc import Callable, Set
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any

from trimtab.api import HandlerRun, HandlerSpec
from trimtab.engine.script import Tasks

if TYPE_CHECKING:
    from asyncio import Future

    CallOutside = Callable[[Callable[[], Any]], Future[Any]]
    """Makes a call to the outside whose answer comes later."""


class Turn:
    """One piece of work: a batch of events, an event in flight, a hook. By itself one that has no event in hand."""

    lasts = False
    """What is made meanwhile lasts as long as the interpreter."""
    flies = False
    """It goes on when the interpreter is left, until it is over."""
    waiting: Set[int] = frozenset()
    """The numbers of calls to the outside that are under way."""

    def run_at(self, event: int) -> HandlerRun | None:  # noqa: ARG002 - for the others
        """Return the run with event number ``event`` in hand, or None where ``emit`` and the like are of no use."""
        return None

    def outside(self) -> CallOutside | None:
        """Return what makes calls to the outside; None: they are made at once, and answer directly."""
        return None


class Loading(Turn):
    """The top level, and ``open()`` or ``close()``."""

    lasts = True


class Hook(Loading):
    """``async open()`` or ``close()``: calls to the outside are made at once, and give promises that are settled."""

    def __init__(self, tasks: Tasks) -> None:
        self._tasks = tasks

    def outside(self) -> CallOutside:
        """See :class:`Turn`."""
        return self._at_once

    def _at_once(self, function: Callable[[], Any]) -> Future[Any]:
        future = self._tasks.loop.create_future()
        try:
            future.set_result(function())
        except Exception as error:  # noqa: BLE001 - whatever it is, the script gets it
            future.set_exception(error)
        return future


class Ticket(Turn):
    """One event in flight. ``done`` is called when it has ended; ``answered`` with each call's number and answer."""

    flies = True

    def __init__(
        self,
        number: int,
        spec: HandlerSpec,
        run: HandlerRun,
        tasks: Tasks,
        done: Callable[[], None],
        answered: Callable[[Ticket, int, bytes], None],
    ) -> None:
        self.number = number
        self.spec = spec
        self.run = run
        self.done = done
        self.live = True
        """It has neither ended nor been given up."""
        self.waiting: set[int] = set()
        self._tasks = tasks
        self._answered = answered
        self._started = perf_counter_ns()

    def run_at(self, event: int) -> HandlerRun | None:  # noqa: ARG002
        """See :class:`Turn`."""
        return self.run if self.live else None

    def outside(self) -> CallOutside:
        """See :class:`Turn`."""
        return self._call

    def answered(self, number: int, answer: bytes) -> None:
        """A call has ended that it waits for."""
        self._answered(self, number, answer)

    def age(self) -> int:
        """Return how long ago it was started, in nanoseconds."""
        return perf_counter_ns() - self._started

    def _call(self, function: Callable[[], Any]) -> Future[Any]:
        if not self.live:
            raise TimeoutError("expected a call while the event is handled, but its time is up")
        return self._tasks.call(function)
