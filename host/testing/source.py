"""A source that follows a script."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field

import msgspec

from trimtab.api import Records, Source, SourceContext, SourceError, SourceKind


class _NoOptions(msgspec.Struct, frozen=True):
    pass


@dataclass(frozen=True, slots=True)
class Pause:
    """The source stands still here: ``reached`` tells when, ``resume`` lets it go on."""

    reached: asyncio.Event = field(default_factory=asyncio.Event)
    resume: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass(frozen=True, slots=True)
class Eof:
    """The source ends here, though there may be more for its next run."""


@dataclass(frozen=True, slots=True)
class Abort:
    """The source fails here, once; its next run goes on behind it."""

    error: Exception = field(default_factory=lambda: SourceError("aborted by the test", retryable=True))


Item = bytes | Pause | Eof | Abort


class TestingSource(Source):
    """Delivers records one by one, and does what stands between them.

    Each run goes on where the one before has stopped. Positions count the records from 0, in the partition ``test``.
    """

    __test__ = False  # not a test case, whatever pytest makes of its name

    def __init__(self, items: Iterable[Item], context: SourceContext) -> None:
        self._items = list(items)
        self._context = context
        self._position = 0

    @classmethod
    def kind(cls, items: Iterable[Item], name: str = "testing") -> SourceKind[_NoOptions]:
        """A type of source whose sources all follow the same script."""
        script = list(items)
        return SourceKind(name, _NoOptions, lambda _options, context: cls(script, context), lambda _options: True)

    async def run(self) -> None:
        """Follow the script to its end."""
        while self._items:
            match self._items.pop(0):
                case bytes(record):
                    await self._deliver(record)
                case Pause(reached, resume):
                    reached.set()
                    await resume.wait()
                case Abort(error):
                    raise error
                case Eof():
                    return

    async def _deliver(self, record: bytes) -> None:
        await self._context.deliver(Records(record, self._position, [self._position], "test"))
        self._position += 1
