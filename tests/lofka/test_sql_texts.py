"""Values of databases as JDBC's getString gives them."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

import pytest

from trimtab.plugins.lofka.texts import as_text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, None),
        ("text", "text"),
        (115137336, "115137336"),
        (1.5, "1.5"),
        (Decimal("10.50"), "10.50"),
        (Decimal("1E+3"), "1000"),
        (datetime.fromisoformat("2018-11-28T00:00:09"), "2018-11-28 00:00:09"),
        (datetime.fromisoformat("2018-11-28T00:00:09.120"), "2018-11-28 00:00:09.12"),
        (date(2018, 11, 28), "2018-11-28"),
        (time(7, 5), "07:05:00"),
        (timedelta(hours=30, minutes=1, seconds=2), "30:01:02"),
        (timedelta(seconds=-62), "-00:01:02"),
        (timedelta(seconds=1, microseconds=500_000), "00:00:01.5"),
        (b"\x01", "1"),
        (b"\x00", "0"),
        ("Straße".encode(), "Straße"),
        (True, "1"),
    ],
)
def test_a_value_is_text(value: Any, text: str | None) -> None:
    assert as_text(value) == text
