"""A sink that keeps what it gets."""

from __future__ import annotations

from typing import Any

import msgspec

from trimtab.api import Sink, SinkError, SinkKind
from trimtab.testing.waiting import Changes


class _NoOptions(msgspec.Struct, frozen=True):
    pass


class CollectingSink(Sink):
    """Keeps lines. Put errors into ``errors`` to make the next writes fail with them, taking nothing."""

    def __init__(self) -> None:
        self.lines: list[bytes] = []
        self.errors: list[SinkError] = []
        self.opened = 0
        self.closed = 0
        self._changes = Changes()

    @property
    def values(self) -> list[Any]:
        """The lines, decoded."""
        return [msgspec.json.decode(line) for line in self.lines]

    def kind(self, name: str = "collect") -> SinkKind[_NoOptions]:
        """A type of sink of which this is the only one."""
        return SinkKind(name, _NoOptions, lambda _options, _context: self)

    async def open(self) -> None:
        """Count."""
        self.opened += 1

    async def write(self, lines: bytes, count: int) -> None:
        """Keep the lines, or raise the next of ``errors``. Raises ``AssertionError`` for a wrong count."""
        if self.errors:
            raise self.errors.pop(0)
        taken = lines.splitlines()
        if len(taken) != count or not lines.endswith(b"\n"):
            raise AssertionError(f"expected {count} lines, each ended by a newline, got {lines!r}")
        self.lines += taken
        self._changes.notify()

    async def close(self) -> None:
        """Count."""
        self.closed += 1

    async def until_lines(self, count: int, seconds: float = 20) -> None:
        """Wait until there are that many lines. Raises ``TimeoutError``."""
        await self._changes.until(lambda: len(self.lines) >= count, seconds)
