"""How the body of a request becomes records."""

from __future__ import annotations

import gzip
import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.plugins.codecs import JsonCodec, MsgpackCodec, TextCodec
from trimtab.plugins.http.bodies import inflate, split
from trimtab.plugins.http.refusals import Refusal

JSON = JsonCodec()

scalars = (
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
values = st.recursive(
    scalars | texts, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3), max_leaves=6
)
objects = st.dictionaries(texts, values, max_size=4)


def render(value: Any, space: Any) -> str:
    """Write a value as JSON with whitespace between all tokens, as ``space()`` gives it."""
    if isinstance(value, dict):
        members = [f"{space()}{json.dumps(key)}{space()}:{render(inner, space)}" for key, inner in value.items()]
        text = f"{{{','.join(members)}{space()}}}"
    elif isinstance(value, list):
        text = f"[{','.join(render(inner, space) for inner in value)}{space()}]"
    else:
        text = json.dumps(value, ensure_ascii=False)
    return f"{space()}{text}{space()}"


def spaces(data: st.DataObject, alphabet: str) -> Any:
    return lambda: data.draw(st.text(alphabet, max_size=2))


def refusal(body: bytes, *, ndjson: bool = False) -> Refusal:
    with pytest.raises(Refusal) as caught:
        split(body, JSON, ndjson=ndjson)
    assert caught.value.status == 400
    return caught.value


@given(st.lists(values, min_size=2, max_size=5), st.data())
def test_an_array_and_ndjson_give_the_same_events_whatever_the_whitespace(
    events: list[Any], data: st.DataObject
) -> None:
    array = render(events, spaces(data, " \t\r\n")).encode()
    inline = spaces(data, " \t\r")
    lines = "\n".join(render(event, inline) for event in events).encode() + data.draw(
        st.sampled_from([b"", b"\n", b"\r\n"])
    )
    for records in (
        split(array, JSON, ndjson=False),
        split(lines, JSON, ndjson=True),
        split(lines, JSON, ndjson=False),
    ):
        assert [json.loads(record) for record in records] == events
        assert not any(b"\n" in record for record in records)


@given(objects, st.data())
def test_one_object_is_one_event_whatever_the_whitespace(event: dict[str, Any], data: st.DataObject) -> None:
    body = render(event, spaces(data, " \t\r\n")).encode()
    (record,) = split(body, JSON, ndjson=False)
    assert json.loads(record) == event
    assert b"\n" not in record


@given(
    st.lists(objects, max_size=4), st.integers(0, 4), st.sampled_from([b"NaN", b'{"a":}', b'"\xff"', b"{'a':1}", b"01"])
)
def test_a_bad_element_is_named_by_its_index_and_a_bad_line_by_its_number(
    events: list[dict[str, Any]], place: int, bad: bytes
) -> None:
    texts = [json.dumps(event).encode() for event in events]
    place = min(place, len(texts))
    texts.insert(place, bad)
    assert refusal(b"[" + b",".join(texts) + b"]").index == place
    assert refusal(b"\n".join(texts), ndjson=True).line == place + 1


@pytest.mark.parametrize(
    ("body", "line", "index", "got"),
    [
        (b'{"a":1}\n{"a":\n', 2, None, "breaks off"),
        (b'{"a":1}\n\n{"a":1} {"a":2}', 3, None, "trailing characters"),
        (b'{"a":1} {"a":2}', 1, None, "trailing characters"),
        (b'{\n "a": 1,\n "b": oops\n}', 3, None, "invalid character"),
        (b'[{"a":1},\n{"a":1},\n{"a":1 "b"}]', 3, 2, "malformed JSON"),
        (b'[{"a":"],[\\"{"},{"a":', 1, 1, "breaks off"),
        (b'[{"a":"never ends', 1, 0, "breaks off"),
        (b"[1, 2] 3", 1, None, "trailing characters"),
        (b'{"a":"\xff"}', 1, None, "not UTF-8"),
        (b'[1,\n"\xed\xa0\x80"]', 2, 1, "not UTF-8"),
        (b'{"a":Infinity}', 1, None, "invalid character"),
        (b'{"a":"a\nb"}', 1, None, "invalid character"),
        (b"\xef\xbb\xbf{}", 1, None, "invalid character"),
        (b"[" * 100_000, None, None, "nested too deeply"),
        (b"hello", 1, None, "malformed JSON"),
    ],
)
def test_a_refusal_says_where_and_what(body: bytes, line: int | None, index: int | None, got: str) -> None:
    error = refusal(body)
    assert (error.line, error.index) == (line, index)
    assert got in error.got
    assert error.hint


