"""The source ``redis-stream``: a member of a consumer group."""

from __future__ import annotations

import asyncio
import hashlib
import socket
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from redis import exceptions

from trimtab.api import CodecError, Source, SourceContext, SourceError, parse_duration
from trimtab.plugins.redis.clients import make_async_client
from trimtab.plugins.redis.entries import Entry, position, record, records, shown
from trimtab.plugins.redis.errors import failure
from trimtab.plugins.redis.options import RedisSourceOptions

ANSWER_SECONDS = 5.0
"""How long connecting may take, and how long an answer."""
BLOCK_SECONDS = 1.0
"""How long the server waits for new entries before it answers that there are none."""
MOST_UNACKNOWLEDGED = 10_000
"""Entries that may be on their way through the stream; then no more are read."""
_CLAIMS_PER_PERIOD = 3
_BEGINNING = b"0-0"


class StreamSource(Source):
    """Reads new entries, those that it had taken before and not acknowledged, and those that a dead consumer has left.

    An entry is acknowledged when it was handled. Until then it belongs to this consumer: as long as the source runs it
    tells the server so, however long that takes, and others do not claim it.
    """

    def __init__(self, options: RedisSourceOptions, context: SourceContext, clock: Callable[[], float] = time.monotonic):
        self._options = options
        self._context = context
        self._clock = clock
        self._stream = options.stream
        self._group = options.group
        self._consumer = options.consumer or _consumer(context)
        self._claim_after = parse_duration(options.claim_after)
        self._on_their_way: dict[bytes, None] = {}
        self._handled: list[bytes] = []
        self._changed = asyncio.Event()
        self._acknowledged: bytes | None = None
        self._waiting: set[asyncio.Task[None]] = set()

    def position(self) -> str | None:
        """Return the id of the last entry that was acknowledged."""
        return None if self._acknowledged is None else self._acknowledged.decode()

    async def run(self) -> None:
        """See :class:`Source`. What is on its way when this ends is acknowledged when it runs again."""
        address = self._options.address()
        async with self._errors(), make_async_client(address, ANSWER_SECONDS + BLOCK_SECONDS) as client:
            await self._make_group(client)
            try:
                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(self._acknowledge(client))
                    tasks.create_task(self._claim(client))
                    tasks.create_task(self._read(client))
            except ExceptionGroup as group:
                raise group.exceptions[0] from None

    # --- reading ---

    async def _read(self, client: Any) -> None:
        """Read what was taken before and is still pending, then what is new."""
        after = _BEGINNING
        while entries := await self._ask(client, after):
            await self._take(entries)
            after = entries[-1].id
        while True:
            await self._take(await self._ask(client, None))

    async def _ask(self, client: Any, after: bytes | None) -> list[Entry]:
        """Read new entries, or, given an id, own pending ones behind it."""
        await self._room()
        answer = await client.xreadgroup(
            self._group,
            self._consumer,
            {self._stream: b">" if after is None else after},
            count=self._options.batch,
            block=int(BLOCK_SECONDS * 1000) if after is None else None,
        )
        return [Entry(entry, fields) for _stream, found in answer for entry, fields in found]

    async def _claim(self, client: Any) -> None:
        """Take over, now and then, what has been pending for long, and keep what is on its way from being taken over."""
        while True:
            await self._keep(client)
            start = _BEGINNING
            while True:
                await self._room()
                start, entries = await self._autoclaim(client, start)
                await self._take(entries)
                if start == _BEGINNING:
                    break
            await asyncio.sleep(self._claim_after / _CLAIMS_PER_PERIOD)

    async def _autoclaim(self, client: Any, start: bytes) -> tuple[bytes, list[Entry]]:
        answer = await client.xautoclaim(
            self._stream,
            self._group,
            self._consumer,
            min_idle_time=int(self._claim_after * 1000),
            start_id=start,
            count=self._options.batch,
        )
        return answer[0], [Entry(entry, fields) for entry, fields in answer[1] if entry is not None]

    async def _keep(self, client: Any) -> None:
        """Claim what this consumer has already: the server then counts its idle time anew."""
        kept = list(self._on_their_way)
        for first in range(0, len(kept), self._options.batch):
            ids = kept[first : first + self._options.batch]
            await client.xclaim(self._stream, self._group, self._consumer, 0, ids, justid=True)

    async def _room(self) -> None:
        while len(self._on_their_way) >= MOST_UNACKNOWLEDGED:
            await self._change()

    # --- delivering ---

    async def _take(self, entries: Sequence[Entry]) -> None:
        """Deliver entries, but for those that are on their way already."""
        taken: list[tuple[bytes, bytes]] = []
        for entry in entries:
            if entry.id in self._on_their_way:
                continue
            self._on_their_way[entry.id] = None
            if (text := await self._record(entry)) is None:
                self._done(entry.id)
            else:
                taken.append((entry.id, text))
        await self._deliver(taken)

    async def _record(self, entry: Entry) -> bytes | None:
        """Return the record of an entry; None for one that has none. It is rejected, if it is still there."""
        if not entry.fields:
            return None
        try:
            return record(entry.fields, self._options.field, self._context.codec)
        except CodecError as error:
            await self._context.reject(shown(entry.fields), position(entry.id), str(error))
            return None

    async def _deliver(self, taken: Sequence[tuple[bytes, bytes]]) -> None:
        delivered = 0
        try:
            for part in records(taken, self._stream, self._context.codec) if taken else ():
                count = len(part.positions or ())
                handled = await self._context.deliver(part)
                ids = [entry for entry, _text in taken[delivered : delivered + count]]
                handled.add_done_callback(lambda future, ids=ids: self._settle(future, ids))
                delivered += count
        finally:
            for entry, _text in taken[delivered:]:  # broken off: they are pending still, and read again
                self._on_their_way.pop(entry, None)

    def _settle(self, handled: asyncio.Future[None], ids: Sequence[bytes]) -> None:
        if handled.cancelled() or handled.exception() is not None:
            for entry in ids:
                self._on_their_way.pop(entry, None)
        else:
            for entry in ids:
                self._done(entry)

    # --- acknowledging ---

    def _done(self, entry: bytes) -> None:
        self._handled.append(entry)
        self._changed.set()

    async def _change(self) -> None:
        self._changed.clear()
        await self._changed.wait()

    async def _acknowledge(self, client: Any) -> None:
        while True:
            while ids := self._handled[: self._options.batch]:
                await client.xack(self._stream, self._group, *ids)
                del self._handled[: len(ids)]
                for entry in ids:
                    self._on_their_way.pop(entry, None)
                self._acknowledged = ids[-1]
                self._changed.set()
            await self._change()
