"""What judges the rounds sees each kind of damage, and no other."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import replace

import msgspec
import pytest

from tests.chaos.model import Identity, outcome
from tests.chaos.verdict import Observed, differences, expected, missing, not_stored
from tests.chaos.workload import EPOCH_MS, Row, Workload

Damage = Callable[[list[Row]], object]


@pytest.fixture
def workload() -> Workload:
    made = Workload(random.Random(7), lines=60, posts=30)
    made.closing()
    made.audits()
    return made


def perfect(workload: Workload) -> Observed:
    """Return what a host without accidents shows."""
    wanted = outcome(workload.all())
    rows = [_row(identity, facts) for identity, facts in wanted.rows.items()]
    return Observed(rows, frozenset(wanted.letters))


def _row(identity: Identity, facts: dict[str, object]) -> Row:
    script, kind, key, n = identity
    return msgspec.convert(
        {"script": script, "kind": kind, "key": key, "n": n, "id": f"id-{n}", "version": 1, **facts}, Row
    )


def judged(workload: Workload, observed: Observed, *, repeats: bool = True) -> Sequence[str]:
    return differences(expected(workload.all(), (), observed), observed, repeats=repeats)


def test_a_run_without_accidents_has_no_differences(workload: Workload) -> None:
    observed = perfect(workload)
    assert judged(workload, observed, repeats=False) == []
    assert any(event.do == "fail" for event in workload.all())
    assert len(observed.rows) > 300


def counts(rows: list[Row]) -> list[int]:
    """The indexes of the rows of counted events of one key."""
    return [index for index, row in enumerate(rows) if (row.script, row.kind, row.key) == ("count.py", "count", "f0")]


def double_count(rows: list[Row]) -> None:
    index = counts(rows)[3]
    rows[index] = msgspec.structs.replace(rows[index], count=(rows[index].count or 0) + 1)


def swap_two(rows: list[Row]) -> None:
    first, second, *_ = counts(rows)
    rows[first], rows[second] = rows[second], rows[first]


def other_id(rows: list[Row]) -> None:
    rows.append(msgspec.structs.replace(rows[0], id="another"))


def shared_id(rows: list[Row]) -> None:
    rows[:] = [msgspec.structs.replace(row, id="id-1") if row.n == 2 else row for row in rows]


def other_version(rows: list[Row]) -> None:
    rows[0] = msgspec.structs.replace(rows[0], version=2)


def early_timer(rows: list[Row]) -> None:
    index = next(index for index, row in enumerate(rows) if row.at is not None)
    rows[index] = msgspec.structs.replace(rows[index], at=EPOCH_MS)


def unknown_event(rows: list[Row]) -> None:
    rows.append(msgspec.structs.replace(rows[0], n=99_999, id="x"))


@pytest.mark.parametrize(
    ("damage", "complaint"),
    [
        (lambda rows: rows.pop(5), "lost: "),
        (double_count, "expected {'count': "),
        (swap_two, "out of order: count.py, key f0"),
        (other_id, "two identifiers"),
        (shared_id, "share an identifier"),
        (other_version, "two versions of one change"),
        (early_timer, "expected {'at': "),
        (unknown_event, "unknown: Row"),
    ],
)
def test_each_kind_of_damage_is_seen(workload: Workload, damage: Damage, complaint: str) -> None:
    observed = perfect(workload)
    rows = list(observed.rows)
    damage(rows)
    assert any(complaint in line for line in judged(workload, replace(observed, rows=rows)))


def test_what_comes_again_is_seen_only_where_it_must_not(workload: Workload) -> None:
    observed = perfect(workload)
    again = replace(observed, rows=[*observed.rows, *observed.rows[:20]])
    assert judged(workload, again, repeats=True) == []
    assert len(judged(workload, again, repeats=False)) == 20


def test_dead_letters_and_torn_lines_are_compared(workload: Workload) -> None:
    observed = perfect(workload)
    known = next(iter(observed.letters))
    assert judged(workload, replace(observed, letters=observed.letters - {known})) == [f"lost: dead letter {known}"]
    more = observed.letters | {("count.py", 1)}
    assert judged(workload, replace(observed, letters=more)) == ["unknown: dead letter ('count.py', 1)"]
    assert judged(workload, replace(observed, torn=1)) == ["unknown: 1 lines that are not whole"]


def test_events_without_an_answer_may_be_in_or_not_but_whole(workload: Workload) -> None:
    posted = next(event for event in workload.posts if event.do == "count")
    rest = [event for event in workload.all() if event.n != posted.n]
    without = outcome(rest)
    observed = Observed([_row(*each) for each in without.rows.items()], frozenset(without.letters))
    assert differences(expected(workload.all(), {posted.n}, observed), observed, repeats=False) == []
    whole = perfect(workload)
    assert differences(expected(workload.all(), {posted.n}, whole), whole, repeats=False) == []
    half = replace(whole, rows=[row for row in whole.rows if (row.n, row.script) != (posted.n, "count.js")])
    assert len(missing(expected(workload.all(), {posted.n}, half), half)) == 2, "its count and its timer"


def test_the_state_in_the_last_checkpoint_is_compared(workload: Workload) -> None:
    wanted = outcome(workload.all())
    stored = {(script, key): facts["state"] for (script, kind, key, _), facts in wanted.rows.items() if kind == "audit"}
    assert not_stored(wanted, stored) == []
    some = next(iter(stored))
    assert len(not_stored(wanted, {**stored, some: {**stored[some], "count": 0}})) == 1
    assert len(not_stored(wanted, {place: state for place, state in stored.items() if place != some})) == 1
    assert len(not_stored(wanted, {**stored, ("count.py", "f9"): {"count": 1}})) == 1
