"""What holds for all rules and all streams of events, beside what Flink finds in them."""

from __future__ import annotations

import gc
import random
import weakref
from collections.abc import Callable, Iterable, Sequence
from itertools import groupby
from typing import Any, TypeAlias

from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from tests.cep.oracle.generate import cases
from tests.cep.oracle.replay import with_callables
from tests.cep.rule_json import Json, graph, node, quantifier, window
from trimtab.cep import Match, Matcher, RuleError, read_rule
from trimtab.cep.conditions import Conditions
from trimtab.cep.placed import Placed, place
from trimtab.cep.runs import by_stage
from trimtab.cep.stream import Incoming, KeyedStream, Result

Step: TypeAlias = Json | int
"""An event that comes, or a time that the clock comes to."""
PROPERTY = settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])
SEEDS = st.integers(0, 20_000)
KEYS = ("a", "b", 3, None)
ODD = (None, "a", True, 1.0, -1, [1], {"v": 1}, 1 << 70)


def case_of(seed: int) -> Json:
    case: Json = next(cases(seed, invalid=0))
    case["rule"] = with_callables(case["rule"])
    return case


def steps_of(case: Json) -> list[Step]:
    """The events of a case, with keys and numbers, and between them the times of the clock."""
    lot = random.Random(case["id"])
    steps: list[Step] = []
    for position, event in enumerate(case["events"]):
        steps.append({**event, "n": position, "k": lot.choice(KEYS)})
        steps += [time for at, time in case["watermarks"] if at == position]
    return steps


def oddly(steps: Iterable[Step], lot: random.Random) -> list[Step]:
    """The steps with some values of events that are of other types."""
    changed: list[Step] = []
    for step in steps:
        is_odd = isinstance(step, dict) and lot.random() < 0.3
        changed.append({**step, lot.choice(("t", "v")): lot.choice(ODD)} if is_odd else step)  # type: ignore[dict-item]
    return changed


def make(case: Json, **more: Any) -> Matcher:
    try:
        return Matcher(document(case, **more), key="k", time=case["time"])
    except RuleError:  # what would make Flink hang or crash
        assume(False)
        raise


def document(case: Json, **more: Any) -> Json:
    return {"id": case["id"], "pattern": case["rule"], **more}


def taken(matcher: Matcher, step: Step) -> list[Match]:
    return matcher.advance(step) if isinstance(step, int) else matcher.feed(step)


def shown(matches: Iterable[Match]) -> list[Any]:
    """Matches by the numbers of their events."""
    return [
        (match.kind, match.key, match.timestamp, {name: [event["n"] for event in events] for name, events in stages})
        for match in matches
        for stages in [list(match.events.items())]
    ]


# --- snapshots ---------------------------------------------------------------------------------------------


@settings(PROPERTY, max_examples=60)
@given(SEEDS, st.integers(0, 3), st.sampled_from([3, 10_000]))
def test_a_snapshot_at_any_step_changes_nothing_that_follows(seed: int, begin: int, most: int) -> None:
    case = case_of(seed)
    plain = make(case, partial_matches=most)
    matcher = make(case, partial_matches=most)
    for number, step in enumerate(steps_of(case), begin):
        if number % 4 == 0:
            matcher = restored(matcher, case, most)
        assert by_key(shown(taken(matcher, step))) == by_key(shown(taken(plain, step))), number
    assert matcher.late == plain.late


def by_key(found: list[Any]) -> list[Any]:
    """What was found in one step, key by key."""
    return sorted(found, key=lambda match: str(match[1]))


def restored(matcher: Matcher, case: Json, most: int) -> Matcher:
    rule = document(case, partial_matches=most)
    return Matcher.restore(matcher.snapshot(), rule, key="k", time=case["time"])


# --- many rules, many keys ---------------------------------------------------------------------------------


def placed_rules(seeds: Sequence[int], name: Callable[[int], str] = str) -> list[Placed]:
    """Rules that share conditions and stages."""
    conditions = Conditions(lambda: 0)
    found = []
    for seed in seeds:
        case = case_of(seed)
        try:
            found.append(place(read_rule(document(case)), conditions, name=name(seed)))
        except RuleError:
            continue
    assume(found)
    return found


