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

    A request is answered once its records are here in memory. At most one request's records wait for lanes: until
    they are delivered, others are told to come back.
    """

    def __init__(self, options: HttpSourceOptions, context: SourceContext) -> None:
        self._options = options
        self._context = context
        self._position = 0
        self._running = False
        self._accepted: Records | None = None
        self._changed = asyncio.Event()

    async def run(self) -> None:
        """Take requests until cancelled. When it has ended, all that was accepted is delivered, and nothing follows."""
        self._running = True
        delivering = asyncio.create_task(self._deliver_accepted())
        try:
            await asyncio.shield(delivering)
        finally:
            self._running = False
            self._changed.set()
            await delivering

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
        if self._accepted is not None or not self._context.has_room():
            raise Refusal(
                429,
                expected="room for events",
                got="a stream that is busy with earlier ones",
                hint="send it again after the time in Retry-After",
                headers=_LATER,
            )

    def accept(self, records: Sequence[bytes]) -> None:
        """Take the records of one request into memory.

        Raises :class:`Refusal` when there is no room any more, before anything is taken: a sender is told to come
        back rather than kept waiting with its body in memory.
        """
        self.check_room()
        start = self._position
        self._position = end = start + len(records)
        self._accepted = Records(b"\n".join(records), positions=range(start, end), partition=self._context.partition)
        self._changed.set()

    async def _deliver_accepted(self) -> None:
        """Deliver request after request, until the source has stopped and nothing is left."""
        while self._running or self._accepted is not None:
            if self._accepted is None:
                self._changed.clear()
                await self._changed.wait()
            else:
                await self._context.deliver(self._accepted)
                self._accepted = None
