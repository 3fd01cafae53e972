"""What becomes of partial matches, step by step, as plain data: what ``trimtab explain`` shows."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

import msgspec

from trimtab.cep.answers import Answer

What: TypeAlias = Literal[
    "began", "nothing", "advanced", "branched", "waits", "died", "expired", "match", "withheld", "dropped", "stopped",
    "unbound",
]  # fmt: skip
"""``began``: an event began a partial match. ``nothing``: it began none. ``advanced``: the partial match took it.
``branched``: it took it, and lives on without it too, so there are two. ``waits``: it went on without the event.
``died``: the event ended it. ``expired``: its time was up. ``match``: it is complete. ``withheld``: it is complete, and
waits for partial matches that began before. ``dropped``: the skip strategy drops it. ``stopped``: there were too many
partial matches for the key. ``unbound``: the rule is not bound to the key."""
Why: TypeAlias = Literal["not", "strict", "until", "greedy", "window", "window between", "skip"]
"""Why a partial match ended: a NOT stage saw its event; the very next event had to fit, and did not; the event ended
the loop; a greedy stage had the event for itself; too long since the first event, or since the last one; skip strategy.
"""


class Step(msgspec.Struct, frozen=True, omit_defaults=True):
    """What happened to one partial match."""

    what: What
    partial: int | None = None
    """Its number, from 1, in the order in which they came to be."""
    parent: int | None = None
    """Of one that branched: from which."""
    stage: str | None = None
    """The stage that took the event, or the NOT stage that ended it; of a complete one that is dropped its last."""
    events: dict[str, list[int]] = {}
    """The positions of what it has taken, by stage."""
    waits_for: list[str] = []
    """The stages that may take the next event."""
    why: Why | None = None
    limit: int | None = None
    """Of a window, ms."""
    after: int | None = None
    """The match that dropped it, or the partial match that it waits for."""
    answers: list[Answer] = []
    """What the stages that could have taken the event said of it."""


class Moment(msgspec.Struct, frozen=True, omit_defaults=True):
    """An event, or a stop of the clock (without ``event``), and what it did."""

    time: int
    """Event time or arrival, ms."""
    key: Any = None
    event: int | None = None
    """Its position, from 0."""
    value: Any = None
    steps: list[Step] = []


class Furthest(msgspec.Struct, frozen=True, omit_defaults=True):
    """The partial match that came furthest without being complete. ``last``: how it ended, or what it did last."""

    partial: int
    key: Any
    events: dict[str, list[int]]
    waits_for: list[str]
    last: Step
    event: int | None = None
    """The event of that step; None: it was the clock."""


class StageCount(msgspec.Struct, frozen=True):
    """How many events a stage took into partial matches, and how many it saw there and refused."""

    took: int
    refused: int


class Summary(msgspec.Struct, frozen=True, omit_defaults=True):
    """What came of all events."""

    events: int
    began: int
    """Partial matches that events have begun."""
    matches: int
    expired: int
    open: int
    """Partial matches that live at the end."""
    withheld: int
    """Complete ones that wait for partial matches which live at the end."""
    stages: dict[str, StageCount]
    furthest: Furthest | None = None