def run(rules: Sequence[Placed], steps: Iterable[Step], *, event_time: bool) -> list[tuple[str, Any]]:
    """What some rules find together: by rule, with the number of the step."""
    stream = KeyedStream(event_time=event_time)
    for placed in rules:
        stream.add(placed)
    found: list[tuple[str, Any]] = []
    late: list[Incoming] = []
    for number, step in enumerate(steps):
        if isinstance(step, int):
            results = stream.advance(step)
        else:
            results = stream.feed([Incoming(step["ts"], step["n"], step["k"], step)], late)
        found += [(result.placed.name, (number, *of_result(result))) for result in results]
    return found


def of_result(result: Result) -> tuple[Any, ...]:
    found = result.found
    stages = {name: [event.position for event in events] for name, events in by_stage(found.run.path).items()}
    return found.kind, result.key, found.time, stages


RULES = st.lists(SEEDS, min_size=2, max_size=6, unique=True)


@PROPERTY
@given(RULES, SEEDS)
def test_what_a_rule_finds_does_not_depend_on_the_other_rules(seeds: list[int], stream: int) -> None:
    case = case_of(stream)
    steps, event_time = oddly(steps_of(case), random.Random(stream)), case["time"] == "event"
    together = run(placed_rules(seeds), steps, event_time=event_time)
    for alone in placed_rules(seeds):
        found = run([alone], steps, event_time=event_time)
        assert [each for name, each in together if name == alone.name] == [each for _, each in found]


@PROPERTY
@given(RULES, SEEDS)
def test_the_index_hides_no_match(seeds: list[int], stream: int) -> None:
    case = case_of(stream)
    steps, event_time = oddly(steps_of(case), random.Random(stream)), case["time"] == "event"
    everywhere = placed_rules(seeds)
    for placed in everywhere:
        placed.needs = None
    indexed = run(placed_rules(seeds), steps, event_time=event_time)
    assert indexed == run(everywhere, steps, event_time=event_time)


@PROPERTY
@given(SEEDS)
def test_what_is_found_for_a_key_does_not_depend_on_the_other_keys(seed: int) -> None:
    case = case_of(seed)
    steps = steps_of(case)
    together = [match for matcher in [make(case)] for step in steps for match in shown(taken(matcher, step))]
    for key in KEYS:
        mine = [step for step in steps if isinstance(step, int) or step["k"] == key]
        alone = [match for matcher in [make(case)] for step in mine for match in shown(taken(matcher, step))]
        assert [match for match in together if match[1] == key] == alone


# --- event time --------------------------------------------------------------------------------------------


@PROPERTY
@given(SEEDS, st.randoms(use_true_random=False))
def test_in_which_order_events_of_different_times_come_does_not_matter(seed: int, lot: random.Random) -> None:
    case = {**case_of(seed), "time": "event"}
    steps = steps_of(case)
    shuffled: list[Step] = []
    for is_event, part in groupby(steps, key=lambda step: isinstance(step, dict)):
        group: list[Any] = list(part)
        if is_event:
            lots = {time: lot.random() for time in {event["ts"] for event in group}}
            group = merged([[event for event in group if event["ts"] == time] for time in lots], lot)
        shuffled += group
    first, second = make(case), make(case)
    for step, other in zip(steps, shuffled, strict=True):
        assert shown(taken(first, step)) == shown(taken(second, other))
    assert first.late == second.late


def merged(several: Sequence[list[Any]], lot: random.Random) -> list[Any]:
    """Lists in one, each in its own order."""
    order = [number for number, each in enumerate(several) for _ in each]
    lot.shuffle(order)
    rest = [iter(each) for each in several]
    return [next(rest[number]) for number in order]


def without_gaps(rule: Any) -> Any:
    """A rule without windows from one event to the next."""
    if isinstance(rule, list):
        return [without_gaps(each) for each in rule]
    if not isinstance(rule, dict):
        return rule
    kept = {key: without_gaps(value) for key, value in rule.items() if key != "windowTime"}
    if (kept.get("window") or {}).get("type") == "PREVIOUS_AND_CURRENT":
        kept["window"] = None
    return kept


