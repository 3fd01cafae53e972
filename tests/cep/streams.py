"""Streams of small events, and rules that look at them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, TypeVar

from hypothesis import strategies as st

from tests.cep.rule_json import Json, graph, node, window
from trimtab.cep import read_rule
from trimtab.cep.conditions import Conditions
from trimtab.cep.placed import Placed, place
from trimtab.cep.runs import by_stage
from trimtab.cep.stream import Incoming, KeyedStream, Result

T = TypeVar("T")


class Event(NamedTuple):
    """An event to be fed. ``v``: what conditions look at."""

    time: int
    key: Any
    v: Any

    @property
    def value(self) -> Json:
        return {"v": self.v}


PAIR = graph(node("a", "v > 5"), node("b", "v > last('a').v"), window=window(20), skip="SKIP_PAST_LAST_EVENT")
STRICT = graph(node("a", "v > 5"), node("b", "v < 3"), kinds=["STRICT"])
ALONE = graph(node("a", "v == 7"))
FORBIDDEN = graph(node("a", "v == 1"), node("no", "v == 2"), kinds=["NOT_FOLLOW"], window=window(15))
BETWEEN = graph(node("a", "v > 2"), node("b", "v > 3", windows=[window(9, "PREVIOUS_AND_CURRENT")]), window=window(30))
PATTERNS = {"pair": PAIR, "strict": STRICT, "alone": ALONE, "forbidden": FORBIDDEN, "between": BETWEEN}


def rules(*names: str, conditions: Conditions | None = None, **more: Any) -> list[Placed]:
    conditions = conditions or Conditions()
    return [place(read_rule({"id": name, "pattern": PATTERNS[name], **more}), conditions) for name in names]


def stream_of(*placed: Placed, event_time: bool = True) -> KeyedStream:
    stream = KeyedStream(event_time=event_time)
    for each in placed:
        stream.add(each)
    return stream


def incoming(events: Iterable[Event], first: int = 0) -> list[Incoming]:
    return [Incoming(each.time, position, each.key, each.value) for position, each in enumerate(events, first)]


def feed_batch(stream: KeyedStream, events: Sequence[Event], first: int, late: list[Incoming]) -> list[Result]:
    times, keys = [each.time for each in events], [each.key for each in events]
    return stream.feed_batch(times, keys, [each.value for each in events], range(first, first + len(events)), late)


def fed(stream: KeyedStream, *events: Event) -> list[Any]:
    return shown(feed_batch(stream, events, 0, []))


def shown(results: Iterable[Result]) -> list[Any]:
    """What was found: rule, kind, key, positions of events, time."""
    return [
        (
            result.placed.rule.id,
            result.found.kind,
            result.key,
            {name: [each.position for each in events] for name, events in by_stage(result.found.run.path).items()},
            result.found.time,
        )
        for result in results
    ]


KEYS = st.sampled_from(["k", "l", 3, None])
VALUES: st.SearchStrategy[Any] = st.one_of(
    st.integers(0, 9), st.integers(0, 9), st.sampled_from([None, "7", True, 7.0, [7], {}, float("nan")])
)
EVENTS = st.lists(st.builds(Event, st.integers(0, 60), KEYS, VALUES), max_size=90)
SIZES = st.lists(st.integers(1, 45), min_size=1)


def cut(events: Sequence[T], sizes: Sequence[int]) -> Iterable[tuple[int, Sequence[T]]]:
    """Events in batches of these sizes, in turn, each with the position of its first one."""
    at = number = 0
    while at < len(events):
        size = sizes[number % len(sizes)]
        yield at, events[at : at + size]
        at, number = at + size, number + 1
