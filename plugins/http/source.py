"""The source: events come by ``POST /sources/NAME``."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

from trimtab.api import Records, Source, SourceContext
from trimtab.plugins.http.options import HttpSourceOptions
from trimtab.plugins.http.refusals import Refusal

if TYPE_CHECKING:
    from starlette.routing import BaseRoute

_LATER = {"Retry-After": "1"}


class HttpSource(Source):
    """Takes events while :meth:`run` runs; before and after, requests are answered with 503.

    The one route has the path ``/``: the host serves it at ``/sources/NAME/`` and, by adding the slash, at
    ``/sources/NAME``. It answers every method itself (405 but for POST). Positions count the records that were
    accepted in this run of the host.
    """

    def __init__(self, options: HttpSourceOptions, context: SourceContext) -> None:
        self._options = options
        self._context = context
        self._position = 0
        self._running = False
        self._turn = asyncio.Lock()

    async def run(self) -> None:
        """Take requests until cancelled. When it has ended, nothing more is delivered."""
        self._running = True
        try:
            await asyncio.Event().wait()
        finally:
            self._running = False
            async with self._turn:  # a request that is being delivered was not refused in time: let it end
                pass

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
        if not self._context.has_room():
            raise Refusal(
                429,
                expected="room for events",
                got="a stream that is busy with earlier ones",
                hint="send it again after the time in Retry-After",
                headers=_LATER,
            )

    async def accept(self, records: Sequence[bytes]) -> None:
        """Deliver the records of one request, one request at a time: positions never interleave.

        Raises :class:`Refusal` when there is no room any more, before anything is delivered: a sender is told to
        come back rather than kept waiting with its body in memory.
        """
        async with self._turn:
            self.check_room()
            start = self._position
            self._position = end = start + len(records)
            await self._context.deliver(
                Records(b"\n".join(records), positions=range(start, end), partition=self._context.partition)
            )
