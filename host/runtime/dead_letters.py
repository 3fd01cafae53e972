"""Dead letters: what could not be handled, decoded or written, kept until somebody replays or purges it."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from trimtab.database import in_powers_of_two
from trimtab.errors import Fault, StateError

FILE_NAME = "dead-letters.db"
"""Name of the database in the state folder."""

MAX_INTEGER = (1 << 63) - 1
"""The largest integer that SQLite can hold."""

Kind = Literal["handler", "codec", "sink", "timer", "match"]
Number = Annotated[int, msgspec.Meta(ge=0, le=MAX_INTEGER)]

_SCHEMA = """
create table if not exists letters (
    id integer primary key autoincrement,
    kind text not null,
    source text not null,
    partition text not null,
    position integer not null,
    event_id text not null,
    key text not null,
    script text,
    version text,
    generation integer not null,
    fault text not null,
    at integer not null,
    tries integer not null,
    sink text,
    payload blob not null
);
create unique index if not exists letters_event on letters (event_id, kind, ifnull(script, ''))
    where event_id <> '' and kind <> 'sink';
create table if not exists replays (
    letter integer primary key references letters (id) on delete cascade,
    version text
);
"""

_COLUMNS = (
    "kind, source, partition, position, event_id, key, script, version, generation, fault, at, tries, sink, payload"
)

_INSERT = f"insert into letters ({_COLUMNS}) values "  # noqa: S608 - only constants
_PLACES = f"({', '.join('?' * 14)})"
_AGAIN = """
on conflict (event_id, kind, ifnull(script, '')) where event_id <> '' and kind <> 'sink' do update set
    version = excluded.version, generation = excluded.generation, fault = excluded.fault, at = excluded.at,
    tries = tries + excluded.tries, payload = excluded.payload
"""
_AT_ONCE = 256
"""Letters in one statement. Beside a busy event loop Python waits for its turn behind each statement."""


class DeadLetter(msgspec.Struct, frozen=True, kw_only=True):
    """One event that a script failed on, record that is not valid in its codec, or lines that a sink refused."""

    id: int = 0
    """Given by the store."""
    kind: Kind
    payload: bytes
    """The event as JSON text; the raw record (``codec``); the lines as emitted (``sink``); the timer and what it
    belongs to, as JSON text (``timer``)."""
    source: str
    partition: str = ""
    position: int = 0
    event_id: str = ""
    """Empty where the letter is not one event."""
    key: Any = None
    script: str | None = None
    version: str | None = None
    """The full hash."""
    generation: int = 0
    fault: Fault
    at: int
    """When, in ms since the epoch."""
    tries: int = 1
    sink: str | None = None

    def document(self) -> dict[str, Any]:
        """Return the letter as JSON values: the payload as text, or in base64 where it is not UTF-8."""
        document: dict[str, Any] = msgspec.to_builtins(self)
        with contextlib.suppress(UnicodeDecodeError):
            document["payload"] = self.payload.decode()
            return document
        return {**document, "payload_encoding": "base64"}


class Filters(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which letters: all that match everything that is given. A misspelt field is refused: it would match all."""

    script: str | None = None
    source: str | None = None
    kind: Kind | None = None
    since: Number | None = None
    """Not older than this, in ms since the epoch."""

    def sql(self) -> tuple[str, list[Any]]:
        """Return the condition and its parameters."""
        terms = {"script = ?": self.script, "source = ?": self.source, "kind = ?": self.kind, "at >= ?": self.since}
        given = {term: value for term, value in terms.items() if value is not None}
        return " and ".join(["true", *given]), list(given.values())


ALL = Filters()


