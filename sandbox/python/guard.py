"""The one place where user code is called: under the limits, and whatever it raises becomes a fault."""

from __future__ import annotations

import gc
from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from time import perf_counter_ns
from types import FrameType
from typing import Any, TypeVar

from trimtab.engine.batch import Events
from trimtab.engine.run import HandlerRun
from trimtab.engine.script import DEFAULT_TIMEOUT, Limits
from trimtab.errors import Fault, ScriptError
from trimtab.sandbox.memory import lifted
from trimtab.sandbox.python.faults import fault_of, waiting_place

Result = TypeVar("Result")

GOLDEN = 0.6180339887498949
"""Steps of this share of a circle spread points evenly over it, however many there will be."""


_NOT_FOR_THE_LOOP = (SystemExit, KeyboardInterrupt, MemoryError)
"""Made beforehand: where memory has run out, not even a tuple can be made."""


class Guard:
    """Calls the user code of one script instance.

    A time limit is raised at any moment in which ``limits.mark`` stands for user code. So the mark is None
    wherever the guard itself works, and set to something new before each piece of user code: a call, what runs
    when its frames are freed (``__del__``), the text of an error.
    """

    def __init__(self, script: str, texts: Mapping[str, str], limits: Limits) -> None:
        self._script = script
        self._texts = texts
        self._limits = limits
        self._turn = 0.0
        self._memory = lifted()  # anew before each piece of work: once memory has run out it cannot be made

    def call(self, function: Callable[[], Result], seconds: float = DEFAULT_TIMEOUT) -> Result:
        """Call a function of the user. Raises :class:`ScriptError` for whatever it raises."""
        limits = self._limits
        self._memory = lifted()
        with limits.running(seconds):
            try:
                result = function()
                limits.mark = None
                return result
            except BaseException as error:  # noqa: BLE001 - also SystemExit and the time limit are the script's
                limits.mark = None
                self._memory.lift()
                fault = self._settled(error)
        raise ScriptError(fault)

    def step(self, function: Callable[..., Result], arguments: tuple[Any, ...], seconds: float) -> Result:
        """Have a coroutine of the user go on until it waits or ends. Raises what it raises, for who waits for it; but
        :class:`ScriptError` for what would end the event loop, or holds all the memory.
        """
        limits = self._limits
        self._memory = lifted()
        with limits.running(seconds):
            try:
                result = function(*arguments)
                limits.mark = None
                return result
            except _NOT_FOR_THE_LOOP as error:
                limits.mark = None
                self._memory.lift()
                fault = self._settled(error)
            except BaseException:
                limits.mark = None
                raise
        gc.collect()  # cycles that hold the memory must go at once
        raise ScriptError(fault)

    def waiting_at(self, frames: Iterable[FrameType]) -> tuple[str, int] | None:
        """Return the innermost of some frames that is in the user's own files, as file and line."""
        return waiting_place(frames, self._texts)

    def fault(self, error: BaseException) -> Fault:
        """Describe an error that user code has raised before."""
        self._memory = lifted()
        with self._limits.running(DEFAULT_TIMEOUT):
            self._limits.mark = None
            self._memory.lift()
            return self._settled(error)

    def each(
        self,
        function: Callable[[Any, Any], object],
        context: Callable[[Events, int], object],
        events: Events,
        selection: Sequence[int],
        values: Sequence[Any],
        run: HandlerRun,
        seconds: float,
    ) -> None:
        """Call a handler for each selected event with its value and context; record faults and the time of one."""
        self._turn = (self._turn + GOLDEN) % 1
        sample = int(self._turn * len(selection))
        parts = [slice(sample), slice(sample, sample + 1), slice(sample + 1, None)]
        self._memory = lifted()
        with self._limits.running(seconds):
            self._limits.mark = None
            for part in parts:
                started = perf_counter_ns()
                self._loop(function, context, events, selection[part], values[part], run)
                if part is parts[1]:
                    run.samples.append(perf_counter_ns() - started)

    def _loop(
        self,
        function: Callable[[Any, Any], object],
        context: Callable[[Events, int], object],
        events: Events,
        selection: Sequence[int],
        values: Sequence[Any],
        run: HandlerRun,
    ) -> None:
        limits = self._limits
        error: BaseException | None = None
        done = 0
        while True:
            try:
                full, error = isinstance(error, MemoryError), None  # frees the frames of the call that failed
                if full:
                    gc.collect()  # cycles that hold the memory must go at once
                for i, value in zip(selection[done:], values[done:], strict=True):
                    run.index = limits.mark = i
                    function(value, context(events, i))
                limits.mark = None
                return
            except BaseException as raised:  # noqa: BLE001 - also SystemExit and the time limit are the script's
                limits.mark = None
                self._memory.lift()
                try:
                    done = _begun(selection, done, run.index)
                    run.fail(selection[done - 1], self._fault(raised))
                    error = raised
                    limits.mark = object()  # for what is freed with the error
                finally:
                    self._memory.restore()

    def _settled(self, error: BaseException) -> Fault:
        """Describe an error that is freed next. Without the memory limit, which is in force again then."""
        try:
            fault = self._fault(error)
            self._limits.mark = object()  # for what is freed with the error
            return fault
        finally:
            self._memory.restore()

    def _fault(self, error: BaseException) -> Fault:
        limits = self._limits
        try:
            limits.mark = object()
            fault = fault_of(error, self._script, self._texts)
            limits.mark = None
            return fault
        except BaseException:  # noqa: BLE001 - the error's own text cannot be made
            limits.mark = None
            return Fault(type(error).__name__, "(an error whose text cannot be made)", self._script)


def _begun(selection: Sequence[int], done: int, index: int) -> int:
    """Return how many events were begun: up to the one in hand; at least one more than before, so that it ends."""
    return min(max(bisect_right(selection, index), done + 1), len(selection))
