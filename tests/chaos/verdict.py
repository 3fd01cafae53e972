"""Compares what a host did through its accidents with what it had to do."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from tests.chaos.model import Facts, Identity, Letter, Outcome, outcome
from tests.chaos.workload import Event, Row


@dataclass(frozen=True, slots=True)
class Observed:
    """What came out of the host. ``torn``: lines that are not whole, as a process that is killed may leave them."""

    rows: Sequence[Row]
    letters: frozenset[Letter]
    torn: int = 0


def differences(
    events: Iterable[Event], unanswered: frozenset[int], observed: Observed, *, repeats: bool
) -> list[str]:
    """Return what is wrong; nothing, if all is as it must be.

    ``events``: all that were sent. Those in ``unanswered`` were posted without an answer: they count if anything shows
    that they were taken. ``repeats``: what was emitted may come again, but with the same content.
    """
    seen = {row.n for row in observed.rows} | {n for _, n in observed.letters}
    expected = outcome(event for event in events if event.n not in unanswered or event.n in seen)
    return [
        *_not_as_expected(expected, observed),
        *_contradictions(observed.rows, repeats=repeats),
        *_out_of_order(expected, observed.rows),
        *_mixed_versions(observed.rows),
    ]


def repeated(rows: Sequence[Row]) -> int:
    """Return how many rows had come before."""
    return len(rows) - len({_identity(row) for row in rows})


def _identity(row: Row) -> Identity:
    return row.script, row.kind, row.key, row.n


def _facts(row: Row, names: Iterable[str]) -> Facts:
    return {name: getattr(row, name) for name in names}


def _not_as_expected(expected: Outcome, observed: Observed) -> Iterator[str]:
    """Nothing is lost, nothing is unknown, everything has its content."""
    missing = expected.rows.keys() - {_identity(row) for row in observed.rows}
    yield from (f"lost: {identity}" for identity in sorted(missing))
    for row in observed.rows:
        facts = expected.rows.get(_identity(row))
        if facts is None:
            yield f"unknown: {row}"
        elif facts != _facts(row, facts):
            yield f"expected {facts}, got {row}"
    yield from (f"dead letter lost: {letter}" for letter in sorted(expected.letters - observed.letters))
    yield from (f"dead letter unknown: {letter}" for letter in sorted(observed.letters - expected.letters))


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


def _out_of_order(expected: Outcome, rows: Sequence[Row]) -> Iterator[str]:
    """Without what came again, each key's rows are in the order of its events."""
    order: dict[tuple[str, str], dict[int, None]] = defaultdict(dict)
    for row in rows:
        if row.kind == "count":
            order[row.script, row.key].setdefault(row.n)
    for (script, key), numbers in order.items():
        if list(numbers) != [n for n in expected.order[key] if n in numbers]:
            yield f"out of order: {script}, key {key}: {list(numbers)}"


def _mixed_versions(rows: Sequence[Row]) -> Iterator[str]:
    """Both scripts change together, so one handling of an event is by the same version of both."""
    versions: dict[int, list[Row]] = defaultdict(list)
    for row in rows:
        if row.kind == "count":
            versions[row.n].append(row)
    for n, handled in versions.items():
        if len(handled) == 2 and handled[0].version != handled[1].version:
            yield f"the event {n} was handled by version {handled[0].version} of one script and {handled[1].version} of the other"
