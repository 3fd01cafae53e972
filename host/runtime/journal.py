"""The journal: what sources accept and cannot read again is on the disk here before anybody is told so."""

from __future__ import annotations

import asyncio
from array import array
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import accumulate, chain
from pathlib import Path

import structlog

from trimtab.api import Records
from trimtab.configuration.schema import Fsync
from trimtab.database import Database, Schema, in_powers_of_two
from trimtab.errors import StateError

FILE_NAME = "journal.db"
"""Name of the database in the state folder."""

SYNC_SECONDS = 1.0
"""How old an append becomes with ``interval`` until it is on the disk."""

_SCHEMA = Schema(
    holds="a journal",
    version=1,
    start_over="an empty journal; events that were accepted and are in no checkpoint yet are lost then",
    statements=(
        "CREATE TABLE identity (identity TEXT NOT NULL)",
        "INSERT INTO identity VALUES (lower(hex(randomblob(6))))",
        # One row holds the records of one append, so that a large one is cheap: newlines or ``lengths`` part them.
        """CREATE TABLE chunks (
            source TEXT NOT NULL, first INTEGER NOT NULL, count INTEGER NOT NULL, lengths BLOB, data BLOB NOT NULL,
            PRIMARY KEY (source, first))""",
        # Where numbers go on when nothing is left of a source.
        "CREATE TABLE trimmed (source TEXT PRIMARY KEY, next INTEGER NOT NULL) WITHOUT ROWID",
    ),
)

_SYNCHRONOUS: Mapping[Fsync, str] = {"always": "FULL", "interval": "NORMAL", "never": "OFF"}
_NEXT = """
    SELECT source, max(next) FROM (SELECT * FROM trimmed UNION ALL SELECT source, first + count AS next FROM chunks)
    GROUP BY source"""
_FOLLOWING = """
    SELECT first, count, lengths, data FROM chunks WHERE source = ?1 AND first + count > ?2
    AND first >= (SELECT ifnull(max(first), 0) FROM chunks WHERE source = ?1 AND first <= ?2) ORDER BY first LIMIT 1"""
_MOST_AT_ONCE = 1024
"""How many appends one statement writes: SQLite takes no more than 32,766 parameters."""


@dataclass(frozen=True, slots=True)
class _Append:
    source: str
    count: int
    lengths: bytes | None
    data: bytes
    written: asyncio.Future[int]
    """Becomes the number of the first record."""


