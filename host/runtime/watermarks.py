"""How far event time has come at each place in the order of events.

Lanes are not equally fast. What one of them has seen of later events must not make the earlier ones late that wait for
another: a batch comes with the watermark of what lies before it in the order in which events were read.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping


class Watermarks:
    """The watermarks of all sources, in ms. ``known``: those to begin with."""

    def __init__(self, known: Mapping[str, int]) -> None:
        self._base = dict(known)
        """Of what lies before everything that is under way."""
        self._later: dict[str, list[tuple[int, int]]] = {}
        """Places and watermarks of what lies behind, both ascending."""

    def observe(self, source: str, place: int, watermark: int) -> None:
        """Take note of the watermark behind a batch that was handled; ``place``: the batch's."""
        later = self._later.setdefault(source, [])
        at = bisect_left(later, (place + 1,))
        if (at and later[at - 1][1] >= watermark) or watermark <= self._base.get(source, watermark - 1):
            return
        first = bisect_left(later, (place,))
        higher = [each for each in later[at:] if each[1] > watermark]
        later[first:] = [(place, watermark), *higher]

    def before(self, place: int | None) -> dict[str, int]:
        """Return the watermarks of what lies before a place; None: of everything."""
        found = dict(self._base)
        for source, later in self._later.items():
            at = len(later) if place is None else bisect_left(later, (place,))
            if at:
                found[source] = later[at - 1][1]
        return found

    def settle(self, place: int) -> None:
        """Nothing before a place is under way any more."""
        for source, later in self._later.items():
            at = bisect_left(later, (place,))
            if at:
                self._base[source] = later[at - 1][1]
                del later[:at]

    def end(self, sources: Mapping[str, int]) -> None:
        """Sources have ended: event time comes to these watermarks."""
        self._later.clear()
        self._base |= sources
