from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.api import Codec, CodecError
from trimtab.plugins.codecs import JsonCodec, MsgpackCodec, TextCodec, trimtab_codecs

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.text()
    | st.floats(allow_nan=False, allow_infinity=False)
)
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=20)


@given(VALUES)
def test_every_codec_makes_one_line_of_json_that_means_the_same(value: Any) -> None:
    records = {"json": msgspec.json.encode(value), "msgpack": msgspec.msgpack.encode(value)}
    for codec in trimtab_codecs():
        if codec.name in records:
            line = codec.to_json(records[codec.name])
            assert msgspec.json.decode(line) == value
            assert b"\n" not in line


@given(st.text(st.characters(exclude_characters="\n", exclude_categories=["Cs"])))
def test_a_line_of_text_becomes_a_string_without_its_carriage_return(line: str) -> None:
    decoded = msgspec.json.decode(TextCodec().to_json(line.encode() + b"\r"))
    assert decoded == line


@given(st.sampled_from(list(trimtab_codecs())), st.binary())
def test_any_bytes_become_json_or_a_codec_error(codec: Codec, record: bytes) -> None:
    with suppress(CodecError):
        msgspec.json.decode(codec.to_json(record))


def test_json_over_several_lines_becomes_one_line() -> None:
    assert JsonCodec().to_json(b'{\n "a": [1,\n 2]\n}') == b'{"a":[1,2]}'


@pytest.mark.parametrize("record", [b"", b"{", b"{} {}", b"nan", b"\xff", b"[" * 100_000])
def test_what_is_not_json_is_an_error(record: bytes) -> None:
    with pytest.raises(CodecError, match="expected JSON, got an error"):
        JsonCodec().to_json(record)


def test_text_that_is_not_utf8_is_an_error_with_the_byte_and_its_offset() -> None:
    with pytest.raises(CodecError, match="got the byte 0xff at offset 2"):
        TextCodec().to_json(b"ab\xffc")


def test_binary_values_of_msgpack_become_base64_and_timestamps_text() -> None:
    record = msgspec.msgpack.encode({"raw": b"\x00\xff", "at": datetime(2024, 5, 1, tzinfo=UTC), 7: None})
    assert MsgpackCodec().to_json(record) == b'{"raw":"AP8=","at":"2024-05-01T00:00:00Z","7":null}'


@pytest.mark.parametrize(
    "record",
    [b"", b"\x81", b"\x01\x02", msgspec.msgpack.encode(msgspec.msgpack.Ext(5, b"x")), b"\x81\x91\x01\x02", b"\xc1"],
    ids=["nothing", "cut off", "two documents", "extension", "list as key", "reserved"],
)
def test_msgpack_that_json_cannot_hold_is_an_error(record: bytes) -> None:
    with pytest.raises(CodecError, match="expected one MessagePack document"):
        MsgpackCodec().to_json(record)


def test_only_msgpack_needs_framing_and_only_json_needs_no_decoding() -> None:
    assert {codec.name: (codec.lines, codec.is_json) for codec in trimtab_codecs()} == {
        "json": (True, True),
        "text": (True, False),
        "msgpack": (False, False),
    }
