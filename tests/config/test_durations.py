from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.durations import parse_duration


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        ("200ms", 0.2),
        ("5s", 5.0),
        ("1.5s", 1.5),
        ("2m", 120.0),
        ("1h", 3600.0),
        ("1d", 86400.0),
        (" 5 s ", 5.0),
        (3, 3.0),
        (0.25, 0.25),
        (0, 0.0),
    ],
)
def test_text_with_a_unit_and_numbers_of_seconds_are_durations(written: str | float, seconds: float) -> None:
    assert parse_duration(written) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "written",
    [
        "5",
        "",
        "s",
        "5 apples",
        "-1s",
        "1s2m",
        "٣s",
        -1,
        True,
        float("inf"),
        float("nan"),
        10**400,
        None,
        1e10,
        "36501d",
        "9" * 400 + "d",
    ],
)
def test_anything_else_is_refused_with_what_was_expected_and_what_came(written: Any) -> None:
    with pytest.raises(ValueError, match="expected a duration such as") as refused:
        parse_duration(written)
    assert str(refused.value).endswith(f"got {written!r}")


@given(st.integers(0, 36500), st.sampled_from([("ms", 0.001), ("s", 1), ("m", 60), ("h", 3600), ("d", 86400)]))
def test_a_duration_is_its_number_times_its_unit(number: int, unit: tuple[str, float]) -> None:
    assert parse_duration(f"{number}{unit[0]}") == pytest.approx(number * unit[1])
