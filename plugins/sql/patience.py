"""Waiting that a signal can end, for drivers that wait in native code."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import current_thread, main_thread
from typing import TypeVar

Result = TypeVar("Result")


class Patience:
    """Has a thread call what blocks, while the main thread waits for it as Python does: a time limit can end that.

    What was left is still under way then: the connection that it uses is to be given up. No signal ends a call of
    another thread, so that one calls for itself.
    """

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1)

    def call(self, work: Callable[[], Result]) -> Result:
        """Return what ``work`` returns; raises what it raises."""
        if current_thread() is not main_thread():
            return work()
        thread = self._thread
        waiting = thread.submit(work)
        try:
            return waiting.result()
        finally:
            if not waiting.done():
                self._thread = ThreadPoolExecutor(1)
                thread.shutdown(wait=False)
