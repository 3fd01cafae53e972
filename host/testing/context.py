"""A context for sources that keeps what they deliver."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

import msgspec

from trimtab.api import Codec, Position, Records, SourceContext
from trimtab.testing.waiting import Changes

JOURNAL = "journal"
"""The partition of records that were accepted."""


@dataclass(frozen=True, slots=True)
class Rejected:
    """A record that the source refused."""

    record: bytes
    position: int
    reason: str
    partition: str


class RecordingContext(SourceContext):
    """Keeps records and rejects. ``busy`` True makes it wait, like a stream whose lanes have no room."""

    def __init__(self, codec: Codec, folder: Path, *, name: str = "test", partition: str = "run") -> None:
        self.name = name
        self.folder = folder
        self.codec = codec
        self.partition = partition
        self.delivered: list[Records] = []
        self.rejected: list[Rejected] = []
        self._accepted = 0
        self._busy = False
        self._waiting = 0
        self._changes = Changes()

    @property
    def busy(self) -> bool:
        """Whether deliveries wait."""
        return self._busy

    @busy.setter
    def busy(self, busy: bool) -> None:
        self._busy = busy
        self._changes.notify()

    @property
    def lines(self) -> list[bytes]:
        """Every record, in order."""
        return [line for records in self.delivered for line in records.data.split(b"\n")]

    def position(self, count: int, noted: Any = None) -> Position:
        """Where a checkpoint behind the first ``count`` records (at least one) has the source go on.

        ``noted``: what :meth:`Source.note` returned then. It goes through JSON like that of the host.
        """
        for records in self.delivered:
            places = _positions(records)
            if count <= len(places):
                break
            count -= len(places)
        end = records.end if records.end is not None else _behind(records)
        following = end if count == len(places) else places[count]
        return Position(records.partition, following, msgspec.json.decode(msgspec.json.encode(noted)))

    @property
    def places(self) -> list[tuple[str, int]]:
        """Partition and position of every record, in order: what makes their ids."""
        return [(records.partition, position) for records in self.delivered for position in _positions(records)]

    async def deliver(self, records: Records) -> asyncio.Future[None]:
        """Keep the records, as soon as it is not busy. They count as handled at once."""
        self._waiting += 1
        self._changes.notify()
        try:
            await self._changes.until(self.has_room, seconds=60)
        finally:
            self._waiting -= 1
        self.delivered.append(records)
        self._changes.notify()
        handled: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        handled.set_result(None)
        return handled

    async def accept(self, records: Sequence[bytes]) -> None:
        """Keep the records as the journal does, as soon as it is not busy: their partition is :data:`JOURNAL`."""
        parts = [b"\n".join(records)] if self.codec.lines else records
        for data in parts:
            count = len(records) if self.codec.lines else 1
            numbers = range(self._accepted, self._accepted + count)
            self._accepted += count
            await self.deliver(Records(data, positions=numbers, partition=JOURNAL))

    async def reject(self, record: bytes, position: int, reason: str, partition: str | None = None) -> None:
        """Keep the reject."""
        self.rejected.append(Rejected(record, position, reason, self.partition if partition is None else partition))
        self._changes.notify()

    def has_room(self) -> bool:
        """Whether it is not busy."""
        return not self._busy

    async def until_lines(self, count: int, seconds: float = 20) -> None:
        """Wait until that many records were delivered. Raises ``TimeoutError``."""
        await self._changes.until(lambda: len(self.lines) >= count, seconds)

    async def until_waiting(self, seconds: float = 20) -> None:
        """Wait until a delivery waits because it is busy. Raises ``TimeoutError``."""
        await self._changes.until(lambda: self._busy and self._waiting > 0, seconds)


def _behind(records: Records) -> int:
    if records.positions is not None:
        return records.positions[-1] + 1
    return records.start + len(records.data) + 1


def _positions(records: Records) -> list[int]:
    if records.positions is not None:
        return list(records.positions)
    lengths = (len(line) + 1 for line in records.data.split(b"\n")[:-1])
    return list(accumulate(lengths, initial=records.start))
