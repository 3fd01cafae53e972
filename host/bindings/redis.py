"""``redis``, as Python scripts see it.

Types are those of plain handlers. In ``async def handle``, every command is to be awaited: ``await`` gives what is
declared here. A pipeline is not. Scans are read with ``async for``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Protocol


class Scan(Protocol):
    """What a scan finds, read page by page. Read once, while the event is handled for which it was asked."""

    def __iter__(self) -> Iterator[Any]:
        """Read one by one."""

    def to_array(self) -> list[Any]:
        """Return all that are left."""

    def close(self) -> None:
        """Let go of what is left."""


class Pipeline(Protocol):
    """Collects commands: any command by its name, which then returns nothing."""

    def command(self, name: str, *words: Any) -> None:
        """Collect a command as it is."""

    def __getattr__(self, name: str) -> Callable[..., None]:
        """Any command: ``pipeline.incr("visits")``."""


class Redis(Protocol):
    """One ``[resources.redis.NAME]``. Any command is a method; answers are JSON values.

    Raises ``CallError`` for a Redis that fails or refuses, ``TypeError`` and ``ValueError`` for wrong use.
    """

    def command(self, name: str, *words: Any) -> Any:
        """Send a command as it is: ``command("OBJECT ENCODING", "key")``."""

    def bytes(self) -> Redis:
        """Return the same Redis with answers as bytes in place of text."""

    def pipeline(self, function: Callable[[Pipeline], Any], *, transaction: bool = True) -> list[Any]:
        """Call the function with what collects commands, send these at once, and return their answers.

        ``transaction``: all or none of them, and nothing of others between (MULTI, EXEC). Where the function raises,
        nothing is sent.
        """

    def scan_iter(self, *, match: str | None = None, count: int | None = None, type: str | None = None) -> Scan:  # noqa: A002 - as Redis calls it
        """Find keys, on a cluster those of all nodes. ``count``: about how many to look at for one page."""

    def hscan_iter(self, key: str, *, match: str | None = None, count: int | None = None) -> Scan:
        """Find fields of a hash: ``[name, value]``."""

    def sscan_iter(self, key: str, *, match: str | None = None, count: int | None = None) -> Scan:
        """Find members of a set."""

    def zscan_iter(self, key: str, *, match: str | None = None, count: int | None = None) -> Scan:
        """Find members of a sorted set: ``[member, score]``."""

    def __getattr__(self, name: str) -> Callable[..., Any]:
        """Any command: ``redis("cache").hset("key", {"field": 1})``."""


class RedisResources(Protocol):
    """``redis``."""

    def __call__(self, name: str) -> Redis:
        """Return the Redis that ``[resources.redis.NAME]`` declares. Connects with the first command."""