class Journal:
    """The records of all sources that cannot read again, from when they were accepted until a checkpoint holds them.

    The records of a source have consecutive numbers, never given twice. Appends that come while others are being
    written go to the disk together. Raises :class:`StateError` where the file cannot be used.
    """

    identity: str
    """Made with the file: the partition of all records, so that the ids of events differ from those of another file."""

    def __init__(self, path: Path, fsync: Fsync = "always") -> None:
        """Open the journal in this file, and create it if it is missing. Its folder must exist. Blocks on the disk.

        ``fsync``: when what was appended is on the disk: before :meth:`append` returns, at most a second later, or
        whenever the system gets to it.
        """
        self._fsync = fsync
        self._db = Database(path, _SCHEMA)
        try:
            self._prepare(path)
        except BaseException:
            self._db.close()
            raise
        self._thread = ThreadPoolExecutor(1, "journal")
        self._waiting: list[_Append] = []
        self._writing: asyncio.Task[None] | None = None
        self._sync: asyncio.TimerHandle | None = None
        self._is_failing = False
        self._log = structlog.get_logger("trimtab.journal")

    async def append(self, source: str, records: Sequence[bytes], *, lines: bool = True) -> int:
        """Keep records, at least one; return the number of the first. ``lines``: none of them contains a newline.

        Numbers are in the order of the calls. Raises :class:`StateError`, and none was kept. A call that is cancelled
        may have kept them.
        """
        if not records:
            raise ValueError("expected at least one record")
        data = (b"\n" if lines else b"").join(records)
        lengths = None if lines else array("I", map(len, records)).tobytes()
        written: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Append(source, len(records), lengths, data, written))
        if self._writing is None:
            self._writing = asyncio.create_task(self._write_waiting())
        return await written

    def read(self, source: str, after: int, most_bytes: int) -> list[Records]:
        """Return the records with the numbers ``after``, ``after + 1``, ... as they are to be delivered. Blocks.

        Whole appends until there are ``most_bytes``; nothing behind the last.
        """
        found: list[Records] = []
        size = 0
        while size < most_bytes and (row := self._db.row(_FOLLOWING, source, after)):
            first, count, _lengths, data = row
            found += self._records(*row, skip=max(after - first, 0))
            after = first + count
            size += len(data)
        return found

    def trim(self, positions: Mapping[str, int]) -> None:
        """Drop the records before these numbers, by source. Blocks."""
        with self._db.transaction():
            for source, position in positions.items():
                before = "DELETE FROM chunks WHERE source = ? AND first < ? AND first + count <= ?"
                self._db.write(before, (source, position, position))
                self._db.write("INSERT OR REPLACE INTO trimmed VALUES (?, ?)", (source, position))

    def close(self) -> None:
        """Write what waits, and close the file. Blocks."""
        if self._sync is not None:
            self._sync.cancel()
        self._thread.shutdown()
        self._db.close()

    def _prepare(self, path: Path) -> None:
        # What was trimmed is not overwritten with zeros: pages that are free cost nothing.
        for pragma in (f"synchronous = {_SYNCHRONOUS[self._fsync]}", "secure_delete = OFF"):
            self._db.rows(f"PRAGMA {pragma}")
        (problem,) = self._db.row("PRAGMA quick_check(1)")
        if problem != "ok":
            raise StateError(
                f"{path}: expected {_SCHEMA.holds}, got: {problem}; the file is damaged: move it away to start with "
                f"{_SCHEMA.start_over}"
            )
        (self.identity,) = self._db.row("SELECT identity FROM identity")
        self._next: dict[str, int] = dict(self._db.rows(_NEXT))

    # --- writing ---

    async def _write_waiting(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting:
            appends, self._waiting = self._waiting, []
            writing = loop.run_in_executor(self._thread, self._write, appends)
            await asyncio.wait([writing])
            _settle(appends, writing)
            self._report(writing.exception())
            if self._fsync == "interval" and self._sync is None:
                self._sync = loop.call_later(SYNC_SECONDS, self._sync_later)
        self._writing = None

    def _write(self, appends: Sequence[_Append]) -> list[int]:
        """Write everything in one transaction, or nothing. Returns the number of the first record of each."""
        following = dict(self._next)
        firsts: list[int] = []
        for append in appends:
            first = following.get(append.source, 0)
            firsts.append(first)
            following[append.source] = first + append.count
        rows = [(a.source, first, a.count, a.lengths, a.data) for a, first in zip(appends, firsts, strict=True)]
        parts = list(in_powers_of_two(rows, _MOST_AT_ONCE))
        # One statement is its own transaction: beside a busy thread, Python waits long for its turn behind each.
        with self._db.transaction() if len(parts) > 1 else nullcontext():
            for part in parts:
                places = ", ".join(["(?, ?, ?, ?, ?)"] * len(part))
                self._db.rows(f"INSERT INTO chunks VALUES {places}", *chain.from_iterable(part))  # noqa: S608 - places
        self._next = following
        return firsts

    def _sync_later(self) -> None:
        self._sync = None
        self._thread.submit(self._sync_now)

    def _sync_now(self) -> None:
        """In this mode SQLite syncs when it empties the write-ahead log, and then only."""
        try:
            self._db.rows("PRAGMA wal_checkpoint(PASSIVE)")
        except StateError as error:
            self._log.warning("the journal is not on the disk", error=str(error))

    def _report(self, error: BaseException | None) -> None:
        """Say when it stops working, and when it works again."""
        if error is not None and not self._is_failing:
            self._log.error("events cannot be accepted", error=str(error))
        elif error is None and self._is_failing:
            self._log.info("events are accepted again")
        self._is_failing = error is not None

    def _records(self, first: int, count: int, lengths: bytes | None, data: bytes, *, skip: int) -> Iterator[Records]:
        """The records of one row, but for the first ones."""
        if lengths is None:
            rest = data.split(b"\n", skip)[skip]
            end = first + count
            yield Records(rest, positions=range(first + skip, end), partition=self.identity, end=end)
            return
        ends = list(accumulate(array("I", lengths)))
        for index in range(skip, count):
            number = first + index
            start = ends[index - 1] if index else 0
            record, end = data[start : ends[index]], number + 1
            yield Records(record, positions=range(number, end), partition=self.identity, end=end)


def _settle(appends: Sequence[_Append], writing: asyncio.Future[list[int]]) -> None:
    """Tell those who wait, in their order."""
    error = writing.exception()
    firsts = [0] * len(appends) if error else writing.result()
    for append, first in zip(appends, firsts, strict=True):
        if append.written.done():
            continue  # cancelled
        if error:
            append.written.set_exception(error)
        else:
            append.written.set_result(first)
