"""The content-addressed store: every version ever staged, every generation, and what is held back."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from trimtab.artifacts.names import RULE, nearest
from trimtab.artifacts.records import Change, GenerationRecord, Outcome, Reason, Refusal, Version, VersionRecord
from trimtab.artifacts.schema import SCHEMA
from trimtab.database import Database
from trimtab.errors import Fault, UsageError

_decode_fault = msgspec.json.Decoder(Fault).decode
_decode_seconds = msgspec.json.Decoder(dict[str, float]).decode

FILE_NAME = "artifacts.db"
"""Name of the database in the state folder."""

_MIN_PREFIX = 4
_COMPARED = 500
"""Names that an unknown one is compared with, which takes 30 us each."""
_BEGINNING = 2

# The bare column beside max() comes from the row that holds the maximum: a promise of SQLite.
_GENERATION_SET = """
    SELECT v.name, v.seq, v.hash, v.staged_at, v.origin
    FROM (SELECT c.name, c.seq, max(c.generation) FROM changes c JOIN generations g ON g.number = c.generation
          WHERE g.outcome = 'committed' AND c.fault IS NULL AND c.generation <= ? GROUP BY c.name) AS latest
    JOIN versions v ON v.name = latest.name AND v.seq = latest.seq"""

_ACTIVE = "SELECT v.name, v.seq, v.hash, v.staged_at, v.origin FROM active a JOIN versions v USING (name, seq)"


class ArtifactStore:
    """Opened by the host, and by commands, at the same time or while the host is stopped.

    Every call takes milliseconds and depends on what it is about, not on how much is stored (:meth:`active` and
    :meth:`generation_set` on the number of active artifacts). What a writing call did is on the disk when it
    returns. Used from the thread that made it. Raises :class:`StateError` where the file cannot be used.
    """

    def __init__(self, path: Path) -> None:
        """Open the store in this file, and create it if it is missing. Its folder must exist."""
        self._db = Database(path, SCHEMA)

    def __enter__(self) -> ArtifactStore:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    # --- versions ---

    def stage(self, name: str, content: bytes, origin: str) -> Version:
        """Store one version: :meth:`stage_all`."""
        return self.stage_all({name: content}, origin)[name]

    def stage_all(self, contents: Mapping[str, bytes], origin: str) -> dict[str, Version]:
        """Store the bytes of some artifacts, and return their versions by name.

        Bytes equal to the latest version of the name, from the same place, are that version; others are the next one.
        """
        with self._db.transaction():
            return {name: self._stage(name, content, origin) for name, content in contents.items()}

    def _stage(self, name: str, content: bytes, origin: str) -> Version:
        digest = hashlib.sha256(content).hexdigest()
        latest = self._db.row("SELECT * FROM versions WHERE name = ? ORDER BY seq DESC LIMIT 1", name)
        if latest is not None and (latest[2], latest[4]) == (digest, origin):
            return Version(*latest)
        version = Version(name, 1 if latest is None else latest[1] + 1, digest, _now(), origin)
        self._db.write("INSERT OR IGNORE INTO blobs VALUES (?, ?)", (digest, content))
        self._db.write("INSERT INTO versions VALUES (?, ?, ?, ?, ?)", msgspec.structs.astuple(version))
        return version

    def content(self, digest: str) -> bytes:
        """Return the bytes of a version, by its whole hash. Raises :class:`UsageError` if they were never staged."""
        row = self._db.row("SELECT content FROM blobs WHERE hash = ?", digest)
        if row is None:
            raise UsageError(f"expected the hash of a stored version, got {digest!r}; `trimtab history` lists them")
        return bytes(row[0])

    def versions(self, name: str) -> list[VersionRecord]:
        """Return all versions of a name, oldest first. Raises :class:`UsageError` for an unknown name."""
        # Reloads count as well: a version may have run before a library of it broke it.
        rows = self._db.rows(
            """SELECT v.*, a.seq IS NOT NULL, (SELECT c.fault FROM changes c
                   WHERE c.name = v.name AND c.seq = v.seq ORDER BY c.generation DESC LIMIT 1)
               FROM versions v LEFT JOIN active a USING (name, seq) WHERE v.name = ? ORDER BY v.seq""",
            name,
        )
        if not rows:
            raise UsageError(self._unknown(name))
        return [
            VersionRecord(name, seq, digest, at, origin, bool(active), _fault(fault))
            for _, seq, digest, at, origin, active, fault in rows
        ]

    def resolve(self, name: str, version: str | None) -> Version:
        """Return the version that a user means: ``3`` or ``#3``, 4 or more hex digits of its hash, None: the active.

        Raises :class:`UsageError` that lists what there is.
        """
        known = self.versions(name)
        found = _matching(known, version)
        if len({match.hash for match in found}) == 1:
            return Version(*msgspec.structs.astuple(found[-1])[:5])
        there = ", ".join(f"#{each.seq} {each.hash[:12]}" for each in known)
        if version is None:
            raise UsageError(f"{name}: expected a running version, got none; name one of: {there}")
        got = f"{version!r}, which fits {len(found)} of them" if found else repr(version)
        raise UsageError(
            f"{name}: expected the number of a version or {_MIN_PREFIX} or more digits of its hash, got {got}; "
            f"there are: {there}"
        )

    def previous(self, name: str) -> Version | None:
        """Return the version that was active before the current one; None: the name was deleted, or not there yet.

        Raises :class:`UsageError` for a name that never ran.
        """
        row = self._db.row(
            """SELECT c.seq FROM changes c JOIN generations g ON g.number = c.generation
               WHERE c.name = ? AND g.outcome = 'committed' AND c.fault IS NULL
               AND c.seq IS NOT (SELECT seq FROM active WHERE name = c.name) ORDER BY c.generation DESC LIMIT 1""",
            name,
        )
        if row is None and self._db.row("SELECT 1 FROM active WHERE name = ?", name) is None:
            self.versions(name)  # refuses an unknown name
            raise UsageError(f"{name}: expected a name that has run, got one whose every version was refused; fix it")
        return None if row is None or row[0] is None else self._version(name, row[0])

    # --- generations ---

    def next_number(self) -> int:
        """Return the number that the next generation gets. Committed and refused ones count alike, from 1."""
        return (self._db.row("SELECT max(number) FROM generations")[0] or 0) + 1

    def latest_number(self) -> int:
        """Return the number of the running generation: the last one committed; 0 if there is none."""
        row = self._db.row("SELECT number FROM generations WHERE outcome = 'committed' ORDER BY number DESC LIMIT 1")
        return 0 if row is None else int(row[0])

    def record_committed(self, reason: Reason, changes: Mapping[str, Change], seconds: Mapping[str, float]) -> int:
        """Make the running generation plus these changes the running one, and return its number.

        A change with a fault is kept for the history only: that name stays as it was.
        """
        with self._db.transaction():
            number = self._record("committed", reason, changes, seconds)
            taken = {name: change for name, change in changes.items() if change.fault is None}
            self._db.write("DELETE FROM active WHERE name = ?", *((name,) for name in taken))
            running = ((name, change.seq) for name, change in taken.items() if change.kind != "deleted")
            self._db.write("INSERT INTO active VALUES (?, ?)", *running)
        return number

    def record_refused(self, reason: Reason, changes: Mapping[str, Change], seconds: Mapping[str, float]) -> int:
        """Remember a change set that was refused, and return its number. The running generation stays."""
        with self._db.transaction():
            return self._record("refused", reason, changes, seconds)

    def _record(
        self, outcome: Outcome, reason: Reason, changes: Mapping[str, Change], seconds: Mapping[str, float]
    ) -> int:
        number, base = self.next_number(), self.latest_number() or None
        timings = msgspec.json.encode(seconds)
        self._db.write(
            "INSERT INTO generations VALUES (?, ?, ?, ?, ?, ?)", (number, _now(), reason, outcome, timings, base)
        )
        rows = (
            (number, name, change.seq, change.kind, None if change.fault is None else msgspec.json.encode(change.fault))
            for name, change in changes.items()
        )
        self._db.write("INSERT INTO changes VALUES (?, ?, ?, ?, ?)", *rows)
        return number

    def active(self) -> dict[str, Version]:
        """Return the running generation, by name."""
        return {row[0]: Version(*row) for row in self._db.rows(_ACTIVE)}

    def generation_set(self, number: int) -> dict[str, Version]:
        """Return what ran in a committed generation, by name. Raises :class:`UsageError` for any other number."""
        row = self._db.row("SELECT outcome FROM generations WHERE number = ?", number)
        if row is None or row[0] != "committed":
            got = f"{number}, which was refused" if row else f"{number}, which does not exist"
            raise UsageError(
                f"expected the number of a committed generation (the last one is {self.latest_number()}), got {got}; "
                "`trimtab history` lists them"
            )
        return {row[0]: Version(*row) for row in self._db.rows(_GENERATION_SET, number)}

    def changed_since(self, number: int) -> dict[str, list[Version | None]]:
        """Return what ran in a generation and in the later ones, oldest first, of the names that have changed since.

        None: it did not run. Nothing is returned for a number that was not committed, nor where nothing has changed.
        """
        if number > self.latest_number():
            return {}
        rows = self._db.rows(
            """SELECT c.name, v.name, v.seq, v.hash, v.staged_at, v.origin FROM changes c
               JOIN generations g ON g.number = c.generation LEFT JOIN versions v ON v.name = c.name AND v.seq = c.seq
               WHERE c.generation > ? AND g.outcome = 'committed' AND c.fault IS NULL AND c.kind <> 'reloaded'
               ORDER BY c.generation""",
            number,
        )
        before = {row[0]: Version(*row) for row in self._db.rows(_GENERATION_SET, number)} if rows else {}
        found: dict[str, list[Version | None]] = {}
        for name, *version in rows:
            found.setdefault(name, [before.get(name)]).append(None if version[1] is None else Version(*version))
        return found

    def generations(self, limit: int, name: str | None = None) -> list[GenerationRecord]:
        """Return the last generations, committed and refused, newest first; with ``name``, those that touched it."""
        touched = "" if name is None else "WHERE number IN (SELECT generation FROM changes WHERE name = ?)"
        query = f"SELECT * FROM generations {touched} ORDER BY number DESC LIMIT ?"  # noqa: S608 - no text from outside
        with self._db.snapshot():
            rows = self._db.rows(query, *([] if name is None else [name]), limit)
            return [self._generation(*row) for row in rows]

    def _generation(
        self, number: int, at: int, reason: Reason, outcome: Outcome, seconds: bytes, base: Any
    ) -> GenerationRecord:
        rows = self._db.rows("SELECT name, kind, seq, fault FROM changes WHERE generation = ?", number)
        changes = {name: Change(kind, seq, _fault(fault)) for name, kind, seq, fault in rows}
        return GenerationRecord(number, at, reason, outcome, _decode_seconds(seconds), base, changes)

    def last_fault(self, name: str) -> Fault | None:
        """Return why the last change of a name was refused, or None if it was not."""
        row = self._db.row("SELECT fault FROM changes WHERE name = ? ORDER BY generation DESC LIMIT 1", name)
        return None if row is None else _fault(row[0])

    def refused(self) -> dict[str, Refusal]:
        """Return the names whose latest change was refused, with what it was."""
        rows = self._db.rows(
            """SELECT latest.name, latest.kind, v.hash, latest.fault
               FROM (SELECT name, kind, seq, fault, max(generation) FROM changes GROUP BY name) AS latest
               LEFT JOIN versions v ON v.name = latest.name AND v.seq = latest.seq WHERE latest.fault IS NOT NULL"""
        )
        return {name: Refusal(kind, digest, _decode_fault(fault)) for name, kind, digest, fault in rows}

    def rolled_back(self) -> set[str]:
        """Return the names whose running version came by a rollback."""
        rows = self._db.rows(
            """SELECT name, reason FROM (
                   SELECT c.name, g.reason, max(c.generation) FROM changes c
                   JOIN generations g ON g.number = c.generation JOIN active USING (name)
                   WHERE g.outcome = 'committed' AND c.fault IS NULL AND c.kind <> 'reloaded' GROUP BY c.name)"""
        )
        return {name for name, reason in rows if reason == "rollback"}

    # --- holds ---

    def hold(self, name: str, digest: str | None) -> None:
        """Hold one name: :meth:`hold_all`."""
        self.hold_all({name: digest})

    def hold_all(self, digests: Mapping[str, str | None]) -> None:
        """Ignore these bytes of some names (None: its absence) where they are discovered, until they change.

        To be called before the rollback is recorded: a crash in between then leaves nothing that would undo it.
        """
        with self._db.transaction():
            self._db.write("INSERT OR REPLACE INTO holds VALUES (?, ?)", *digests.items())

    def release(self, *names: str) -> None:
        """Take the bytes of some names again as they are discovered."""
        if names:
            with self._db.transaction():
                self._db.write("DELETE FROM holds WHERE name = ?", *((name,) for name in names))

    def holds(self) -> dict[str, str | None]:
        """Return the hash of the bytes that are ignored (None: absence), by name."""
        return dict(self._db.rows("SELECT name, hash FROM holds"))

    # --- helpers ---

    def _version(self, name: str, seq: int) -> Version:
        return Version(*self._db.row("SELECT * FROM versions WHERE name = ? AND seq = ?", name, seq))

    def _unknown(self, name: str) -> str:
        known = [row[0] for row in self._db.rows("SELECT DISTINCT name FROM versions")]
        if len(known) > _COMPARED:  # of thousands of rules, the one that is meant begins in the same way, if any does
            known = [each for each in known if each.startswith(name[:_BEGINNING])][:_COMPARED]
        guess = name + RULE if name + RULE in known else nearest(name, known)
        hint = f"did you mean {guess!r}?" if guess else "`trimtab history` lists what there is"
        return f"expected the name of an artifact, got {name!r}, which was never seen; {hint}"


def _matching(known: list[VersionRecord], version: str | None) -> list[VersionRecord]:
    if version is None:
        return [each for each in known if each.active]
    number, prefix = version.removeprefix("#"), version.lower()
    by_number = [each for each in known if number == str(each.seq)]
    if by_number or len(prefix) < _MIN_PREFIX:
        return by_number
    return [each for each in known if each.hash.startswith(prefix)]


def _fault(data: bytes | None) -> Fault | None:
    return None if data is None else _decode_fault(data)


def _now() -> int:
    return time.time_ns() // 1_000_000
