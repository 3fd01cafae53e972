"""The source: events come by ``POST /sources/NAME``."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

from trimtab.api import Source, SourceContext, StateError
from trimtab.plugins.http.options import HttpSourceOptions
from trimtab.plugins.http.refusals import Refusal

if TYPE_CHECKING:
    from starlette.routing import BaseRoute

MOST_UNDER_WAY = 64 << 20
"""Bytes of records that may wait for the disk; then requests are told to come back."""

_LATER = {"Retry-After": "1"}


class HttpSource(Source):
    """Takes events while :meth:`run` runs; before and after, requests are answered with 503.

    The one route has the path ``/``: the host serves it at ``/sources/NAME/`` and, by adding the slash, at
    ``/sources/NAME``. It answers every method itself (405 but for POST).

    A request is answered once its records are in the journal. Those of several requests may go there together.
    """

    def __init__(self, options: HttpSourceOptions, context: SourceContext) -> None:
        self._options = options
        self._context = context
        self._running = False
        self._under_way = 0
        """Bytes of records on their way into the journal, with one behind each."""
        self._idle = asyncio.Event()
        self._idle.set()

    async def run(self) -> None:
        """Take requests until cancelled. When it has ended, all that was begun is accepted, and nothing follows."""
        self._running = True
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            self._running = False
            await self._idle.wait()

    def routes(self) -> Sequence[BaseRoute]:
        """Return the one route."""
        from starlette.routing import Route

        from trimtab.plugins.http.intake import Intake

        return (Route("/", Intake(self._options, self._context.codec, self)),)

    def check_room(self) -> None:
        """Raise :class:`Refusal` when events cannot be taken now."""
        if not self._running:
            raise Refusal(
                503,
                expected="a source that runs",
                got=f"{self._context.name} while the host starts or stops",
                hint="send it again later",
                headers=_LATER,
            )
        if self._under_way >= MOST_UNDER_WAY or not self._context.has_room():
            raise Refusal(
                429,
                expected="room for events",
                got="a stream that is busy with earlier ones",
                hint="send it again after the time in Retry-After",
                headers=_LATER,
            )

    async def accept(self, records: Sequence[bytes]) -> None:
        """Take the records of one request; they are in the journal when this returns.

        Raises :class:`Refusal` when there is no room any more, before anything is taken: a sender is told to come
        back rather than kept waiting with its body in memory.
        """
        self.check_room()
        size = sum(map(len, records)) + len(records)
        self._under_way += size
        self._idle.clear()
        try:
            await self._context.accept(records)
        except StateError:
            raise _not_written() from None
        finally:
            self._under_way -= size
            if not self._under_way:
                self._idle.set()


def _not_written() -> Refusal:
    return Refusal(
        503,
        expected="a journal that takes events",
        got="one that cannot be written; the log of the host says why",
        hint="send it again later",
        headers=_LATER,
    )
