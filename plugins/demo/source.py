"""The source ``demo``: the reports of a simulated fleet, or of racks, at a steady rate."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Literal, Protocol

import msgspec
from msgspec import Meta

from trimtab.api import Records, Source, SourceContext, SourceError
from trimtab.plugins.demo.fleet import make_fleet
from trimtab.plugins.demo.racks import make_racks

_SHORTEST_WAIT = 0.01
_MOST_AT_ONCE = 512


class Reporting(Protocol):
    """What has something to report."""

    def report(self, timestamp: int) -> dict[str, Any]:
        """Return what it reports at a time, in ms since the epoch."""


class DemoOptions(msgspec.Struct, frozen=True):
    """Keys of a source of type ``demo``."""

    scene: Annotated[Literal["fleet", "racks"], Meta(description="What reports: vehicles, or racks that heat up.")] = (
        "fleet"
    )
    rate: Annotated[float, Meta(gt=0, le=1e6, description="Events per second, of all vehicles together.")] = 5.0
    vehicles: Annotated[int, Meta(ge=1, le=100_000, description="How many vehicles, or racks, report in turn.")] = 5
    count: Annotated[
        Annotated[int, Meta(ge=0)] | None,
        Meta(description="End after that many events. Without it the source never ends."),
    ] = None
    seed: Annotated[int, Meta(description="The same seed makes the same events, but for their time.")] = 1


def create_source(options: DemoOptions, context: SourceContext) -> Source:
    """Make the source. Raises :class:`SourceError` for a codec that is not JSON."""
    if not context.codec.is_json:
        raise SourceError(
            f'sources.{context.name}.codec: a source of type demo expected "json", got {context.codec.name!r}',
            retryable=False,
        )
    return DemoSource(options, context)


class DemoSource(Source):
    """Delivers what is due, then waits. While the stream is busy events become late, but none is left out."""

    def __init__(self, options: DemoOptions, context: SourceContext) -> None:
        self._options = options
        self._context = context
        make: Callable[[int, int], Sequence[Reporting]] = make_racks if options.scene == "racks" else make_fleet
        self._reporting = make(options.vehicles, options.seed)

    async def run(self) -> None:
        """Deliver until the count is reached."""
        rate, count, sent = self._options.rate, self._options.count, 0
        epoch_ms, began = time.time() * 1000, time.monotonic()
        while count is None or sent < count:
            due = int((time.monotonic() - began) * rate) + 1
            many = min(due - sent, _MOST_AT_ONCE, due if count is None else count - sent)
            if many > 0:
                await self._context.deliver(self._records(epoch_ms, sent, many))
                sent += many
            else:
                await asyncio.sleep(max(_SHORTEST_WAIT, began + sent / rate - time.monotonic()))

    def _records(self, epoch_ms: float, first: int, many: int) -> Records:
        numbers = range(first, first + many)
        events = [self._event(number, int(epoch_ms + number * 1000 / self._options.rate)) for number in numbers]
        return Records(b"\n".join(events), first, numbers, self._context.partition)

    def _event(self, number: int, timestamp: int) -> bytes:
        return msgspec.json.encode(self._reporting[number % len(self._reporting)].report(timestamp))