class DeadLetters:
    """The dead letters of one state folder. Every method may be called from any thread and blocks on the disk.

    An event that a script fails on again (replayed, or read again after a crash) stays one letter: it keeps its
    id, takes over the newer fault and adds up the tries. Raises :class:`StateError` when the database cannot be used.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        with self._errors():
            self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None, timeout=10)
            self._db.execute("pragma journal_mode = wal")
            self._db.execute("pragma synchronous = full")
            self._db.execute("pragma foreign_keys = on")
            self._db.executescript(_SCHEMA)

    def close(self) -> None:
        """Let go of the database."""
        with self._errors():
            self._db.close()

    def add_many(self, letters: Sequence[DeadLetter]) -> None:
        """Keep letters, all or none. Their ``id`` is ignored."""
        with self._transaction() as db:
            for part in in_powers_of_two(letters, _AT_ONCE):
                places = ", ".join([_PLACES] * len(part))
                db.execute(f"{_INSERT} {places} {_AGAIN}", [value for letter in part for value in _row(letter)])

    def list(self, filters: Filters = ALL, *, limit: int = 100, after: int = 0) -> list[DeadLetter]:
        """Return up to ``limit`` matching letters with an id above ``after``, in the order of their ids."""
        condition, values = filters.sql()
        query = f"select id, {_COLUMNS} from letters where {condition} and id > ? order by id limit ?"  # noqa: S608
        return [_letter(row) for row in self._rows(query, [*values, after, limit])]

    def ids(self, filters: Filters = ALL) -> Sequence[int]:
        """Return the ids of all matching letters, ascending."""
        condition, values = filters.sql()
        return [row[0] for row in self._rows(f"select id from letters where {condition} order by id", values)]  # noqa: S608

    def get(self, letter_id: int) -> DeadLetter | None:
        """Return one letter, or None where there is none of this id."""
        rows = self._rows(f"select id, {_COLUMNS} from letters where id = ?", [min(letter_id, MAX_INTEGER)])  # noqa: S608
        return _letter(rows[0]) if rows else None

    def count(self, filters: Filters = ALL) -> int:
        """Return how many letters match."""
        condition, values = filters.sql()
        return int(self._rows(f"select count(*) from letters where {condition}", values)[0][0])  # noqa: S608

    def purge(self, filters: Filters = ALL) -> int:
        """Delete every matching letter; return how many."""
        condition, values = filters.sql()
        with self._transaction() as db:
            return db.execute(f"delete from letters where {condition}", values).rowcount  # noqa: S608

    def remove(self, ids: Sequence[int]) -> int:
        """Delete these letters (with their replay requests); return how many of them there were."""
        with self._transaction() as db:
            return db.executemany("delete from letters where id = ?", [(i,) for i in ids]).rowcount

    # --- replays asked for while no host runs ---

    def request_replay(self, ids: Sequence[int], version: str | None = None) -> None:
        """Ask the next host to replay letters, against the version that then runs or against ``version``."""
        with self._transaction() as db:
            known = "insert or replace into replays select id, ? from letters where id = ?"
            db.executemany(known, [(version, i) for i in ids])

    def pending_replays(self) -> Sequence[tuple[int, str | None]]:
        """Return what was asked for: ids of letters, each with the version or None."""
        return [(row[0], row[1]) for row in self._rows("select letter, version from replays order by letter", [])]

    def settle_replays(self, ids: Sequence[int]) -> None:
        """Forget requests: these replays were done, whatever came of them."""
        with self._transaction() as db:
            db.executemany("delete from replays where letter = ?", [(i,) for i in ids])

    # --- the database ---

    def _rows(self, query: str, values: Sequence[Any]) -> Sequence[Any]:
        with self._lock, self._errors():
            return self._db.execute(query, values).fetchall()

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._lock, self._errors():
            self._db.execute("begin immediate")
            try:
                yield self._db
            except BaseException:
                self._db.execute("rollback")
                raise
            self._db.execute("commit")

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            expected = "expected a readable and writable SQLite database with room on the disk"
            raise StateError(
                f"dead letters cannot be kept in {self._path}: {expected}, got: {error}; "
                "check the folder's permissions and free space"
            ) from error


def _row(letter: DeadLetter) -> tuple[Any, ...]:
    key, fault = msgspec.json.encode(letter.key).decode(), msgspec.json.encode(letter.fault).decode()
    return (
        *(letter.kind, letter.source, letter.partition, letter.position, letter.event_id, key),
        *(letter.script, letter.version, letter.generation, fault, letter.at, letter.tries),
        *(letter.sink, letter.payload),
    )


def _letter(row: Sequence[Any]) -> DeadLetter:
    names = ("id", *_COLUMNS.split(", "))
    fields = dict(zip(names, row, strict=True))
    fields["key"] = msgspec.json.decode(fields["key"])
    fields["fault"] = msgspec.json.decode(fields["fault"], type=Fault)
    return DeadLetter(**fields)
