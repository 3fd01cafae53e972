"""Values between scripts and MongoDB: nothing is lost on the way there and back."""

from __future__ import annotations

import json
import math
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import bson
import pytest
from bson import Binary, Code, DBRef, Decimal128, Int64, MaxKey, MinKey, ObjectId, Regex, Timestamp
from bson.codec_options import CodecOptions, DatetimeConversion
from bson.datetime_ms import DatetimeMS
from hypothesis import given, settings
from hypothesis import strategies as some

from trimtab.plugins.mongo.values import to_bson, to_script

STORED: CodecOptions[dict[str, Any]] = CodecOptions(datetime_conversion=DatetimeConversion.DATETIME_MS)
INT64 = 2**63
EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - hypothesis adds the time zone

names = some.text(alphabet=some.characters(exclude_characters="\0$", exclude_categories=["Cs"]))
scalars = (
    some.none()
    | some.booleans()
    | some.integers(-INT64, INT64 - 1)
    | some.floats(allow_nan=False)
    | some.text(alphabet=some.characters(exclude_categories=["Cs"]))
    | some.binary(min_size=12, max_size=12).map(ObjectId)
    | some.integers(-(2**62), 2**62).map(DatetimeMS)
    | some.binary()
    | some.builds(Binary, some.binary(), some.sampled_from([3, 4, 5, 128]))
    | some.integers(-(10**33), 10**33).map(lambda number: Decimal128(Decimal(number).scaleb(-6)))
    | some.sampled_from([Decimal128("NaN"), Decimal128("-Infinity"), Decimal128("1.10"), MinKey(), MaxKey()])
    | some.builds(Timestamp, some.integers(0, 2**32 - 1), some.integers(0, 2**32 - 1))
    | some.sampled_from([Regex("^a.*b$", "im"), Regex("x"), Code("f()"), Code("f(x)", {"x": 1})])
    | some.builds(DBRef, some.sampled_from(["c", "d"]), some.binary(min_size=12, max_size=12).map(ObjectId))
)
documents = some.dictionaries(
    names,
    some.recursive(scalars, lambda inner: some.lists(inner) | some.dictionaries(names, inner), max_leaves=20),
)


def stored(value: Any) -> Any:
    """What the server gives back for what it was given."""
    return bson.decode(bson.encode({"v": value}), STORED)["v"]


@settings(deadline=None)
@given(documents)
def test_what_is_found_and_inserted_again_is_the_same(document: dict[str, Any]) -> None:
    found = to_script(stored(document))
    again = to_bson(json.loads(json.dumps(found)))
    assert to_script(stored(again)) == found
    assert shapes(stored(again)) == shapes(stored(document))


def shapes(value: Any) -> Any:
    """The value, with its types; integers of 32 and 64 bits are one."""
    if isinstance(value, dict):
        return {name: shapes(part) for name, part in value.items()}
    if isinstance(value, list):
        return [shapes(part) for part in value]
    return (int if isinstance(value, int) and not isinstance(value, bool) else type(value), str(value))


