"""What judges the rounds sees each kind of damage, and no other."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import replace

import msgspec
import pytest

from tests.chaos.model import Outcome, outcome
from tests.chaos.rules import EVERY, SKIPPING, Finding, rules
from tests.chaos.verdict import Observed, differences, expected, missing, not_stored
from tests.chaos.workload import EPOCH_MS, Row, Workload, version_of
from trimtab.engine.rule_versions import PARTIAL

Damage = Callable[[list[Row]], object]
Spoil = Callable[[list[Finding]], object]


@pytest.fixture
def workload() -> Workload:
    made = Workload(random.Random(7), lines=300, posts=30)
    made.closing()
    made.audits()
    return made


def perfect(workload: Workload) -> Observed:
    """Return what a host without accidents shows."""
    return shown(outcome(workload.all()))


def shown(wanted: Outcome) -> Observed:
    rows, found = [], []
    for (origin, kind, key, numbers), facts in wanted.emitted.items():
        if isinstance(numbers, int):
            row = {"script": origin, "kind": kind, "key": key, "n": numbers, "id": f"id-{numbers}", "version": 1}
            rows.append(msgspec.convert({**row, **facts}, Row))
        else:
            by = 1 if kind == "match" else None
            found.append(
                Finding(
                    f"{origin}-{kind}-{numbers}",
                    origin,
                    kind,
                    version_of(rules(1)[origin]),
                    key,
                    **facts,
                    handled_by=by,
                )
            )
    return Observed(rows, found, frozenset(wanted.letters))


def judged(workload: Workload, observed: Observed, *, repeats: bool = True) -> Sequence[str]:
    return differences(expected(workload.all(), (), observed), observed, repeats=repeats)


def test_a_run_without_accidents_has_no_differences(workload: Workload) -> None:
    observed = perfect(workload)
    assert judged(workload, observed, repeats=False) == []
    assert any(event.do == "fail" for event in workload.all())
    assert len(observed.rows) > 300
    assert len({(each.kind, each.key) for each in observed.found}) == 10, (
        "matches and time-outs of each key of the file"
    )


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


def of_key(found: list[Finding], kind: str = "match") -> list[int]:
    """The indexes of what one rule has found of one kind for one key."""
    return [index for index, each in enumerate(found) if (each.rule, each.kind, each.key) == (SKIPPING, kind, "f0")]


def change(found: list[Finding], index: int, **fields: object) -> None:
    found[index] = msgspec.structs.replace(found[index], **fields)


def without_an_event(found: list[Finding]) -> None:
    events = found[of_key(found)[0]].events
    change(found, of_key(found)[0], events={**events, "high": events["high"][1:]})


def with_an_event_twice(found: list[Finding]) -> None:
    events = found[of_key(found, "timeout")[0]].events
    change(found, of_key(found, "timeout")[0], events={**events, "low": events["low"] * 2})


def with_another_value(found: list[Finding]) -> None:
    low = found[0].events["low"][0]
    change(found, 0, events={**found[0].events, "low": [replace(low, value=low.value - 1)]})


def in_another_stage(found: list[Finding]) -> None:
    events = found[of_key(found)[0]].events
    change(found, of_key(found)[0], events={"low": [*events["low"], events["high"][0]], "high": events["high"][1:]})


def turn_round(found: list[Finding]) -> None:
    first, second, *_ = of_key(found)
    found[first], found[second] = found[second], found[first]


@pytest.mark.parametrize(
    ("spoil", "complaint"),
    [
        (lambda found: found.pop(of_key(found)[1]), f"lost: ('{SKIPPING}', 'match', 'f0', "),
        (lambda found: found.pop(of_key(found, "timeout")[1]), f"lost: ('{SKIPPING}', 'timeout', 'f0', "),
        (lambda found: change(found, of_key(found)[0], kind="timeout"), "unknown: Finding"),
        (without_an_event, "unknown: Finding"),
        (with_an_event_twice, "unknown: Finding"),
        (with_another_value, "expected {'timestamp': "),
        (in_another_stage, "expected {'timestamp': "),
        (lambda found: change(found, 0, timestamp=EPOCH_MS), "expected {'timestamp': "),
        (lambda found: change(found, of_key(found)[1], count=1), "expected {'timestamp': "),
        (turn_round, f"out of order: {SKIPPING}, key f0"),
        (lambda found: found.append(msgspec.structs.replace(found[0], id="another")), "two identifiers"),
        (lambda found: change(found, 1, id=found[0].id), "share an identifier"),
        (lambda found: change(found, of_key(found)[0], handled_by=2), "one match, two versions of one change"),
    ],
)
def test_each_kind_of_damage_to_what_rules_find_is_seen(workload: Workload, spoil: Spoil, complaint: str) -> None:
    observed = perfect(workload)
    found = list(observed.found)
    spoil(found)
    assert any(complaint in line for line in judged(workload, replace(observed, found=found)))


def test_what_comes_again_is_seen_only_where_it_must_not(workload: Workload) -> None:
    observed = perfect(workload)
    again = replace(observed, rows=[*observed.rows, *observed.rows[:20]], found=[*observed.found, *observed.found[:5]])
    assert judged(workload, replace(again, starts=2), repeats=True) == []
    assert sum("emitted twice" in line for line in judged(workload, again, repeats=False)) == 25


def test_a_host_comes_back_to_what_was_emitted_only_when_it_starts(workload: Workload) -> None:
    observed = perfect(workload)
    twice = replace(observed, found=[each for each in observed.found for _ in range(2)])
    complaints = judged(workload, replace(twice, starts=3))
    assert len(complaints) == 10, "one of each rule and key"
    assert all("times in 3 starts: " in line for line in complaints)
    lives = replace(observed, found=[*observed.found, *observed.found, *observed.found], starts=3)
    assert judged(workload, lives) == []


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
    observed = shown(outcome(rest))
    assert differences(expected(workload.all(), {posted.n}, observed), observed, repeats=False) == []
    whole = perfect(workload)
    assert differences(expected(workload.all(), {posted.n}, whole), whole, repeats=False) == []
    half = replace(whole, rows=[row for row in whole.rows if (row.n, row.script) != (posted.n, "count.js")])
    assert len(missing(expected(workload.all(), {posted.n}, half), half)) == 2, "its count and its timer"


def test_the_state_in_the_last_checkpoint_is_compared(workload: Workload) -> None:
    wanted = outcome(workload.all())
    stored = {
        (script, key): facts["state"] for (script, kind, key, _), facts in wanted.emitted.items() if kind == "audit"
    }
    assert not_stored(wanted, stored) == []
    some = next(iter(stored))
    assert len(not_stored(wanted, {**stored, some: {**stored[some], "count": 0}})) == 1
    assert len(not_stored(wanted, {place: state for place, state in stored.items() if place != some})) == 1
    assert len(not_stored(wanted, {**stored, ("count.py", "f9"): {"count": 1}})) == 1
    assert len(not_stored(wanted, {**stored, (EVERY, "f0"): {f"{PARTIAL}gps::event:0": {}}})) == 1
