"""Events as lines: decoded where a rule looks at them, and what that finds is what decoded events find."""

from __future__ import annotations

import math
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.cep.rule_json import graph, node, window
from tests.cep.streams import cut, shown, stream_of
from trimtab.cep import read_rule
from trimtab.cep.conditions import Conditions
from trimtab.cep.placed import Placed, place
from trimtab.cep.stream import KeyedStream
from trimtab.engine.batch import Batch, Events, SourceSpec
from trimtab.engine.rule_streams import StreamId, feed

SPEC = SourceSpec(key="k", timestamp="ts")
CONDITIONS = ("x > 5", "x <= 2", "x == 1 && y > 3", "x == 'a'", "x == 'a' && y == 2", "k == 'b'", "x > 1 || y < 3")
VALUES: st.SearchStrategy[Any] = st.one_of(st.integers(0, 9), st.sampled_from([None, "a", True, 7.0, [7], {}]))
FIELDS = st.fixed_dictionaries(
    {"ts": st.integers(0, 60)}, optional={"k": st.sampled_from("ab"), "x": VALUES, "y": VALUES}
)


def rules(*conditions: str, **more: Any) -> list[Placed]:
    pattern = [graph(node("a", each), node("b", "x > 0"), kinds=["STRICT"], window=window(20)) for each in conditions]
    documents = [{"id": str(number), "pattern": each, **more} for number, each in enumerate(pattern)]
    return [place(read_rule(each), Conditions()) for each in documents]


def events_of(lines: list[bytes], fields: frozenset[str] | None, start: int = 0) -> Events:
    batch = Batch(id=1, generation=1, source="s", data=b"\n".join(lines), count=len(lines), arrival=7, start=start)
    return Events(batch, SPEC, decoded=fields is None, fields=fields or frozenset())


def found(stream: KeyedStream, lines: list[bytes], sizes: list[int], lateness: int, *, lazy: bool) -> list[Any]:
    results, start, highest = list[Any](), 0, 0
    for _first, part in cut(lines, sizes):
        events = events_of(list(part), stream.fields if lazy else None, start)
        results += shown(feed(stream, events, StreamId("s", None, event_time=True), []))
        start += sum(map(len, part)) + len(part)
        highest = max(highest, events.max_timestamp or 0)
        results += shown(stream.advance(highest - lateness))
    return results + shown(stream.advance(1000))


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.sampled_from(CONDITIONS), min_size=1, max_size=4),
    st.lists(FIELDS, max_size=60),
    st.lists(st.integers(1, 45), min_size=1),
    st.integers(0, 30),
)
def test_lines_find_what_decoded_events_find(
    conditions: list[str], events: list[dict[str, Any]], sizes: list[int], lateness: int
) -> None:
    lines = [msgspec.json.encode(event) for event in events]
    lazy, eager = (stream_of(*rules(*conditions)) for _ in range(2))
    assert found(lazy, lines, sizes, lateness, lazy=True) == found(eager, lines, sizes, lateness, lazy=False)


def test_a_stream_tells_which_fields_its_rules_look_at_first() -> None:
    assert stream_of(*rules("x > 5", "y == 1 && z < 2")).fields == frozenset("xyz")
    assert stream_of(*rules("x == 1", binding_keys=["a"])).fields == frozenset()
    for looks_at_all in ("x != 1", "x.y > 1", "x > y"):
        assert stream_of(*rules("x > 5", looks_at_all)).fields is None


def test_a_number_that_no_float_can_hold_is_an_infinity() -> None:
    stream = stream_of(*rules("x > 5"))
    lines = [b'{"ts":1,"x":9,"big":1e999}', b'{"ts":2,"x":1,"big":-1e999}']
    feed(stream, events_of(lines, stream.fields), StreamId("s", None, event_time=True), [])
    (result,) = stream.advance(1000)
    assert result.found.run.path.event.value == {"ts": 2, "x": 1, "big": -math.inf}
    assert result.found.run.first.value == {"ts": 1, "x": 9, "big": math.inf}


def test_positions_and_keys_of_lines_are_those_of_decoded_events() -> None:
    lines = [b'{"ts":1,"k":"a"}', b"{}", b'{"k":null,"ts":3}', '{"k":"é"}'.encode()]
    lazy, eager = events_of(lines, frozenset({"k"}), 10), events_of(lines, None, 10)
    assert list(lazy.positions) == list(eager.positions) == [10, 27, 30, 48]
    assert (lazy.keys, lazy.timestamps) == (eager.keys, eager.timestamps) == (["a", None, None, "é"], [1, 7, 3, 7])
    assert list(lazy.values) == list(eager.values)
