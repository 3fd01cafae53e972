"""The source ``redis-stream``: a member of a consumer group."""

from __future__ import annotations

import asyncio
import hashlib
import socket
from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import msgspec
from redis import exceptions

from trimtab.api import CodecError, Position, Source, SourceContext, SourceError, parse_duration
from trimtab.plugins.redis.clients import connected
from trimtab.plugins.redis.entries import Entry, position, record, records, shown
from trimtab.plugins.redis.errors import DRIVER, failure
from trimtab.plugins.redis.options import RedisSourceOptions

ANSWER_SECONDS = 5.0
"""How long connecting may take, and how long an answer."""
BLOCK_SECONDS = 1.0
"""How long the server waits for new entries before it answers that there are none."""
FINISH_SECONDS = 5.0
"""How long the end of the source waits for the checkpoint that holds what was delivered, and for the server then. What
is not acknowledged by then, the next run acknowledges."""
MOST_UNACKNOWLEDGED = 100_000
"""Entries that may be taken and not acknowledged, which takes until the next checkpoint; then no more are read."""

_CLAIMS_PER_PERIOD = 3
_AGAIN_SECONDS = 0.05
_BEGINNING = b"0-0"
_GONE = ("NOGROUP", "UNBLOCKED")
"""How errors begin that say that the group, or the whole stream, was deleted."""


class Noted(msgspec.Struct, frozen=True):
    """What a checkpoint keeps beside the position."""

    group: str
    ids: str
    """Of the entries that were delivered and not acknowledged, with spaces in between."""


