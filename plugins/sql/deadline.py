"""The time that one call may take."""

from __future__ import annotations

import math
from threading import local
from time import monotonic


class Deadline(local):
    """Starts anew with every call; drivers ask how much is left, in the thread of the call. Each has its own."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._ends = math.inf

    def start(self) -> None:
        """A call begins."""
        self._ends = monotonic() + self.seconds

    def has_passed(self) -> bool:
        """Whether the call takes too long."""
        return monotonic() > self._ends
