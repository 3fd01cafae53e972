"""When a request is tried again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.plugins.http.retries import Backoff, is_retryable, retry_after

NOW = 784_111_770.0  # Sun, 06 Nov 1994 08:49:30 GMT
CHANCES = st.floats(0, 1)


@given(st.integers(1, 10_000), CHANCES)
def test_a_delay_is_never_above_the_cap_nor_negative(tries: int, chance: float) -> None:
    assert 0 <= Backoff().delay(tries, chance, None) <= 10


def test_the_most_that_is_waited_doubles_up_to_the_cap() -> None:
    backoff = Backoff(first=0.1, cap=1.0)
    assert [backoff.delay(tries, 1.0, None) for tries in range(1, 6)] == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.0])


@given(st.integers(1, 100), CHANCES, st.floats(0, 1e300))
def test_what_the_server_asks_for_is_waited_but_not_longer_than_the_bound(
    tries: int, chance: float, asked: float
) -> None:
    delay = Backoff(longest_request=30).delay(tries, chance, asked)
    assert min(asked, 30) <= delay <= 30


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("0", 0),
        ("120", 120),
        ("9" * 400, float("inf")),
        ("Sun, 06 Nov 1994 08:49:37 GMT", 7),
        ("Sun, 06 Nov 1994 08:49:37 -0000", 7),
        ("Sun, 06 Nov 1994 08:00:00 GMT", 0),
        ("", None),
        ("-1", None),
        ("1.5", None),
        ("soon", None),
        ("²", None),
    ],
)
def test_retry_after_is_seconds_or_a_date_and_anything_else_is_ignored(
    value: str | None, seconds: float | None
) -> None:
    assert retry_after(value, NOW) == seconds


@given(st.text())
def test_no_retry_after_is_an_error(value: str) -> None:
    asked = retry_after(value, NOW)
    assert asked is None or asked >= 0


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (408, True),
        (425, True),
        (429, True),
        (500, True),
        (503, True),
        (599, True),
        (400, False),
        (404, False),
        (302, False),
    ],
)
def test_only_what_may_pass_is_tried_again(status: int, expected: bool) -> None:
    assert is_retryable(status) is expected