def test_a_line_with_two_values_beside_a_value_on_two_lines_is_not_two_events() -> None:
    assert refusal(b"1 2\n[3,\n4]", ndjson=True).line == 1


def test_lines_that_are_arrays_are_events_when_the_sender_says_ndjson_or_there_are_several() -> None:
    assert split(b"[1,2]", JSON, ndjson=True) == [b"[1,2]"]
    assert split(b"[1]\n[2]", JSON, ndjson=False) == [b"[1]", b"[2]"]
    assert split(b"[1,2]\n", JSON, ndjson=False) == [b"1", b"2"]


def test_numbers_keep_the_digits_that_were_sent() -> None:
    assert split(b'[1.10, 1e2, {"n": 12345678901234567890123}]', JSON, ndjson=False) == [
        b"1.10",
        b"1e2",
        b'{"n": 12345678901234567890123}',
    ]


@pytest.mark.parametrize("body", [b"", b" \r\n\t"])
def test_an_empty_body_is_refused(body: bytes) -> None:
    assert refusal(body).got == "an empty body"


def test_an_empty_array_is_no_events() -> None:
    assert split(b" [\n] ", JSON, ndjson=False) == []


def test_a_codec_of_lines_takes_one_record_a_line() -> None:
    assert split(b"a\n\nb\n", TextCodec(), ndjson=False) == [b"a", b"", b"b"]
    with pytest.raises(Refusal, match=r"line 2: expected a record in the codec text, got .*0xff"):
        split(b"a\n\xff", TextCodec(), ndjson=False)


def test_a_codec_without_lines_takes_the_whole_body_as_one_record() -> None:
    body = msgspec.msgpack.encode([10, "\n"])
    assert split(body, MsgpackCodec(), ndjson=False) == [body]
    with pytest.raises(Refusal, match="expected a record in the codec msgpack") as caught:
        split(body[:-1], MsgpackCodec(), ndjson=False)
    assert caught.value.line is None


# --- gzip ---


@given(st.lists(st.binary(max_size=50), min_size=1, max_size=3))
def test_gzip_is_inflated_also_in_several_members(parts: list[bytes]) -> None:
    data = b"".join(parts)
    assert inflate(b"".join(gzip.compress(part) for part in parts), max(1, len(data))) == data


def test_gzip_that_grows_beyond_the_limit_is_refused_with_413() -> None:
    bomb = gzip.compress(bytes(50_000_000))
    with pytest.raises(Refusal) as caught:
        inflate(bomb, 1000)
    assert caught.value.status == 413


@pytest.mark.parametrize(
    "body",
    [
        b"{}",
        gzip.compress(b"{}")[:-4],
        gzip.compress(b"{}")[:12] + b"\xff" * 20,
        gzip.compress(b"{}") + b"tail",
        b"\x1f\x8b",
    ],
    ids=["plain", "cut", "corrupt", "tail", "header"],
)
def test_bytes_that_are_not_gzip_are_refused_with_400(body: bytes) -> None:
    with pytest.raises(Refusal) as caught:
        inflate(body, 1000)
    assert caught.value.status == 400
    assert "gzip" in caught.value.expected
