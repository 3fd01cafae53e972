"""The rules of a round always have something to lose, and their model says what trimtab finds without any accident."""

from __future__ import annotations

import random

import msgspec
import pytest

from tests.chaos.model import Ended, partial_matches
from tests.chaos.rules import EVERY, LOWEST, SKIPPING, rules
from tests.chaos.workload import Event, Workload
from trimtab.cep import Matcher

SEEDS = range(40)


def events_by_key(seed: int) -> dict[str, list[Event]]:
    """The events of a round that rules look at."""
    workload = Workload(random.Random(seed), lines=600, posts=0)
    workload.closing()
    workload.audits()
    events = [event for event in workload.all() if event.ts is not None]
    return {key: [event for event in events if event.key == key] for key in Workload.FILE_KEYS}


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("rule", [EVERY, SKIPPING])
def test_the_model_ends_partial_matches_as_a_matcher_does(rule: str, seed: int) -> None:
    for events in events_by_key(seed).values():
        matcher = Matcher(rules(1)[rule])
        for event in events:
            matcher.feed(msgspec.json.decode(event.line()))
        found = matcher.advance(events[-1].ts or 0)
        assert [
            (each.kind, each.timestamp, [event["n"] for taken in each.events.values() for event in taken])
            for each in found
        ] == [
            (each.kind, each.at, [event.n for event in (each.low, *each.highs)])
            for each in partial_matches(events, skipping=rule == SKIPPING)
        ]


def begun(ended: Ended) -> int:
    return ended.low.ts or 0


def test_a_key_has_partial_matches_at_nearly_every_moment() -> None:
    seen = open_then = 0
    for seed in SEEDS:
        for events in events_by_key(seed).values():
            ended = partial_matches(events, skipping=True)
            moments = [event.ts or 0 for event in events if event.do in ("count", "fail")]
            seen += len(moments)
            open_then += sum(any(begun(each) <= moment < each.at for each in ended) for moment in moments)
    assert open_then > 0.95 * seen


def test_partial_matches_end_in_every_way() -> None:
    matches = timeouts = withheld = dropped = 0
    for seed in SEEDS:
        for events in events_by_key(seed).values():
            ended = partial_matches(events, skipping=True)
            matches += sum(each.kind == "match" for each in ended)
            timeouts += sum(each.kind == "timeout" for each in ended)
            withheld += sum(each.kind == "match" and each.at > (each.highs[-1].ts or 0) for each in ended)
            dropped += sum(event.value < LOWEST for event in events) - len(ended)
    assert min(matches, timeouts, withheld, dropped) > 20 * len(SEEDS)
