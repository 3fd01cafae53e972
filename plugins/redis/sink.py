"""The sink ``redis-stream``: emitted values become entries."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import Any

from trimtab.api import Sink, SinkContext, SinkError
from trimtab.plugins.redis.clients import connected
from trimtab.plugins.redis.errors import DRIVER, failure
from trimtab.plugins.redis.options import RedisSinkOptions

ANSWER_SECONDS = 10.0
"""How long connecting may take, and how long an answer."""


class StreamSink(Sink):
    """Adds the values of one write in one transaction: all or none."""

    def __init__(self, options: RedisSinkOptions, context: SinkContext) -> None:
        self._options = options
        self._context = context
        self._address = options.address()
        self._stack = AsyncExitStack()
        self._client: Any = None

    async def write(self, lines: bytes, count: int) -> None:  # noqa: ARG002 - the lines say how many they are
        """See :class:`Sink`. An answer that is lost leaves open whether the values were taken."""
        try:
            await self._add(lines.splitlines())
        except DRIVER as error:
            failed = failure(error)
            message = f"sinks.{self._context.name}: expected Redis ({self._address}) to take entries for "
            message += f"the stream {self._options.stream!r}, got {failed.text}"
            raise SinkError(message, retryable=failed.retryable) from None

    async def close(self) -> None:
        """See :class:`Sink`."""
        await self._stack.aclose()

    async def _add(self, values: list[bytes]) -> None:
        if self._client is None:
            self._client = await self._stack.enter_async_context(connected(self._address, ANSWER_SECONDS))
        async with self._client.pipeline(transaction=True) as pipeline:
            for value in values:
                pipeline.xadd(
                    self._options.stream, {self._options.field: value}, maxlen=self._options.maxlen, approximate=True
                )
            await pipeline.execute()
