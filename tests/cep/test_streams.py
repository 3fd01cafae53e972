"""Streams of events with a key: batches, order, late events, the clock."""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.cep.streams import EVENTS, PATTERNS, SIZES, Event, cut, fed, feed_batch, incoming, rules, shown, stream_of
from trimtab.cep.snapshot import load, store
from trimtab.cep.stream import Incoming

PROPERTY = settings(max_examples=200, deadline=None)

# --- batches -----------------------------------------------------------------------------------------------


@PROPERTY
@given(EVENTS, SIZES, st.booleans(), st.integers(0, 30))
def test_a_batch_finds_what_its_events_find_one_by_one(
    events: list[Event], sizes: list[int], event_time: bool, lateness: int
) -> None:
    batched, single = (stream_of(*rules(*PATTERNS), event_time=event_time) for _ in range(2))
    late: tuple[list[Incoming], list[Incoming]] = ([], [])
    highest = 0
    for first, batch in cut(events, sizes):
        found = shown(feed_batch(batched, batch, first, late[0]))
        expected = []
        for one in incoming(batch, first):
            results = single.feed_one(one.time, one.key, one.value, one.position)
            expected += shown(results or [])
            late[1].extend([one] if results is None else [])
        assert found == expected
        highest = max(highest, *(each.time for each in batch))
        if event_time:
            assert shown(batched.advance(highest - lateness)) == shown(single.advance(highest - lateness))
            assert list(batched.waiting) == list(single.waiting)
    assert shown(batched.advance(1000)) == shown(single.advance(1000))
    assert late[0] == late[1]
    assert list(batched.open) == list(single.open)


def test_keys_of_a_batch_are_json_values() -> None:
    stream = stream_of(*rules("strict"))
    keys = [1.5, [1], {"a": 1}, True, 1, None]
    events = [Event(time, key, v) for key in keys for time, v in ((1, 9), (2, 1))]
    feed_batch(stream, events, 0, [])
    assert [key for _, _, key, *_ in shown(stream.advance(2))] == [("1.5",), ("[1]",), ('{"a":1}',), ("true",), 1, None]


def test_an_empty_batch_is_nothing() -> None:
    for event_time in (True, False):
        stream = stream_of(*rules("alone"), event_time=event_time)
        assert (feed_batch(stream, [], 0, []), stream.clock) == ([], None)


# --- order -------------------------------------------------------------------------------------------------


@PROPERTY
@given(EVENTS, SIZES, st.lists(st.integers(0, 70), max_size=6))
def test_events_are_taken_by_time_and_those_of_one_time_as_they_came(
    events: list[Event], sizes: list[int], clock: list[int]
) -> None:
    stream = stream_of(*rules("alone"))
    events = [event._replace(v=7) for event in events]
    for first, batch in cut(events, sizes):
        feed_batch(stream, batch, first, [])
    found = [each for time in (*sorted(clock), 100) for each in shown(stream.advance(time))]
    order = sorted(range(len(events)), key=lambda position: events[position].time)
    assert [positions["a"] for *_, positions, _time in found] == [[position] for position in order]


def test_the_watermark_is_the_last_time_that_counts() -> None:
    stream, late = stream_of(*rules("alone")), list[Incoming]()
    fed(stream, Event(5, "k", 7), Event(6, "k", 7))
    assert [time for *_, time in shown(stream.advance(5))] == [5]
    late_events = [Event(5, "k", 7), Event(4, "k", 7), Event(6, "k", 7), Event(3, "k", 1)]
    feed_batch(stream, late_events, 2, late)
    assert late == incoming(late_events, 2)[:2] + incoming(late_events, 2)[3:]
    assert [time for *_, time in shown(stream.advance(6))] == [6, 6]
    assert shown(stream.advance(6)) == shown(stream.advance(1)) == []


def test_what_waits_goes_on_waiting_in_another_stream() -> None:
    stream, other = stream_of(*rules("alone")), stream_of(*rules("alone"))
    events = [Event(time, "k", 7) for time in (9, 3, 9, 5, 9, 3, 1)] * 20
    for first, batch in cut(events, [40, 3, 1]):
        feed_batch(stream, batch, first, [])
    stream.advance(4)
    other.feed(list(stream.waiting), [])
    assert len(other.waiting) == len(stream.waiting) == 80
    assert shown(other.advance(9)) == shown(stream.advance(9))
    assert not other.waiting


# --- the clock ---------------------------------------------------------------------------------------------


def test_time_outs_have_their_place_among_the_events_of_all_keys() -> None:
    stream = stream_of(*rules("pair", "alone"))
    fed(stream, Event(1, "k", 9), Event(3, "l", 9), Event(21, "m", 7), Event(22, "m", 7), Event(23, "m", 7))
    found = [(kind, time) for _, kind, _, _, time in shown(stream.advance(23))]
    assert found == [("timeout", 21), ("match", 21), ("match", 22), ("timeout", 23), ("match", 23)]


def test_the_next_alarm_is_no_later_than_the_next_time_out() -> None:
    stream = stream_of(*rules("pair"))
    assert stream.next_alarm is None
    fed(stream, Event(1, "k", 9), Event(4, "l", 9))
    stream.advance(4)
    assert stream.next_alarm == 21
    assert len(stream.advance(21)) == 1
    assert stream.next_alarm == 24
    assert (len(stream.advance(24)), stream.next_alarm) == (1, None)


def test_alarms_of_what_has_ended_go_with_it() -> None:
    stream = stream_of(*rules("strict", "pair"))
    for number in range(10_000):
        events = [Event(number, f"k{number}", 9), Event(number, f"k{number}", 10), Event(number, f"k{number}", 0)]
        feed_batch(stream, events, 0, [])
        stream.advance(number)
    assert stream.next_alarm is not None
    assert len(stream.open) <= 20
    stream.advance(20_000)
    assert not stream.open
    assert stream.next_alarm is None


@PROPERTY
@given(EVENTS, SIZES, st.integers(0, 40))
def test_partial_matches_go_on_in_another_stream(events: list[Event], sizes: list[int], stop: int) -> None:
    """As after a restart: they are put there one by one, in any order, and events that waited come again."""
    names = [name for name in PATTERNS if name != "between"]  # what its clock has seen is more than its open matches
    stream = stream_of(*rules(*names))
    for first, batch in cut(events, sizes):
        feed_batch(stream, batch, first, [])
    stream.advance(stop)
    ours = {placed.rule.id: placed for placed in rules(*names)}
    other = stream_of(*ours.values())
    stored = [(key, placed.rule.id, each) for key, states in stream.open.items() for placed, each in states.items()]
    random.Random(stop).shuffle(stored)
    for key, name, partials in stored:
        other.put(ours[name], key, load(store(partials), other.next_number))
    other.clock = stream.clock
    other.feed(list(stream.waiting), [])
    assert sorted(map(repr, shown(other.advance(200)))) == sorted(map(repr, shown(stream.advance(200))))
    assert set(other.open) == set(stream.open)
