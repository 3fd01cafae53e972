"""Rules of a stream: they come and go, are for certain keys, and have partial matches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from tests.cep.rule_json import window
from tests.cep.streams import PATTERNS, Event, fed, feed_batch, rules, shown, stream_of
from trimtab.cep import read_rule
from trimtab.cep.conditions import Conditions
from trimtab.cep.placed import place
from trimtab.cep.runs import Partials


def test_a_rule_that_is_removed_ends_what_it_has_begun() -> None:
    [strict] = rules("strict")
    stream = stream_of(strict)
    fed(stream, Event(1, "k", 9))
    stream.advance(1)
    stream.remove(strict)
    fed(stream, Event(2, "l", 9), Event(3, "k", 1), Event(3, "l", 1))
    assert [key for _, _, key, *_ in shown(stream.advance(3))] == ["k"]


def test_a_rule_begins_with_the_events_that_are_taken_after_it_was_added() -> None:
    stream, [alone] = stream_of(), rules("alone")
    fed(stream, Event(1, "k", 7), Event(2, "k", 7))
    stream.advance(1)
    stream.add(alone)
    assert [time for *_, time in shown(stream.advance(2))] == [2]


def test_a_rule_is_forgotten_alone() -> None:
    strict, pair = rules("strict", "pair")
    stream = stream_of(strict, pair)
    fed(stream, Event(1, "k", 9), Event(1, "l", 9), Event(1, "m", 9))
    stream.advance(1)
    assert stream.keys_of(strict) == ["k", "l", "m"]
    stream.forget(strict)
    assert stream.keys_of(strict) == []
    assert {key: list(states) for key, states in stream.open.items()} == {"k": [pair], "l": [pair], "m": [pair]}
    stream.put(pair, "l", Partials())
    assert (stream.keys_of(pair), "l" in stream.open, len(stream.open)) == (["k", "m"], False, 2)


def test_partial_matches_of_a_rule_can_be_handed_to_another() -> None:
    [old] = rules("pair")
    new = place(read_rule({"id": "new", "pattern": {**PATTERNS["pair"], "window": window(50)}}), Conditions())
    stream = stream_of(old)
    fed(stream, Event(1, "k", 9), Event(2, "l", 9), Event(3, "m", 9))
    stream.advance(3)
    partials = stream.open["l"][old]
    stream.put(old, "l", Partials())
    stream.put(new, "l", partials)
    assert (stream.keys_of(old), stream.keys_of(new)) == (["k", "m"], ["l"])
    found = stream.advance(30) + stream.advance(60)
    assert [(result.placed, result.key, result.found.time) for result in found] == [
        (old, "k", 21),
        (old, "m", 23),
        (new, "l", 52),
    ]
    assert not stream.open


@pytest.mark.parametrize("event_time", [True, False])
@pytest.mark.parametrize(
    ("bindings", "bound"),
    [((), ["k", "k2", "x", 17]), (("k", "17"), ["k", 17]), (("k*",), ["k", "k2"]), (("?", "k2"), ["k", "k2", "x"])],
)
def test_a_rule_looks_at_the_keys_that_it_is_bound_to(
    bindings: Sequence[str], bound: list[Any], event_time: bool
) -> None:
    [placed] = rules("alone", binding_keys=list(bindings))
    stream = stream_of(placed, *rules("pair"), event_time=event_time)
    events = [Event(time, key, 7) for time, key in enumerate(["k", "k2", "x", 17])]
    found = shown(feed_batch(stream, events, 0, []) + stream.advance(9))
    assert [key for name, _, key, *_ in found if name == "alone"] == bound
    stream.remove(placed)
    found = shown(feed_batch(stream, [event._replace(time=10) for event in events], 0, []) + stream.advance(11))
    assert not [each for each in found if each[0] == "alone"]


def test_what_has_changed_is_told_if_somebody_wants_to_know() -> None:
    [strict] = rules("strict")
    stream = stream_of(strict)
    fed(stream, Event(1, "k", 9), Event(1, "l", 0), Event(1, "m", 5))
    stream.advance(1)
    stream.changed = {}
    fed(stream, Event(2, "l", 9), Event(2, "n", 1), Event(2, "k", 4), Event(2, "m", 4))
    stream.advance(2)
    assert list(stream.changed) == [(strict, "l"), (strict, "k")]
