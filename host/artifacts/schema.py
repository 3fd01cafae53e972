"""The tables of the artifact store."""

from __future__ import annotations

from trimtab.database import Schema

SCHEMA = Schema(
    holds="an artifact store",
    version=1,
    start_over="an empty history",
    statements=(
        "CREATE TABLE blobs (hash TEXT PRIMARY KEY, content BLOB NOT NULL)",
        """CREATE TABLE versions (
            name TEXT NOT NULL, seq INTEGER NOT NULL, hash TEXT NOT NULL REFERENCES blobs,
            staged_at INTEGER NOT NULL, origin TEXT NOT NULL, PRIMARY KEY (name, seq)) WITHOUT ROWID""",
        """CREATE TABLE generations (
            number INTEGER PRIMARY KEY, at INTEGER NOT NULL, reason TEXT NOT NULL,
            outcome TEXT NOT NULL CHECK (outcome IN ('committed', 'refused')),
            seconds BLOB NOT NULL, base INTEGER REFERENCES generations)""",
        # A generation stores only what differs from its base, so a change costs what changed.
        """CREATE TABLE changes (
            generation INTEGER NOT NULL REFERENCES generations, name TEXT NOT NULL, seq INTEGER,
            kind TEXT NOT NULL CHECK (kind IN ('added', 'changed', 'deleted', 'reloaded')),
            fault BLOB, CHECK (kind != 'deleted' OR seq IS NULL),
            PRIMARY KEY (generation, name), FOREIGN KEY (name, seq) REFERENCES versions) WITHOUT ROWID""",
        "CREATE INDEX changes_by_name ON changes (name, generation)",
        # The running generation, whole: kept in step by the transaction that commits.
        """CREATE TABLE active (
            name TEXT PRIMARY KEY, seq INTEGER NOT NULL, FOREIGN KEY (name, seq) REFERENCES versions) WITHOUT ROWID""",
        "CREATE TABLE holds (name TEXT PRIMARY KEY, hash TEXT) WITHOUT ROWID",
    ),
)
