"""The store of checkpoints: the state of all scripts, and the positions of the sources that it belongs to."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from operator import itemgetter
from pathlib import Path
from typing import Any, Literal

import msgspec

from trimtab.api import Position
from trimtab.database import Database, Schema, in_powers_of_two
from trimtab.engine.state import TIMER, StateRow

FILE_NAME = "checkpoints.db"
"""Name of the database in the state folder."""

KEPT = 100
"""Of how many checkpoints it is kept what they were. The state is that of the latest."""

Reason = Literal["interval", "end", "asked"]

_SCHEMA = Schema(
    holds="a store of checkpoints",
    version=1,
    start_over="empty state, and sources from their beginnings",
    statements=(
        # In the order of scripts, so that clearing one costs what it holds.
        """CREATE TABLE state (
            script TEXT NOT NULL, key TEXT NOT NULL, name TEXT NOT NULL, value BLOB, expires INTEGER,
            PRIMARY KEY (script, key, name)) WITHOUT ROWID""",
        # Values that the commit under way deletes; empty between commits.
        "CREATE INDEX deleted ON state (script) WHERE value IS NULL",
        "CREATE TABLE checkpoints (id INTEGER PRIMARY KEY, document BLOB NOT NULL)",
        # Scripts may be thousands and change rarely: their versions are written when they have changed.
        "CREATE TABLE versions (since INTEGER PRIMARY KEY, document BLOB NOT NULL)",
        "CREATE TABLE runs (latest INTEGER NOT NULL)",
        "INSERT INTO runs VALUES (0)",
    ),
)

_PUT = "INSERT OR REPLACE INTO state VALUES {}"
_CLEAR = "DELETE FROM state WHERE script = ?"
_DELETE = "DELETE FROM state WHERE value IS NULL"
_ROWS_AT_ONCE = 512
"""How many rows one statement writes. Python lets other threads go on while SQLite runs a statement, and beside a busy
event loop it waits half a millisecond for its turn behind each: too long for a statement a row."""

_CHECKPOINTS = """
    SELECT c.id, c.document, (SELECT v.document FROM versions v WHERE v.since <= c.id ORDER BY v.since DESC LIMIT 1)
    FROM checkpoints c"""

# One look at the index for each script, instead of a walk through all rows.
_STATE_OF = """
    WITH RECURSIVE scripts (script) AS (
        SELECT min(script) FROM state UNION ALL
        SELECT (SELECT min(state.script) FROM state WHERE state.script > scripts.script) FROM scripts
        WHERE scripts.script IS NOT NULL)
    SELECT state.* FROM scripts JOIN state USING (script)
    WHERE state.key = ? AND script = ifnull(?, script) ORDER BY state.script, state.name"""

# Names of our own begin with NUL, which only comparisons see: functions of SQLite take it for the end of a text.
_SUMMARY = """
    SELECT script, count(*), sum(users), sum(size), sum(timers) FROM (
        SELECT script, sum(name >= ?) AS users, sum(length(value)) AS size, sum(name BETWEEN ? AND ?) AS timers
        FROM state GROUP BY script, key)
    GROUP BY script"""
_USERS_FROM = "\x01"
_TIMERS = (TIMER, TIMER + "\U0010ffff")


class Checkpoint(msgspec.Struct, frozen=True, kw_only=True):
    """One point in the order of all events: everything before it is in the state, nothing behind it."""

    id: int = 0
    """Given by the store: 1, 2, 3, ..."""
    at: int
    """When, in ms since the epoch."""
    generation: int
    """The generation that ran."""
    reason: Reason
    seconds: float = 0.0
    """How long it took from the barrier to the commit."""
    changed: int = 0
    """How many rows of state were written; given by the store."""
    sources: dict[str, Position] = {}
    watermarks: dict[str, int] = {}
    """Of the sources that have one, in ms since the epoch."""
    versions: dict[str, str] = {}
    """The full hash of each script that ran, by its name."""


class ScriptState(msgspec.Struct, frozen=True):
    """How much state a script has."""

    keys: int
    values: int
    bytes: int
    """Of its values, timers included, as JSON."""
    timers: int


_decode_checkpoint = msgspec.json.Decoder(Checkpoint).decode
_decode_versions = msgspec.json.Decoder(dict[str, str]).decode


class CheckpointStore:
    """Written by the host, and read by commands at the same time or while the host is stopped.

    Every method may be called from any thread and blocks on the disk; what a writing one did is on the disk when it
    returns. Raises :class:`StateError` where the file cannot be used.
    """

    def __init__(self, path: Path) -> None:
        """Open the store in this file, and create it if it is missing. Its folder must exist."""
        self._db = Database(path, _SCHEMA)
        self._versions: dict[str, str] | None = None

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def snapshot(self) -> AbstractContextManager[None]:
        """All that is read in the block belongs to one checkpoint; other threads wait."""
        return self._db.snapshot()

    # --- writing ---

    def begin_run(self) -> int:
        """Return the number of this run of the host: 1, 2, 3, ..., never the same again."""
        with self._db.transaction():
            self._db.write("UPDATE runs SET latest = latest + 1", ())
            return int(self._db.row("SELECT latest FROM runs")[0])

    def commit(self, checkpoint: Checkpoint, rows: Sequence[StateRow]) -> int:
        """Take rows over into the state, in their order, and record the checkpoint; all of it or nothing.

        Returns the id of the checkpoint.
        """
        with self._db.transaction():
            self._write_state(rows)
            number = int(self._db.row("SELECT ifnull(max(id), 0) + 1 FROM checkpoints")[0])
            recorded = msgspec.structs.replace(checkpoint, id=number, changed=len(rows), versions={})
            self._db.write("INSERT INTO checkpoints VALUES (?, ?)", (number, msgspec.json.encode(recorded)))
            if checkpoint.versions != self._versions:
                self._db.write("INSERT INTO versions VALUES (?, ?)", (number, msgspec.json.encode(checkpoint.versions)))
            self._forget(number - KEPT)
        self._versions = dict(checkpoint.versions)
        return number

    def _write_state(self, rows: Sequence[StateRow]) -> None:
        for clears, group in itertools.groupby(rows, lambda row: not row.name):
            if clears:
                self._db.write(_CLEAR, *((row.script,) for row in group))
            else:
                self._put(sorted(map(msgspec.structs.astuple, group), key=itemgetter(0, 1, 2)))
        self._db.write(_DELETE, ())

    def _put(self, rows: Sequence[tuple[Any, ...]]) -> None:
        """Write rows; they come in the order of the table, so that each of its pages is gone to once."""
        for part in in_powers_of_two(rows, _ROWS_AT_ONCE):
            places = ", ".join(["(?, ?, ?, ?, ?)"] * len(part))
            self._db.write(_PUT.format(places), tuple(itertools.chain.from_iterable(part)))

    def _forget(self, until: int) -> None:
        self._db.write("DELETE FROM checkpoints WHERE id <= ?", (until,))
        still_used = "SELECT max(since) FROM versions WHERE since <= ?"
        self._db.write(f"DELETE FROM versions WHERE since < ({still_used})", (until + 1,))  # noqa: S608 - constants

    # --- checkpoints ---

    def latest(self) -> Checkpoint | None:
        """Return the checkpoint that the state belongs to, or None where there is none yet."""
        return next(iter(self.list(1)), None)

    def list(self, limit: int) -> Sequence[Checkpoint]:
        """Return up to ``limit`` checkpoints, newest first; the last 100 are kept."""
        return [_checkpoint(*row) for row in self._db.rows(f"{_CHECKPOINTS} ORDER BY c.id DESC LIMIT ?", limit)]

    def get(self, checkpoint_id: int) -> Checkpoint | None:
        """Return one checkpoint, or None where none is kept under this id."""
        row = self._db.row(f"{_CHECKPOINTS} WHERE c.id = ?", checkpoint_id)
        return None if row is None else _checkpoint(*row)

    # --- state ---

    def rows(self, chunk: int = 1000) -> Iterator[Sequence[StateRow]]:
        """Yield all state in the order of scripts, keys and names, at most ``chunk`` rows at a time.

        A value whose time is over counts until a commit deletes it. Each chunk is read when it is asked for: what is
        committed in between shows in the chunks behind it, unless the caller holds a :meth:`snapshot`.
        """
        following = "SELECT * FROM state WHERE (script, key, name) > (?, ?, ?) ORDER BY script, key, name LIMIT ?"
        last = ("", "", "")
        while found := self._db.rows(following, *last, chunk):
            yield [StateRow(*row) for row in found]
            last = found[-1][:3]

    def rows_of(self, script: str) -> Sequence[StateRow]:
        """Return all rows under the name of a script, in the order of keys and names."""
        found = self._db.rows("SELECT * FROM state WHERE script = ? ORDER BY key, name", script)
        return [StateRow(*row) for row in found]

    def state_of(self, key: str, script: str | None = None) -> Sequence[StateRow]:
        """Return the rows of a key (its JSON text), of one script or of all, in the order of scripts and names."""
        return [StateRow(*row) for row in self._db.rows(_STATE_OF, key, script)]

    def summary(self) -> dict[str, ScriptState]:
        """Return how much state each script has that has any, by name. Takes about a second for a million rows."""
        return {script: ScriptState(*counts) for script, *counts in self._db.rows(_SUMMARY, _USERS_FROM, *_TIMERS)}


def _checkpoint(_id: int, document: bytes, versions: bytes) -> Checkpoint:
    return msgspec.structs.replace(_decode_checkpoint(document), versions=_decode_versions(versions))
