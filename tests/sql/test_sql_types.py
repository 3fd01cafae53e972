"""Values on their way into databases and back, and as scripts see them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
import pytest

from tests.sql.conftest import Ask
from trimtab.plugins.sql.options import SqlOptions
from trimtab.plugins.sql.resource import SqlResource, create_resource
from trimtab.plugins.sql.values import from_driver, to_parameter

NAIVE = datetime(2024, 2, 29, 23, 59, 58, 123456)  # noqa: DTZ001 - databases have such columns
AWARE = datetime(2024, 2, 29, 23, 59, 58, 123456, timezone(timedelta(hours=2)))
BYTES = bytes(range(256))

EXPRESSIONS: dict[str, list[tuple[str, Any]]] = {
    "sqlite": [("x'00ff'", b"\x00\xff"), ("1.5", 1.5), ("9223372036854775807", 2**63 - 1), ("null", None)],
    "postgresql": [
        ("true", True),
        ("7::int2", 7),
        ("9223372036854775807::int8", 2**63 - 1),
        ("1.5::float4", 1.5),
        ("12.50::numeric(8, 2)", Decimal("12.50")),
        ("'ü'::varchar", "ü"),
        ("'ab'::char(4)", "ab  "),
        ("'\\x00ff'::bytea", b"\x00\xff"),
        ("date '2024-02-29'", date(2024, 2, 29)),
        ("time '23:59:58.5'", time(23, 59, 58, 500000)),
        ("timestamp '2024-02-29 23:59:58.123456'", NAIVE),
        ("timestamptz '2024-02-29 23:59:58.123456+02'", AWARE),
        ("interval '1 month 2 days 03:00'", "1 mon 2 days 03:00:00"),
        ("array[1, null, 3]", [1, None, 3]),
        ("array['a', 'b']", ["a", "b"]),
        ('\'{"a": [1, {"b": null}]}\'::jsonb', {"a": [1, {"b": None}]}),
        ("'[1]'::json", [1]),
        ("'0b1d5a2e-7c1f-4c6e-9d47-000000000001'::uuid", "0b1d5a2e-7c1f-4c6e-9d47-000000000001"),
        ("'10.0.0.1'::inet", "10.0.0.1"),
        ("null::int", None),
        ("null::timestamptz", None),
    ],
    "mariadb": [
        ("true", 1),
        ("18446744073709551615", 2**64 - 1),
        ("cast(1.5 as double)", 1.5),
        ("cast(12.5 as decimal(8, 2))", Decimal("12.50")),
        ("'ü'", "ü"),
        ("x'00ff'", b"\x00\xff"),
        ("cast('2024-02-29' as date)", date(2024, 2, 29)),
        ("cast('23:59:58.5' as time(1))", time(23, 59, 58, 500000)),
        ("cast('-30:00:01' as time)", "-30:00:01"),
        ("cast('2024-02-29 23:59:58.123456' as datetime(6))", NAIVE),
        ("null", None),
    ],
}
EXPRESSIONS["java"] = [
    (expression, "0 years 1 mons 2 days 3 hours 0 mins 0.0 secs" if "interval" in expression else value)
    for expression, value in EXPRESSIONS["postgresql"]
]

ROUND_TRIPS: dict[str, list[tuple[str, Any, Any]]] = {
    "sqlite": [
        ("integer", 2**62, 2**62),
        ("text", "a'\"\\%?:ü\U0001f600", "a'\"\\%?:ü\U0001f600"),
        ("blob", BYTES, BYTES),
        ("text", NAIVE, "2024-02-29 23:59:58.123456"),
        ("text", date(2024, 2, 29), "2024-02-29"),
        ("text", Decimal("1.10"), "1.10"),
        ("text", {"a": [1]}, '{"a":[1]}'),
        ("integer", True, 1),
        ("integer", None, None),
    ],
    "postgresql": [
        ("bigint", 2**62, 2**62),
        ("smallint", 7, 7),
        ("text", "a'\"\\%?:ü\U0001f600", "a'\"\\%?:ü\U0001f600"),
        ("bytea", BYTES, BYTES),
        ("timestamp", NAIVE, NAIVE),
        ("timestamptz", AWARE, AWARE),
        ("timestamptz", "2024-02-29T21:59:58.123456Z", AWARE),
        ("date", date(2024, 2, 29), date(2024, 2, 29)),
        ("date", "2024-02-29", date(2024, 2, 29)),
        ("time", time(1, 2, 3), time(1, 2, 3)),
        ("numeric", Decimal("1.10"), Decimal("1.10")),
        ("numeric", 2**70, Decimal(2**70)),
        ("double precision", 0.1, 0.1),
        ("jsonb", {"a": [1]}, {"a": [1]}),
        ("boolean", True, True),
        ("integer", None, None),
        ("timestamp", None, None),
        ("bytea", None, None),
        ("uuid", UUID(int=1), str(UUID(int=1))),
    ],
    "mariadb": [
        ("bigint", 2**62, 2**62),
        ("text", "a'\"\\%?:ü\U0001f600", "a'\"\\%?:ü\U0001f600"),
        ("blob", BYTES, BYTES),
        ("datetime(6)", NAIVE, NAIVE),
        ("datetime(6)", AWARE, AWARE.astimezone(UTC).replace(tzinfo=None)),
        ("date", date(2024, 2, 29), date(2024, 2, 29)),
        ("time", time(1, 2, 3), time(1, 2, 3)),
        ("decimal(8, 2)", Decimal("1.10"), Decimal("1.10")),
        ("double", 0.1, 0.1),
        ("text", {"a": [1]}, '{"a":[1]}'),
        ("boolean", True, 1),
        ("int", None, None),
    ],
}
ROUND_TRIPS["java"] = ROUND_TRIPS["postgresql"]


@contextmanager
def opened(options: dict[str, Any], folder: Path) -> Iterator[SqlResource]:
    resource = create_resource(msgspec.convert(options, SqlOptions), "sql.db", folder)
    try:
        yield resource
    finally:
        resource.close()


def test_values_come_as_what_they_are(kind: str, options: dict[str, Any], tmp_path: Path) -> None:
    with opened(options, tmp_path) as resource:
        for expression, value in EXPRESSIONS[kind]:
            (row,) = resource.run(asks(f"select {expression} as v"))
            assert (expression, type(row["v"]), row["v"]) == (expression, type(value), value)


def test_values_come_back_as_they_went(kind: str, options: dict[str, Any], tmp_path: Path) -> None:
    with opened(options, tmp_path) as resource:
        for column, given, value in ROUND_TRIPS[kind]:
            resource.run(asks(f"create table things (v {column})"))
            resource.run(asks("insert into things values (:v)", {"v": given}))
            (row,) = resource.run(asks("select v from things"))
            assert (column, type(row["v"]), row["v"]) == (column, type(value), value)
            resource.run(asks("drop table things"))


def asks(sql: str, params: Any = None) -> Callable[[Any], Any]:
    return lambda session: session.query(sql, params)


def test_javascript_gets_text_and_bytes(ask: Ask, postgres: Any) -> None:
    asker = ask({"url": postgres.url}, "javascript")
    shown = asker.ask(
        "db.query(\"select 1.50 as n, timestamp '2024-02-29 23:59:58' as t, bytea '\\\\x00ff' as b, "
        '9007199254740993::int8 as i").map((row) => [typeof row.n, row.n, row.t, row.b instanceof Uint8Array, '
        "Array.from(row.b), String(row.i)])"
    )
    assert shown == [["string", "1.50", "2024-02-29T23:59:58", True, [0, 255], "9007199254740993"]]


def test_javascript_gives_dates_and_bytes(ask: Ask, postgres: Any) -> None:
    asker = ask({"url": postgres.url}, "javascript")
    shown = asker.ask(
        'db.queryOne("select extract(epoch from cast(:at as timestamptz))::int as s, length(cast(:b as bytea)) as n", '
        "{ at: new Date(1700000000000), b: new Uint8Array([0, 255]) })"
    )
    assert shown == {"s": 1_700_000_000, "n": 2}


def test_arrays_are_made_of_lists(ask: Ask, postgres: Any, language: str) -> None:
    asker = ask({"url": postgres.url}, language)
    assert asker.ask('db.queryOne("select array[:a] as a, 2 = any(array[:a]) as found", {"a": [1, 2]})') == {
        "a": [1, 2],
        "found": True,
    }


def test_the_operators_of_json_are_written_twice(ask: Ask, kind: str, options: dict[str, Any]) -> None:
    if kind in {"postgresql", "java"}:
        asker = ask(options)
        question = 'db.queryOne("select \'{\\"a\\": 1}\'::jsonb ?? :key as has", {"key": "a"})'
        assert asker.ask(question) == {"has": True}


class Colour(Enum):
    RED = "red"


@pytest.mark.parametrize(
    ("given", "value"),
    [
        (Colour.RED, "red"),
        (bytearray(b"a"), b"a"),
        (UUID(int=1), str(UUID(int=1))),
        ({"a": Decimal("1.5")}, '{"a":"1.5"}'),
    ],
)
def test_what_python_scripts_may_give_becomes_plain(given: Any, value: Any) -> None:
    assert to_parameter(given) == value


def test_what_a_driver_gives_becomes_plain() -> None:
    class Strange:
        def __str__(self) -> str:
            return "strange"

    assert from_driver([(Strange(), memoryview(b"a")), {1: timedelta(hours=25)}]) == [
        ["strange", b"a"],
        {"1": "25:00:00"},
    ]