@settings(deadline=None)
@given(some.datetimes(min_value=EPOCH, timezones=some.just(UTC)))
def test_a_date_keeps_its_milliseconds(moment: datetime) -> None:
    text = to_script(stored(to_bson(moment)))["$date"]
    assert datetime.fromisoformat(text) == moment.replace(microsecond=moment.microsecond // 1000 * 1000)
    assert to_script(stored(to_bson({"$date": text}))) == {"$date": text}


TIMES = [
    (datetime(2020, 1, 2, 3, 4, 5), "2020-01-02T03:04:05Z"),  # noqa: DTZ001 - what is tested
    (datetime(2020, 1, 2, 3, 4, 5, 6789, tzinfo=timezone(timedelta(hours=2))), "2020-01-02T01:04:05.006Z"),
    ({"$date": "2020-01-02T03:04:05+02:00"}, "2020-01-02T01:04:05Z"),
    ({"$date": {"$numberLong": "1577934245000"}}, "2020-01-02T03:04:05Z"),
    ({"$date": 1577934245000}, "2020-01-02T03:04:05Z"),
]


@pytest.mark.parametrize(("given_", "text"), TIMES)
def test_a_date_may_be_written_in_several_ways_and_is_utc(given_: Any, text: str) -> None:
    assert to_script(stored(to_bson(given_))) == {"$date": text}


SHOWN = [
    (2**53 - 1, 2**53 - 1),
    (2**53, {"$numberLong": "9007199254740992"}),
    (Int64(-(2**63)), {"$numberLong": "-9223372036854775808"}),
    (Int64(5), 5),
    (1.5, 1.5),
    (float("inf"), {"$numberDouble": "Infinity"}),
    (DatetimeMS(-1), {"$date": {"$numberLong": "-1"}}),
    (b"ab", {"$binary": {"base64": "YWI=", "subType": "00"}}),
    (Decimal128("1.10"), {"$numberDecimal": "1.10"}),
    (Regex("a", "i"), {"$regularExpression": {"pattern": "a", "options": "i"}}),
]


@pytest.mark.parametrize(("value", "shown"), SHOWN, ids=str)
def test_a_value_is_shown_so_that_no_language_loses_a_digit(value: Any, shown: Any) -> None:
    assert to_script(stored(value)) == shown


NATIVE = [
    (b"ab", b"ab"),
    (bytearray(b"ab"), b"ab"),
    (Decimal("1.10"), Decimal128("1.10")),
    (2**62, 2**62),
    ((1, 2), [1, 2]),
    ({"$uuid": "00112233-4455-6677-8899-aabbccddeeff"}, Binary(bytes.fromhex("00112233445566778899aabbccddeeff"), 4)),
    ({"$numberInt": "7"}, 7),
]


@pytest.mark.parametrize(("value", "kept"), NATIVE, ids=str)
def test_values_of_the_language_are_taken(value: Any, kept: Any) -> None:
    assert stored(to_bson(value)) == kept


def test_a_whole_double_stays_one() -> None:
    kept = stored(to_bson({"a": 1.0, "b": -0.0}))
    assert type(kept["a"]) is float
    assert math.copysign(1, kept["b"]) == -1


OPERATORS: list[dict[str, Any]] = [
    {"name": {"$regex": "^a", "$options": "i"}},
    {"name": {"$regex": "^a"}},
    {"n": {"$gt": 5, "$lte": 9}},
    {"$or": [{"n": 1}, {"n": {"$exists": False}}]},
    {"n": {"$type": "date"}},
    {"n": {"$in": [1, 2]}, "m": {"$not": {"$eq": 3}}},
    {"$expr": {"$eq": ["$a", {"$literal": "$b"}]}},
    {"at": {"$dateToString": {"date": "$at", "format": "%Y"}}},
    {"$currentDate": {"at": {"$type": "timestamp"}}},
    {"$set": {"a.b": 1}, "$unset": {"c": ""}},
    {"$ref": "c", "$id": 1},
    {"$binarySize": "$data"},
    {},
]


@pytest.mark.parametrize("operator", OPERATORS, ids=str)
def test_operators_are_no_extended_json(operator: dict[str, Any]) -> None:
    assert to_bson(operator) == operator


@pytest.mark.parametrize("name", ["$eq", "$gt", "$lt", "$ne", "$gte", "$lte"])
def test_operands_may_be_extended_json(name: str) -> None:
    oid = ObjectId()
    assert to_bson({"_id": {name: {"$oid": str(oid)}}}) == {"_id": {name: oid}}
    assert to_bson({"$or": [{"_id": {"$in": [{"$oid": str(oid)}]}}]}) == {"$or": [{"_id": {"$in": [oid]}}]}


def test_names_of_extended_json_among_others_are_names() -> None:
    assert to_bson({"$oid": "x", "a": 1}) == {"$oid": "x", "a": 1}


WRONG = [
    ({"$oid": "xyz"}, "expected extended JSON with .oid"),
    ({"$date": "yesterday"}, "expected extended JSON with .date"),
    ({"$date": None}, "expected extended JSON with .date"),
    ({"$numberDecimal": "1,5"}, "expected extended JSON with .numberDecimal"),
    ({"$numberLong": "9223372036854775808"}, "at most 64 bits"),
    ({"$binary": "YWI="}, "expected extended JSON with .binary"),
    (2**63, "at most 64 bits"),
    (Decimal("1." + "1" * 40), "at most 34 digits"),
]


@pytest.mark.parametrize(("value", "message"), WRONG, ids=str)
def test_a_value_that_cannot_be_stored_is_refused(value: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        to_bson({"a": [value]})


@pytest.mark.parametrize("value", [object(), {1}, date(2020, 1, 1)], ids=["object", "set", "date"])
def test_a_type_that_cannot_be_stored_is_refused(value: Any) -> None:
    with pytest.raises(TypeError, match=f"got {type(value).__name__}"):
        to_bson({"a": value})


def test_names_must_be_text() -> None:
    with pytest.raises(TypeError, match="names of fields as text, got int"):
        to_bson({1: 2})
