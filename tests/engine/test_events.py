"""Events: one batch as handlers see it."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.engine.batch import Batch, Events, InvalidRecordsError, SourceSpec, read_keys


def batch(*lines: bytes, **fields: Any) -> Batch:
    plain = Batch(id=1, generation=1, source="gps", data=b"\n".join(lines), count=len(lines), arrival=99)
    return msgspec.structs.replace(plain, **fields)


def events(*lines: bytes, spec: SourceSpec = SourceSpec(), decoded: bool = True, **fields: Any) -> Events:  # noqa: B008
    return Events(batch(*lines, **fields), spec, decoded=decoded)


def test_positions_are_byte_offsets_unless_given() -> None:
    by_offset = events(b'{"a":1}', b"{}", b"[]", start=100)
    assert [by_offset.position(i) for i in range(3)] == [100, 108, 111]
    given_ones = events(b"1", b"2", positions=[7, 9])
    assert [given_ones.position(i) for i in range(2)] == [7, 9]


def test_an_id_is_made_of_source_partition_and_position() -> None:
    assert events(b"1", partition="ab", start=5).id(0) == "gps:ab:5"


@pytest.mark.parametrize("decoded", [True, False])
def test_key_and_time_are_read_from_the_event(decoded: bool) -> None:
    spec = SourceSpec(key="vehicle", timestamp="ts")
    seen = events(b'{"vehicle":"a","ts":5}', b'{"ts":7.9,"x":[1,{}]}', b"{}", spec=spec, decoded=decoded)
    assert [seen.key(i) for i in range(3)] == ["a", None, None]
    assert [seen.timestamp(i) for i in range(3)] == [5, 7, 99]
    assert seen.max_timestamp == 7


@pytest.mark.parametrize("decoded", [True, False])
def test_key_and_time_may_lie_deeper(decoded: bool) -> None:
    spec = SourceSpec(key="car.id", timestamp="car.at")
    seen = events(b'{"car":{"id":3,"at":4}}', b'{"car":1}', spec=spec, decoded=decoded)
    assert (seen.key(0), seen.timestamp(0), seen.key(1)) == (3, 4, None)


@pytest.mark.parametrize("decoded", [True, False])
@pytest.mark.parametrize("spec", [SourceSpec(), SourceSpec(key="k"), SourceSpec(key="a.b")])
@pytest.mark.parametrize(
    "lines", [(b"{", b"{}"), (b"{} {}", b""), (b"{} {}",), (b"[1", b"2]"), (b'"\xff"',), (b"NaN",), (b"{}", b"{}", b"")]
)
def test_lines_that_are_not_one_json_value_each_are_refused(
    lines: tuple[bytes, ...], spec: SourceSpec, decoded: bool
) -> None:
    with pytest.raises(InvalidRecordsError):
        events(*lines, spec=spec, decoded=decoded)


@pytest.mark.parametrize("line", [b"1", b'"text"', b"[1,2]", b"null", b"true"])
def test_an_event_need_not_be_an_object(line: bytes) -> None:
    seen = events(line, spec=SourceSpec(key="k", timestamp="t"), decoded=False)
    assert (seen.key(0), seen.timestamp(0)) == (None, 99)


def test_what_one_handler_changes_no_other_sees() -> None:
    seen = events(b'{"a":1}', b'{"a":2}')
    first = seen.fresh([0, 1])
    first[0]["a"] = "changed"
    assert seen.fresh([0, 1]) == [{"a": 1}, {"a": 2}]
    assert seen.objects[0] == {"a": 1}


def test_selected_events_are_joined_for_engines_that_read_text() -> None:
    seen = events(b"1", b"2", b"3")
    assert seen.joined([0, 2], b",") == b"1,3"
    assert seen.joined(range(3), b",") == b"1,2,3"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)


@given(st.lists(json_values, min_size=1, max_size=8), st.sampled_from([None, "k", "a.b"]))
def test_decoded_or_not_the_same_keys_and_times_are_seen(values: list[Any], key: str | None) -> None:
    lines = [msgspec.json.encode(value) for value in values]
    spec = SourceSpec(key=key, timestamp="t")
    one, other = events(*lines, spec=spec, decoded=True), events(*lines, spec=spec, decoded=False)
    assert one.keys == other.keys
    assert one.timestamps == other.timestamps
    assert one.fresh(range(len(values))) == [json.loads(line) for line in lines]


def test_keys_are_read_for_routing_even_beside_invalid_records() -> None:
    assert read_keys(b'{"k":1}\n{"k":"x"}', 2, "k") == [1, "x"]
    assert read_keys(b'{"k":1}\n{"k":\n7', 3, "k") == [1, None, None]
    assert read_keys(b'{"a":{"b":2}}', 1, "a.b") == [2]