@PROPERTY
@given(SEEDS, st.lists(st.floats(0, 1), max_size=12))
def test_small_steps_of_the_watermark_find_what_one_large_step_finds(seed: int, parts: list[float]) -> None:
    case = case_of(seed)
    case = {**case, "time": "event", "rule": without_gaps(case["rule"])}
    steps = [step for step in steps_of(case) if isinstance(step, dict)]
    begin, end = min(step["ts"] for step in steps), max(step["ts"] for step in steps)
    length = 3 * (end - begin) + 20 * 86_400_000
    small, large = make(case), make(case)
    for step in steps:
        assert taken(small, step) == taken(large, step) == []
    times = sorted(begin + round(part * scale) for part in parts for scale in (length, end - begin))
    found = [match for time in (*times, begin + length) for match in shown(small.advance(time))]
    assert found == shown(large.advance(begin + length))


# --- memory ------------------------------------------------------------------------------------------------


class Tag:
    """Something that an event holds, to see when the event is gone."""


def tagged(steps: Iterable[Step]) -> tuple[list[Step], list[weakref.ref[Tag]]]:
    found: list[Step] = []
    tags: list[weakref.ref[Tag]] = []
    for step in steps:
        tag = Tag()
        if isinstance(step, dict):
            tags.append(weakref.ref(tag))
        found.append({**step, "tag": tag} if isinstance(step, dict) else step)
    return found, tags


@PROPERTY
@given(SEEDS)
def test_nothing_is_kept_of_what_the_window_has_ended(seed: int) -> None:
    case = case_of(seed)
    if "type" in case["rule"]:
        case["rule"]["window"] = window(20, unit="DAYS")
    matcher = make(case)
    assume(matcher.placed.machine.window)
    steps, tags = tagged(steps_of(case))
    end = max(step["ts"] for step in steps if isinstance(step, dict))
    while steps:
        taken(matcher, steps.pop(0))
    assume(matcher.stream.open or matcher.stream.next_alarm is not None)
    assume(not matcher.stream.stopped)  # that a rule is stopped for a key is kept until it changes
    matcher.advance(end + 40 * 86_400_000)
    assert matcher.stream.open == {}
    assert not matcher.stream.waiting
    assert matcher.stream.next_alarm is None
    assert [tag for tag in tags if tag() is not None] == []


def test_an_event_lives_as_long_as_a_partial_match_needs_it() -> None:
    rule = graph(node("a", "t == 'a'"), node("b", "t == 'b'"), kinds=["STRICT"])
    matcher = Matcher(rule, time="arrival")
    steps, tags = tagged([{"t": "a", "ts": 1}, {"t": "a", "ts": 2}, {"t": "c", "ts": 3}])
    alive = []
    gc.disable()
    try:
        while steps:
            taken(matcher, steps.pop(0))
            alive.append([tag() is not None for tag in tags])
    finally:
        gc.enable()
    assert alive == [[True, True, True], [False, True, True], [False, False, False]]


def test_what_a_loop_holds_is_shared_and_goes_with_its_until_event() -> None:
    loop = quantifier("LOOPING", untilCondition={"type": "AVIATOR", "expression": "t == 'u'"})
    matcher = Matcher(graph(node("a", "t == 'a'", loop), node("b", "t == 'b'")), time="arrival")
    steps, tags = tagged([{"t": "a", "ts": at} for at in range(20)])
    while steps:
        taken(matcher, steps.pop(0))
    [partials] = matcher.stream.open[None].values()
    assert len({id(run.path) for run in partials.runs}) <= 20 * 21 // 2
    assert all(tag() is not None for tag in tags)
    assert len(matcher.feed({"t": "b", "ts": 30})) == 20 * 21 // 2
    matcher.feed({"t": "u", "ts": 31})
    matcher.feed({"t": "b", "ts": 32})
    assert matcher.stream.open == {}
    assert [tag for tag in tags if tag() is not None] == []
