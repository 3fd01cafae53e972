"""Compares what a host did through its accidents with what it had to do."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from tests.chaos.model import Facts, Identity, Letter, Outcome, outcome
from tests.chaos.workload import BOTH, Event, Row


@dataclass(frozen=True, slots=True)
class Observed:
    """What came out of the host. ``torn``: lines that are not whole, beyond one for each time it was killed."""

    rows: Sequence[Row]
    letters: frozenset[Letter]
    torn: int = 0


def expected(events: Iterable[Event], unanswered: Collection[int], observed: Observed) -> Outcome:
    """Return what must come of the events that were sent.

    Those in ``unanswered`` were posted without an answer: they count if anything shows that they were taken.
    """
    seen = {row.n for row in observed.rows} | {n for _, n in observed.letters}
    return outcome(event for event in events if event.n not in unanswered or event.n in seen)


def missing(wanted: Outcome, observed: Observed) -> Sequence[str]:
    """Return what has not come out: not yet, or never."""
    rows = wanted.rows.keys() - {_identity(row) for row in observed.rows}
    letters = wanted.letters - observed.letters
    return [*(f"lost: {row}" for row in sorted(rows)), *(f"lost: dead letter {letter}" for letter in sorted(letters))]


def differences(wanted: Outcome, observed: Observed, *, repeats: bool) -> Sequence[str]:
    """Return what is wrong; nothing, if all is as it must be.

    ``repeats``: what was emitted may come again, but with the same content.
    """
    return [
        *missing(wanted, observed),
        *_unknown(wanted, observed),
        *_contradictions(observed.rows, repeats=repeats),
        *_out_of_order(wanted, observed.rows),
        *_mixed_versions(observed.rows),
    ]


def not_stored(wanted: Outcome, stored: Mapping[tuple[str, str], Facts]) -> Sequence[str]:
    """Return where the last checkpoint differs from the state that the audits show, or holds a timer still.

    ``stored``: by script and key.
    """
    audited = {
        (script, key): facts["state"] for (script, kind, key, _), facts in wanted.rows.items() if kind == "audit"
    }
    return [
        f"state of {place}: expected {audited.get(place)} in the last checkpoint, got {stored.get(place)}"
        for place in sorted(audited.keys() | stored.keys())
        if audited.get(place) != stored.get(place)
    ]


def repeated(rows: Sequence[Row]) -> int:
    """Return how many rows had come before."""
    return len(rows) - len({_identity(row) for row in rows})


def _identity(row: Row) -> Identity:
    return row.script, row.kind, row.key, row.n


def _facts(row: Row, names: Iterable[str]) -> Facts:
    return {name: getattr(row, name) for name in names}


def _unknown(wanted: Outcome, observed: Observed) -> Iterator[str]:
    for row in observed.rows:
        facts = wanted.rows.get(_identity(row))
        if facts is None:
            yield f"unknown: {row}"
        elif facts != _facts(row, facts):
            yield f"expected {facts}, got {row}"
    yield from (f"unknown: dead letter {letter}" for letter in sorted(observed.letters - wanted.letters))
    if observed.torn:
        yield f"unknown: {observed.torn} lines that are not whole"


def _contradictions(rows: Sequence[Row], *, repeats: bool) -> Iterator[str]:
    """An event has one identifier for good, and what it emits comes again as it was, if at all."""
    ids: dict[int, str] = {}
    first: dict[Identity, Row] = {}
    for row in rows:
        if row.kind != "timer" and ids.setdefault(row.n, row.id) != row.id:
            yield f"the event {row.n} has two identifiers: {ids[row.n]} and {row.id}"
        if _identity(row) in first and not repeats:
            yield f"emitted twice: {row}"
        first.setdefault(_identity(row), row)
    if len(set(ids.values())) != len(ids):
        yield "two events share an identifier"


def _out_of_order(wanted: Outcome, rows: Sequence[Row]) -> Iterator[str]:
    """Without what came again, each key's rows are in the order of its events."""
    order: dict[tuple[str, str], dict[int, None]] = defaultdict(dict)
    for row in rows:
        if row.kind == "count":
            order[row.script, row.key].setdefault(row.n)
    for (script, key), numbers in order.items():
        if list(numbers) != [n for n in wanted.order[key] if n in numbers]:
            yield f"out of order: {script}, key {key}: {list(numbers)}"


def _mixed_versions(rows: Sequence[Row]) -> Iterator[str]:
    """Both scripts change together, so one handling of an event is by the same version of both."""
    versions: dict[int, list[Row]] = defaultdict(list)
    for row in rows:
        if row.kind == "count":
            versions[row.n].append(row)
    for handled in versions.values():
        once_each = sorted(row.script for row in handled) == sorted(BOTH)
        if once_each and handled[0].version != handled[1].version:
            yield f"one event, two versions of one change: {handled}"
