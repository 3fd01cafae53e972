"""The time limit: a timer signal that raises into user code, Python and JavaScript alike."""

from __future__ import annotations

import signal
from collections.abc import Callable
from contextlib import AbstractContextManager
from time import monotonic
from types import FrameType

from trimtab.engine.run import HandlerRun
from trimtab.engine.transaction import Transaction

LONGEST_TICK = 0.02
SHORTEST_TICK = 0.001
BETWEEN_HEARTBEATS = 0.1
"""Seconds, all three."""


class TimeLimitExceeded(BaseException):
    """User code ran for longer than it may. Not an ``Exception``, so that scripts do not catch it by accident."""

    def __init__(self, seconds: float) -> None:
        super().__init__(
            f"expected to end within {seconds:g} s, was still running; do less at once or ask for a longer timeout"
        )
        self.seconds = seconds


class SignalLimits:
    """The ``Limits`` of a process that runs scripts on its main thread. Uses ``SIGALRM`` and the real-time timer.

    A loop over events sets :attr:`mark` for each event and no more: a tick of the timer looks whether the mark
    has changed since the tick before. So a limit is exceeded by up to two ticks (of a fifth of the limit, at most
    20 ms) before it is enforced, and never enforced too early.

    ``heartbeat`` is called while user code runs, at most every 100 ms: the lane's sign of life. It must not block.
    """

    def __init__(self, heartbeat: Callable[[], None] | None = None) -> None:
        self.mark: object = None
        """What is being worked on, compared by identity. None: nothing of the user's, so nothing is limited."""
        self._heartbeat = heartbeat
        self._next_beat = 0.0

    def running(self, seconds: float) -> AbstractContextManager[None]:
        """Limit each piece of work inside the block; see ``Limits``. May be nested: the inner limit counts, and the
        outer one goes on where it was, with the time that the inner block took. Main thread only.
        """
        return _Running(self, seconds)

    def is_exceeded(self, error: BaseException) -> bool:
        """See ``Limits``."""
        return isinstance(error, TimeLimitExceeded)

    def beat(self, now: float) -> None:
        """Give the sign of life if it is due. ``now``: monotonic seconds."""
        if self._heartbeat is not None and now >= self._next_beat:
            self._next_beat = now + BETWEEN_HEARTBEATS
            self._heartbeat()


class _Running(AbstractContextManager[None]):
    """One block under a limit. A class and no generator, so that :data:`_WHOLE` covers all of its code."""

    def __init__(self, limits: SignalLimits, seconds: float) -> None:
        self._limits = limits
        self._seconds = seconds

    def __enter__(self) -> None:
        self._outer_mark = self._limits.mark
        self._limits.mark = self._seen = object()
        self._since = monotonic()
        tick = max(SHORTEST_TICK, min(LONGEST_TICK, self._seconds / 5))
        self._outer_handler = signal.signal(signal.SIGALRM, self._tick)
        self._outer_timer = signal.setitimer(signal.ITIMER_REAL, tick, tick)

    def __exit__(self, *_error: object) -> None:
        signal.setitimer(signal.ITIMER_REAL, *self._outer_timer)
        signal.signal(signal.SIGALRM, self._outer_handler)
        self._limits.mark = self._outer_mark

    def _tick(self, _signal: int, frame: FrameType | None) -> None:
        now = monotonic()
        self._limits.beat(now)
        mark = self._limits.mark
        if mark is not self._seen or mark is None:
            self._seen, self._since = mark, now
        elif now - self._since > self._seconds and not (frame and frame.f_code in _WHOLE):
            raise TimeLimitExceeded(self._seconds)


_WHOLE = frozenset(
    {
        _Running.__enter__.__code__,
        _Running.__exit__.__code__,
        HandlerRun.emit.__code__,
        Transaction._write.__code__,  # noqa: SLF001
        Transaction._put.__code__,  # noqa: SLF001
    }
)
"""Code that runs to its end before the limit is enforced (at the next tick): timers are always put back, and a value
is emitted, or stored, whole or not at all."""
