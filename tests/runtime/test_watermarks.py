"""Event time at each place in the order of events."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from trimtab.runtime.watermarks import Watermarks


def test_what_another_lane_has_seen_of_later_events_does_not_count_before_them() -> None:
    marks = Watermarks({"gps": 10})
    marks.observe("gps", 7, 500)
    assert (marks.before(7), marks.before(8), marks.before(None)) == ({"gps": 10}, {"gps": 500}, {"gps": 500})


def test_batches_may_be_handled_in_any_order() -> None:
    marks = Watermarks({})
    for place, watermark in [(5, 50), (2, 20), (9, 40), (3, 60)]:
        marks.observe("gps", place, watermark)
    assert [marks.before(place).get("gps") for place in (2, 3, 4, 6, 10)] == [None, 20, 60, 60, 60]


def test_what_is_settled_counts_everywhere_and_a_source_that_ends_comes_to_its_end() -> None:
    marks = Watermarks({})
    marks.observe("gps", 1, 10)
    marks.observe("gps", 4, 40)
    marks.settle(3)
    assert (marks.before(0), marks.before(4), marks.before(5)) == ({"gps": 10}, {"gps": 10}, {"gps": 40})
    marks.end({"gps": 99})
    assert marks.before(0) == {"gps": 99}


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 100)), max_size=30), st.integers(0, 21))
def test_it_is_the_highest_of_what_lies_before(seen: list[tuple[int, int]], place: int) -> None:
    marks = Watermarks({})
    for at, watermark in seen:
        marks.observe("gps", at, watermark)
    assert marks.before(place).get("gps") == max((w for at, w in seen if at < place), default=None)
