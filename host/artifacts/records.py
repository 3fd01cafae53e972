"""What the artifact store remembers, as plain data."""

from __future__ import annotations

from typing import Literal

import msgspec

from trimtab.errors import Fault

Kind = Literal["added", "changed", "deleted", "reloaded"]
"""How a generation differs in one name; ``reloaded``: the same version, because a library of it changed."""
Reason = Literal["start", "change", "rollback"]
Outcome = Literal["committed", "refused"]


class Version(msgspec.Struct, frozen=True):
    """One version of one artifact."""

    name: str
    seq: int
    """Counts the versions of this name, from 1."""
    hash: str
    """SHA-256 of the bytes, in hex."""
    staged_at: int
    """ms since the epoch."""
    origin: str
    """Where it came from: the discoverer's name, ``rollback``, ..."""


class VersionRecord(Version, frozen=True):
    """A version as the history shows it."""

    active: bool
    """It belongs to the running generation."""
    fault: Fault | None
    """Why it was refused the last time it was tried; None if it was not, or was committed then."""


class Change(msgspec.Struct, frozen=True):
    """How a generation differs from the one before in one name."""

    kind: Kind
    seq: int | None
    """The new version; None where there is none (deleted, or refused before it was staged)."""
    fault: Fault | None = None
    """Why the change was refused. In a committed generation: this name was left out, the others went through."""


class Refusal(msgspec.Struct, frozen=True):
    """The latest change of a name, which was refused."""

    kind: Kind
    version: str | None
    """The hash of the refused bytes; None where there are none (deleted, or they could not be taken)."""
    fault: Fault


class GenerationRecord(msgspec.Struct, frozen=True):
    """One generation: how it came about, and its differences from the committed one before it."""

    number: int
    at: int
    """ms since the epoch."""
    reason: Reason
    outcome: Outcome
    seconds: dict[str, float]
    """How long each step took."""
    base: int | None
    """The committed generation that it changed, or was meant to change; None for the very first."""
    changes: dict[str, Change]
    """By artifact name."""
