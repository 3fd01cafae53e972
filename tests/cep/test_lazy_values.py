"""Events as lines: decoded where a rule looks at them, and what that finds is what decoded events find."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.cep.rule_json import graph, node, window
from tests.cep.streams import cut, shown, stream_of
from trimtab.cep import begin, read_rule
from trimtab.cep.conditions import Conditions
from trimtab.cep.matcher import as_match
from trimtab.cep.placed import Placed, place
from trimtab.cep.sample import EventReader
from trimtab.cep.snapshot import StoredPartials, load, store
from trimtab.cep.stream import KeyedStream, Result
from trimtab.engine.batch import Batch, Events, InvalidRecordsError, SourceSpec
from trimtab.engine.rule_streams import StreamId, feed

SPEC = SourceSpec(key="k", timestamp="ts")
STREAM = StreamId("s", None, event_time=True)
FIRST = (
    "x > 5",
    "x <= 2",
    "x == 1 && y > 3",
    "x == 'a'",
    "x == 'a' && y == 2",
    "k == 'b'",
    "x > 1 || y < 3",
    "ts > 20",
)
SECOND = ("x > 0", "z == nil", "z != 3", "x > last('a').x", "first('a').y.v == 1", "y.v + last('a').z > 2", "o > 1")
WHOLE = ("x > y", "count(all('a')) == 1", "string.length(str(last('a'))) > 20")
VALUES: st.SearchStrategy[Any] = st.one_of(st.integers(0, 9), st.sampled_from([None, "a", True, 7.0, [7], {"v": 1}]))
OTHERS = {"x": VALUES, "y": VALUES, "z": VALUES, "": VALUES, "line": VALUES}
FIELDS = st.fixed_dictionaries({"ts": st.integers(0, 60)}, optional={"k": st.sampled_from("ab"), **OTHERS})
UNUSUAL = st.fixed_dictionaries({}, optional={"ts": VALUES, "k": VALUES, **OTHERS})
"""Keys and times of other types, or none."""


def rules(*conditions: tuple[str, str], conditions_of: Conditions | None = None, **more: Any) -> list[Placed]:
    """Two strict stages, with these conditions."""
    patterns = [
        graph(node("a", first), node("b", second), kinds=["STRICT"], window=window(20)) for first, second in conditions
    ]
    documents = [{"id": str(number), "pattern": each, **more} for number, each in enumerate(patterns)]
    return [place(read_rule(each), conditions_of or Conditions()) for each in documents]


def events_of(lines: list[bytes], fields: frozenset[str] | None, start: int = 0) -> Events:
    batch = Batch(id=1, generation=1, source="s", data=b"\n".join(lines), count=len(lines), arrival=7, start=start)
    return Events(batch, SPEC, decoded=False, fields=fields)


def take(stream: KeyedStream, lines: list[bytes], lateness: int, *, lazy: bool, start: int = 0) -> list[Any]:
    events = events_of(lines, stream.fields if lazy else None, start)
    results = feed(stream, events, STREAM, [])
    return told([*results, *stream.advance(max(stream.clock or 0, (events.max_timestamp or 0) - lateness))])


def told(results: list[Result]) -> list[Any]:
    """What was found, with the events."""
    return [(each, as_match(result).events) for each, result in zip(shown(results), results, strict=True)]


@settings(max_examples=400, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(FIRST), st.sampled_from(SECOND)), min_size=1, max_size=4),
    st.lists(FIELDS, max_size=60) | st.lists(FIELDS | UNUSUAL, max_size=60),
    st.lists(st.integers(1, 45), min_size=1),
    st.integers(0, 30),
    st.sampled_from(["k", "x"]),
)
def test_lines_find_what_decoded_events_find(
    conditions: list[tuple[str, str]], events: list[dict[str, Any]], sizes: list[int], lateness: int, later: str
) -> None:
    """Also by a rule that comes when events wait of which other fields were read, and of partial matches restored."""
    lines = [msgspec.json.encode(event) for event in events]
    streams = [stream_of(*rules(*conditions)) for _ in range(2)]
    start, late = 0, [rules((f"{later} != 'q'", "y.v == 1 || w == nil"))[0] for _ in range(2)]
    for first, part in cut(lines, sizes):
        found = [take(s, list(part), lateness, lazy=s is streams[0], start=start) for s in streams]
        assert found[0] == found[1]
        start += sum(map(len, part)) + len(part)
        if first == 0:
            for stream, rule in zip(streams, late, strict=True):
                stream.add(rule)
        for stream in streams:
            for key, states in list(stream.open.items()):
                for placed, partials in list(states.items()):
                    stored = msgspec.json.decode(msgspec.json.encode(store(partials)), type=StoredPartials)
                    stream.put(placed, key, load(stored, stream.next_number))
    assert told(streams[0].advance(1000)) == told(streams[1].advance(1000))


def test_a_stream_tells_which_fields_its_rules_look_at() -> None:
    stream = stream_of(*rules(("x > 5", "z > last('a').y.v"), ("y == 1 && v < 2", "x == 1")))
    assert stream.fields == frozenset("vxyz")
    for first, second in (("x != 1", "x > 1"), ("x.y > 1", "x > 1"), *(("x > 1", each) for each in WHOLE[1:])):
        assert stream_of(*rules(("x > 5", "x > 1"), (first, second))).fields is None
    (many,) = rules(("x > 5", " && ".join(f"f{number} > 1" for number in range(20))))
    stream.add(many)
    assert stream.fields is None
    stream.remove(many)
    assert stream.fields == frozenset("vxyz")


def test_a_function_of_a_script_gets_whole_events() -> None:
    seen = list[Any]()

    def note(event: Any, partial: Any) -> bool:
        seen.append((event, partial))
        return True

    pattern = begin("a").where("x > 5").next("b").where(note)
    stream = stream_of(place(read_rule(pattern), Conditions()))
    assert stream.fields is None
    take(stream, [b'{"ts":1,"x":9,"o":[1]}', b'{"ts":2,"x":1,"o":[2]}'], -5, lazy=True)
    assert seen == [({"ts": 2, "x": 1, "o": [2]}, {"a": [{"ts": 1, "x": 9, "o": [1]}]})]


@pytest.mark.parametrize("name", ["__class__", "line", "whole", "text", "__dict__", "_FIELD"])
def test_a_field_is_never_an_attribute_of_ours(name: str) -> None:
    stream = stream_of(*rules(("x > 5", f"{name} != nil")))
    lines = [b'{"ts":1,"x":9}', b'{"ts":2,"x":1}', b'{"ts":3,"x":9}', b'{"ts":4,"%s":2}' % name.encode()]
    found = take(stream, lines, -5, lazy=True)
    assert [events for _found, events in found] == [{"a": [{"ts": 3, "x": 9}], "b": [{"ts": 4, name: 2}]}]


def test_a_number_that_no_float_can_hold_is_an_infinity() -> None:
    stream = stream_of(*rules(("x > 5", "x > 0")))
    ((_found, events),) = take(stream, [b'{"ts":1,"x":9,"big":1e999}', b'{"ts":2,"x":1,"big":-1e999}'], -5, lazy=True)
    assert events == {"a": [{"ts": 1, "x": 9, "big": math.inf}], "b": [{"ts": 2, "x": 1, "big": -math.inf}]}
    with pytest.raises(InvalidRecordsError):  # where somebody wants whole events
        events_of([b'{"ts":1,"x":9,"big":1e999}'], None)


@pytest.mark.parametrize(
    "data", [b'{"x":1} {"x":2}\n ', b' \n{"x":1}{"x":2}', b'{"x":1}\n\t\r\n{"x":1} {"x":1}', b'{"x":1}{"x":2}\n']
)
def test_a_line_with_two_events_and_a_blank_one_are_refused(data: bytes) -> None:
    for fields in (None, frozenset("x")):
        with pytest.raises(InvalidRecordsError):
            events_of(data.split(b"\n"), fields)


def test_positions_and_keys_of_lines_are_those_of_decoded_events() -> None:
    lines = [b'{"ts":1,"k":"a"}', b"{}", b'{"k":null,"ts":3}', '{"k":"é"}'.encode()]
    lazy, eager = events_of(lines, frozenset({"k"}), 10), events_of(lines, None, 10)
    assert list(lazy.positions) == list(eager.positions) == [10, 27, 30, 48]
    assert (lazy.keys, lazy.timestamps) == (eager.keys, eager.timestamps) == (["a", None, None, "é"], [1, 7, 3, 7])
    assert list(lazy.values) == list(eager.values)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.one_of(FIELDS.map(msgspec.json.encode), st.sampled_from([b"", b" ", b"7", b"{", b"{} {}"]))))
def test_sample_events_are_read_as_lines_as_they_are_decoded(lines: list[bytes]) -> None:
    read = []
    for fields in (None, frozenset("kx")):
        reader = EventReader("ts", "k", event_time=True, now=lambda: 0, fields=fields)
        first = reader.read([line + b"\n" for line in lines])
        read.append((list(first.one_by_one()), reader.bad, reader.count))
    assert read[0] == read[1]
