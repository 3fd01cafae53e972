"""Compares what a host did through its accidents with what it had to do."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from tests.chaos.model import Facts, Letter, Outcome, outcome
from tests.chaos.rules import Finding
from tests.chaos.workload import BOTH, Event, Identity, Row

_IN_ORDER = ("count", "match", "timeout")
"""Kinds of what comes in the order of events, or of event time."""


@dataclass(frozen=True, slots=True)
class Observed:
    """What came out of the host. ``rows``: from the scripts; ``found``: from the rules."""

    rows: Sequence[Row]
    found: Sequence[Finding]
    letters: frozenset[Letter]
    torn: int = 0
    """Lines that are not whole, beyond one of each sink for each time that the host was killed."""
    starts: int = 1
    """How often the host was started."""

    @property
    def emitted(self) -> Sequence[Row | Finding]:
        """All that was written to the sinks, in the order of each."""
        return [*self.rows, *self.found]


def expected(events: Iterable[Event], unanswered: Collection[int], observed: Observed) -> Outcome:
    """Return what must come of the events that were sent.

    Those in ``unanswered`` were posted without an answer: they count if anything shows that they were taken.
    """
    seen = {row.n for row in observed.rows} | {n for _, n in observed.letters}
    return outcome(event for event in events if event.n not in unanswered or event.n in seen)


def missing(wanted: Outcome, observed: Observed) -> Sequence[str]:
    """Return what has not come out: not yet, or never."""
    lost = wanted.emitted.keys() - {each.identity for each in observed.emitted}
    letters = wanted.letters - observed.letters
    return [*(f"lost: {each}" for each in sorted(lost)), *(f"lost: dead letter {letter}" for letter in sorted(letters))]


def differences(wanted: Outcome, observed: Observed, *, repeats: bool) -> Sequence[str]:
    """Return what is wrong; nothing, if all is as it must be.

    ``repeats``: what was emitted may come again, but with the same content.
    """
    return [
        *missing(wanted, observed),
        *_unknown(wanted, observed),
        *_contradictions(observed.emitted, repeats=repeats),
        *_out_of_order(wanted, observed),
        *_mixed_versions(observed),
    ]


def not_stored(wanted: Outcome, stored: Mapping[tuple[str, str], Facts]) -> Sequence[str]:
    """Return where the last checkpoint differs from the state that the audits show, or holds timers or partial matches.

    ``stored``: by script or rule and key.
    """
    audited = {
        (script, key): facts["state"] for (script, kind, key, _), facts in wanted.emitted.items() if kind == "audit"
    }
    return [
        f"state of {place}: expected {audited.get(place)} in the last checkpoint, got {stored.get(place)}"
        for place in sorted(audited.keys() | stored.keys())
        if audited.get(place) != stored.get(place)
    ]


def repeated(observed: Observed) -> int:
    """Return how many values had come before."""
    return len(observed.emitted) - len({each.identity for each in observed.emitted})


def _unknown(wanted: Outcome, observed: Observed) -> Iterator[str]:
    for each in observed.emitted:
        facts = wanted.emitted.get(each.identity)
        if facts is None:
            yield f"unknown: {each}"
        elif facts != _facts(each, facts):
            yield f"expected {facts}, got {each}"
    yield from (f"unknown: dead letter {letter}" for letter in sorted(observed.letters - wanted.letters))
    if observed.torn:
        yield f"unknown: {observed.torn} lines that are not whole"


def _facts(emitted: Row | Finding, names: Iterable[str]) -> Facts:
    return {name: getattr(emitted, name) for name in names}


def _contradictions(emitted: Iterable[Row | Finding], *, repeats: bool) -> Iterator[str]:
    """An event, a match or a time-out has one identifier for good, and what is emitted comes again as it was, if at all."""
    ids: dict[int | Identity, str] = {}
    seen: set[Identity] = set()
    for each in emitted:
        its = each.n if isinstance(each, Row) else each.identity
        if each.kind != "timer" and ids.setdefault(its, each.id) != each.id:
            yield f"{its} has two identifiers: {ids[its]} and {each.id}"
        if each.identity in seen and not repeats:
            yield f"emitted twice: {each}"
        seen.add(each.identity)
    if len(set(ids.values())) != len(ids):
        yield "two events or matches share an identifier"


def _out_of_order(wanted: Outcome, observed: Observed) -> Iterator[str]:
    """A host gives what belongs to a key in its order, and once; a host that starts may go on from further back."""
    order = _by_key(wanted.emitted)
    for place, came in _by_key(each.identity for each in observed.emitted).items():
        places = {identity: index for index, identity in enumerate(order[place])}
        known = [places[identity] for identity in came if identity in places]
        first = list(dict.fromkeys(known))
        if first != sorted(first):
            yield f"out of order: {', key '.join(place)}: {[order[place][index][-1] for index in first]}"
        back = sum(later <= earlier for earlier, later in pairwise(known))
        if back >= observed.starts:
            yield f"came again {back} times in {observed.starts} starts: {', key '.join(place)}"


def _by_key(identities: Iterable[Identity]) -> dict[tuple[str, str], list[Identity]]:
    """Return what comes in order, by script or rule and by key."""
    found: dict[tuple[str, str], list[Identity]] = defaultdict(list)
    for identity in identities:
        script, kind, key, _ = identity
        if kind in _IN_ORDER:
            found[script, key].append(identity)
    return found


def _mixed_versions(observed: Observed) -> Iterator[str]:
    """Scripts and rules change together: one handling of an event, or of a match, is by the same version of all."""
    versions: dict[int, list[Row]] = defaultdict(list)
    for row in observed.rows:
        if row.kind == "count":
            versions[row.n].append(row)
    for handled in versions.values():
        once_each = sorted(row.script for row in handled) == sorted(BOTH)
        if once_each and handled[0].version != handled[1].version:
            yield f"one event, two versions of one change: {handled}"
    yield from (f"one match, two versions of one change: {each}" for each in observed.found if each.is_mixed)