class StreamSource(Source):
    """Reads new entries, those that it had taken before and not acknowledged, and those that a dead consumer has left.

    An entry is acknowledged when a checkpoint holds it. Until then it belongs to this consumer: as long as the source
    runs it tells the server so, however long that takes, and others do not claim it. A later run acknowledges the
    entries of the last checkpoint that this one has not acknowledged any more, and delivers all others.
    """

    def __init__(self, options: RedisSourceOptions, context: SourceContext) -> None:
        self._options = options
        self._context = context
        self._stream = options.stream
        self._group = options.group
        self._consumer = options.consumer or _consumer(context)
        self._claim_after = parse_duration(options.claim_after)
        self._taken: set[bytes] = set()
        """On their way into the stream."""
        self._delivered: set[bytes] = set()
        """In the stream, or rejected, and not acknowledged yet."""
        self._handled: list[bytes] = []
        """Of those, the ones that may be acknowledged."""
        self._changed = asyncio.Event()
        self._acknowledged: bytes | None = None
        self._has_worked = False

    def position(self) -> str | None:
        """Return the id of the last entry that was acknowledged."""
        return None if self._acknowledged is None else self._acknowledged.decode()

    def resume(self, position: Position) -> None:
        """Acknowledge what the checkpoint holds, before anything is read."""
        try:
            noted = msgspec.convert(position.noted, Noted)
        except msgspec.ValidationError:
            return  # a source of another type had this name
        if (position.partition, noted.group) == (self._stream, self._group):
            ids = noted.ids.encode().split()
            self._delivered.update(ids)
            self._settle_all(ids)

    def note(self) -> dict[str, str]:
        """Return what a checkpoint at this moment holds and is not acknowledged."""
        return {"group": self._group, "ids": b" ".join(self._delivered).decode()}

    async def run(self) -> None:
        """See :class:`Source`. Ends when what was delivered is acknowledged, or takes too long for that."""
        address = self._options.address()
        async with self._errors(address), connected(address, ANSWER_SECONDS + BLOCK_SECONDS) as client:
            await _ended(self._make_group(client, b"$" if self._options.start == "end" else _BEGINNING))
            await _ended(self._acknowledge_handled(client))
            while True:
                self._has_worked = True
                try:
                    await self._work(client)
                except exceptions.ResponseError as error:
                    if not str(error).startswith(_GONE):
                        raise
                await _ended(self._make_group(client, _BEGINNING))  # nothing says how far the one that is gone had come

    async def _work(self, client: Any) -> None:
        """Do everything at once, until something fails."""
        acknowledging = asyncio.create_task(self._acknowledge(client))
        reading = [asyncio.create_task(work(client)) for work in (self._read, self._claim, self._keep)]
        try:
            failed, _others = await asyncio.wait([acknowledging, *reading], return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            await _uncut(self._finish(reading, acknowledging))
            raise
        finally:
            await _uncut(_stop([acknowledging, *reading]))
        failed.pop().result()

    async def _finish(self, reading: Sequence[asyncio.Task[None]], acknowledging: asyncio.Task[None]) -> None:
        await _stop(reading)
        idle = asyncio.create_task(self._until(lambda: not self._delivered))
        await asyncio.wait([idle, acknowledging], timeout=FINISH_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        await _stop([idle])

    async def _make_group(self, client: Any, start: bytes) -> None:
        try:
            await client.xgroup_create(self._stream, self._group, start, mkstream=True)
        except exceptions.ResponseError as error:
            if not str(error).startswith("BUSYGROUP"):  # it is there already
                raise

    @asynccontextmanager
    async def _errors(self, address: object) -> AsyncIterator[None]:
        """Once it has worked, whatever happens is no reason to end the host."""
        try:
            yield
        except DRIVER as error:
            failed = failure(error)
            message = f"sources.{self._context.name}: expected Redis ({address}) to give the stream {self._stream!r}"
            raise SourceError(f"{message}, got {failed.text}", retryable=failed.retryable or self._has_worked) from None

    # --- reading ---

    async def _read(self, client: Any) -> None:
        """Read what was taken before and is still pending, then what is new."""
        after = _BEGINNING
        while entries := await self._ask(client, after):
            after = entries[-1].id
        while True:
            await self._ask(client, None)

    async def _ask(self, client: Any, after: bytes | None) -> list[Entry]:
        """Take new entries, or, given an id, own pending ones behind it. Returns them."""
        await self._until(self._has_room)
        known = self._known() if after is not None else ()
        answer = await client.xreadgroup(
            self._group,
            self._consumer,
            {self._stream: b">" if after is None else after},
            count=self._options.batch,
            block=int(BLOCK_SECONDS * 1000) if after is None else None,
        )
        entries = [Entry(entry, fields) for _stream, found in answer for entry, fields in found]
        await self._take(entries, known)
        return entries

    async def _claim(self, client: Any) -> None:
        """Now and then, take over what has been pending for long."""
        while True:
            start = _BEGINNING
            while True:
                await self._until(self._has_room)
                known = self._known()
                start, entries = await self._autoclaim(client, start)
                await self._take(entries, known)
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
        """Now and then, claim what this consumer has already: the server then counts its idle time anew."""
        while True:
            kept = [*self._taken, *self._delivered]
            for first in range(0, len(kept), self._options.batch):
                ids = kept[first : first + self._options.batch]
                await client.xclaim(self._stream, self._group, self._consumer, 0, ids, justid=True)
            await asyncio.sleep(self._claim_after / _CLAIMS_PER_PERIOD)

    def _has_room(self) -> bool:
        return len(self._taken) + len(self._delivered) < MOST_UNACKNOWLEDGED

    def _known(self) -> set[bytes]:
        """Entries that an answer may hold although they were taken: before they were acknowledged, it was made."""
        return self._taken | self._delivered

    # --- delivering ---

    async def _take(self, entries: Sequence[Entry], known: Collection[bytes]) -> None:
        """Deliver entries, but for those that are known."""
        seen = (known, self._taken, self._delivered)
        left = {entry.id: entry.fields for entry in entries if not any(entry.id in ids for ids in seen)}
        self._taken.update(left)
        try:
            for part, ids in records(await self._texts(left), self._stream, self._context.codec):
                handled = await self._context.deliver(part)
                self._have_gone(ids, left)
                handled.add_done_callback(partial(self._settle, ids))
        finally:  # what was not delivered is pending still, and read again
            self._taken.difference_update(left)

    async def _texts(self, left: dict[bytes, Mapping[bytes, bytes] | None]) -> list[tuple[bytes, bytes]]:
        """Return ids with their records; entries that have none leave ``left``."""
        texts = []
        for entry, fields in list(left.items()):
            text = await self._text(entry, fields)
            if text is None:
                self._have_gone([entry], left)
                self._settle_all([entry])
            else:
                texts.append((entry, text))
        return texts

    async def _text(self, entry: bytes, fields: Mapping[bytes, bytes] | None) -> bytes | None:
        if not fields:
            return None  # deleted
        try:
            return record(fields, self._options.field, self._context.codec)
        except CodecError as error:
            await self._context.reject(shown(fields), position(entry), str(error), self._options.stream)
            return None

    def _have_gone(self, ids: Sequence[bytes], left: dict[bytes, Any]) -> None:
        for entry in ids:
            del left[entry]
        self._taken.difference_update(ids)
        self._delivered.update(ids)

    # --- acknowledging ---

    def _settle(self, ids: Sequence[bytes], handled: asyncio.Future[None]) -> None:
        if handled.cancelled() or handled.exception() is not None:
            self._delivered.difference_update(ids)
        else:
            self._settle_all(ids)

    def _settle_all(self, ids: Iterable[bytes]) -> None:
        self._handled.extend(ids)
        self._changed.set()

    async def _acknowledge(self, client: Any) -> None:
        while True:
            await self._until(lambda: bool(self._handled))
            await self._acknowledge_handled(client)

    async def _acknowledge_handled(self, client: Any) -> None:
        while ids := self._handled[: self._options.batch]:
            await client.xack(self._stream, self._group, *ids)
            del self._handled[: len(ids)]
            self._delivered.difference_update(ids)
            self._acknowledged = ids[-1]
            self._changed.set()

    async def _until(self, fact: Callable[[], bool]) -> None:
        while not fact():
            self._changed.clear()
            await self._changed.wait()


async def _ended(work: Coroutine[Any, Any, None]) -> None:
    """Wait for what asks the driver, and end it when this is cancelled."""
    task = asyncio.create_task(work)
    try:
        await asyncio.wait([task])
    finally:
        await _uncut(_stop([task]))
    task.result()


async def _uncut(work: Coroutine[Any, Any, None]) -> None:
    """Wait for what takes a limited time; a cancellation, which a host that ends sends twice, has to wait too."""
    task = asyncio.create_task(work)
    was_cancelled = False
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError:
            was_cancelled = True
    if was_cancelled:
        raise asyncio.CancelledError


async def _stop(tasks: Sequence[asyncio.Task[None]]) -> None:
    """Cancel tasks until they end: the driver can take one cancellation for the end of a timeout of its own."""
    left = {task for task in tasks if not task.done()}
    while left:
        for task in left:
            task.cancel()
        _done, left = await asyncio.wait(left, timeout=_AGAIN_SECONDS)


def _consumer(context: SourceContext) -> str:
    """The same name whenever this host runs, and another one for every other host."""
    place = hashlib.sha256(f"{context.folder.resolve()}\0{context.name}".encode()).hexdigest()[:8]
    return f"{socket.gethostname()}-{place}"
