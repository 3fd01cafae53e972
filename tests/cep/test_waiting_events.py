"""Events that wait for the watermark, and alarms of partial matches, beside what sorted lists would do."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trimtab.cep.alarms import Alarms
from trimtab.cep.runs import Event, Partials, Run, Taken
from trimtab.cep.waiting import Columns, Row, Waiting
from trimtab.values import Decoded

BATCHES = st.lists(st.lists(st.integers(0, 99), min_size=1, max_size=70), max_size=12)


def columns(times: list[int], first: int) -> Columns:
    numbers = range(first, first + len(times))
    keys = [f"k{number}" for number in numbers]
    return Columns(times, numbers, keys, Decoded({"n": number} for number in numbers), numbers)


def taken(waiting: Waiting, time: int) -> list[tuple[int, int]]:
    """Time and number of each event that is due; its other parts must be its own."""
    batches, single = waiting.take(time)
    assert single == sorted(row for row in single if row[0] <= time)
    found = []
    for at, number, key, value, position in (*single, *(row for each in batches for row in zip(*each, strict=True))):
        assert (key, value, position) == (f"k{number}", {"n": number}, number)
        if at <= time:
            found.append((at, number))
    return sorted(found)


def add(waiting: Waiting, times: list[int], first: int) -> None:
    """Add events: as a batch, a single one by itself."""
    batch = columns(times, first)
    if len(times) == 1:
        waiting.add_one(next(batch.rows([0])))
    else:
        waiting.add(batch, min(times))


@settings(max_examples=300, deadline=None)
@given(BATCHES, st.lists(st.integers(0, 30), min_size=1))
def test_every_event_is_let_go_once_when_its_time_has_come(batches: list[list[int]], steps: list[int]) -> None:
    waiting, expected, first, clock = Waiting(), list[tuple[int, int]](), 0, -1
    for number, batch in enumerate([*batches, [0]]):
        times = [clock + 1 + time for time in batch]
        add(waiting, times, first)
        expected += zip(times, range(first, first + len(times)), strict=True)
        first += len(times)
        clock += steps[number % len(steps)]
        assert taken(waiting, clock) == sorted(each for each in expected if each[0] <= clock)
        expected = [each for each in expected if each[0] > clock]
        assert [(each.time, each.position) for each in waiting] == expected
        assert (len(waiting), bool(waiting)) == (len(expected), bool(expected))


@pytest.mark.parametrize("disorder", [1, 60, 5000, 40_000])
def test_an_event_is_moved_twice_at_most_however_long_it_waits(monkeypatch: pytest.MonkeyPatch, disorder: int) -> None:
    """Into the rest of its batch, and from there into the heap."""
    moved, events = Counter[int](), 4_000
    part, rows = Columns.part, Columns.rows

    def counted_part(self: Columns, indexes: Sequence[int]) -> Columns:
        moved.update(self.numbers[i] for i in indexes)
        return part(self, indexes)

    def counted_rows(self: Columns, indexes: Sequence[int]) -> Iterator[Row]:
        moved.update(self.numbers[i] for i in indexes)
        return rows(self, indexes)

    monkeypatch.setattr(Columns, "part", counted_part)
    monkeypatch.setattr(Columns, "rows", counted_rows)
    lot, waiting = random.Random(disorder), Waiting()
    for first in range(0, events, 40):
        times = [first + number + lot.randrange(disorder) for number in range(40)]
        waiting.add(columns(times, first), min(times))
        waiting.take(first + 40 - disorder)
    waiting.take(events + disorder)
    assert not waiting
    assert max(moved.values(), default=0) <= 2


# --- alarms ------------------------------------------------------------------------------------------------


def partials(number: int) -> Partials:
    event = Event(None, number, number, number)
    return Partials(runs=(Run(0, Taken("a", event, None), event),), key=number)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 50), st.sampled_from([5, 7, 0]), st.integers(0, 3)), max_size=80))
def test_alarms_ring_in_the_order_of_their_times_unless_what_they_are_for_has_ended(
    steps: list[tuple[int, int, int]],
) -> None:
    alarms, expected = Alarms(), list[tuple[int, int]]()
    for number, (time, window, then) in enumerate(steps):
        each = partials(number)
        if window:
            alarms.set(each, time - window, window)
        else:
            alarms.ring_at(time, each)
        if then == 0:
            each.runs = ()
        expected += [(time, number)] if then or not window else []
        if then == 1:
            rung = []
            while (alarm := alarms.pop(time)) is not None:
                rung.append((alarm[0], alarm[1].key))
            assert [at for at, _key in rung] == sorted(at for at, _key in rung)
            assert {each for each in rung if alarms_for(steps, each)} == {each for each in expected if each[0] <= time}
            expected = [each for each in expected if each[0] > time]
        assert alarms.next is None or not expected or alarms.next <= min(expected)[0]


def alarms_for(steps: list[tuple[int, int, int]], alarm: tuple[int, int]) -> bool:
    """Whether an alarm has to ring: others may."""
    _time, window, then = steps[alarm[1]]
    return bool(then or not window)


def test_alarms_of_what_has_ended_are_let_go() -> None:
    alarms = Alarms()
    kept = [partials(number) for number in range(10)]
    for time in range(50_000):
        each = kept[time // 5_000] if time % 5_000 == 0 else partials(time)
        alarms.set(each, time, 5)
        if each not in kept:
            each.runs = ()
    assert sum(map(len, alarms._queues.values())) < 3_000
    rung = []
    while (alarm := alarms.pop(60_000)) is not None:
        rung.append(alarm)
    assert rung == [(5_000 * number + 5, each) for number, each in enumerate(kept)]
    assert (alarms.next, alarms._queues) == (None, {})
