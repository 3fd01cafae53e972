"""Settings as they come from outside become one JSON document, or are refused with the setting's name."""

from __future__ import annotations

import math
import uuid
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.plugins.center.values import artifact, from_text, nested

_names = st.text("abc.", min_size=1, max_size=7)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("100", 100),
        ("1.5", 1.5),
        ("true", True),
        ("null", None),
        ('"100"', "100"),
        ('{"a": [1]}', {"a": [1]}),
        ("hello", "hello"),
        ("007", "007"),
        ("", ""),
        ("1e999", "1e999"),
        ("${HOME}", "${HOME}"),
    ],
)
def test_text_that_is_json_is_its_value_and_any_other_is_itself(text: str, value: Any) -> None:
    assert from_text(text) == value


def test_dotted_paths_become_tables() -> None:
    pairs = [("limits.speed", 80), ("limits.fuel.low", 5), ("town", "Bremen")]
    assert nested(pairs) == {"limits": {"speed": 80, "fuel": {"low": 5}}, "town": "Bremen"}


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["a", "a.b"], "expected a to be a value or a table, got both a and a.b; remove one of them"),
        (["a.b.c.d", "a.b"], "got both a.b and a.b.c.d"),
        (["a", "a"], "expected each name once, got a twice"),
        ([""], "expected names such as .*, got ''"),
        (["a..b"], "got 'a..b'"),
        ([".a"], "got '.a'"),
    ],
)
def test_paths_that_contradict_each_other_or_are_none_are_refused(names: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        nested((name, 1) for name in names)


def at(settings: Any, name: str) -> Any:
    for part in name.split("."):
        settings = settings[part]
    return settings


@given(st.lists(_names, max_size=6, unique=True))
def test_every_setting_is_found_at_its_path_or_all_are_refused(names: list[str]) -> None:
    pairs = [(name, number) for number, name in enumerate(names)]
    try:
        settings = nested(pairs)
    except ValueError:
        odd = any(not all(name.split(".")) for name in names)
        assert odd or any(other.startswith(f"{name}.") for name in names for other in names)
    else:
        assert all(at(settings, name) == value for name, value in pairs)


def test_the_same_settings_are_the_same_bytes_whatever_their_order() -> None:
    assert artifact({"b": {"d": 1, "c": 2}, "a": [2, 1]}) == artifact({"a": [2, 1], "b": {"c": 2, "d": 1}})


def test_what_databases_hold_becomes_json() -> None:
    found = {
        "when": datetime(2024, 5, 6, 7, 8, 9, tzinfo=UTC),
        "day": date(2024, 5, 6),
        "hour": time(7, 8),
        "price": Decimal("12.50"),
        "count": Decimal("3.00"),
        "none": None,
        "yes": True,
        "rows": [{"x": 0.5}],
        "text": "${HOME} ü",
    }
    assert artifact(found).decode() == (
        '{"count":3,"day":"2024-05-06","hour":"07:08:00","none":null,"price":12.5,"rows":[{"x":0.5}],'
        '"text":"${HOME} ü","when":"2024-05-06T07:08:09+00:00","yes":true}'
    )


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (math.nan, r"a\.b\[1\]: expected a finite number, got nan"),
        (Decimal("Infinity"), r"a\.b\[1\]: expected a JSON value, text, a number or a date, got Decimal"),
        (Decimal("1e400"), r"a\.b\[1\]: expected a whole number of 64 bits, got 1000"),
        (2**63, r"a\.b\[1\]: expected a whole number of 64 bits, got 9223372036854775808"),
        (b"bytes", r"a\.b\[1\]: expected a JSON value, text, a number or a date, got bytes"),
        (uuid.UUID(int=0), r"a\.b\[1\]: .* got UUID"),
        ({1: 2}, r"a\.b\[1\]: expected text as keys, got int"),
    ],
)
def test_what_json_cannot_hold_is_refused_with_its_path(value: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        artifact({"a": {"b": [1, value]}})
