"""What becomes of a batch: merged emits, watermarks."""

from __future__ import annotations

import pytest

from trimtab.engine.batch import Batch, Events, SourceSpec
from trimtab.engine.result import Lines, merge
from trimtab.engine.run import HandlerRun, ScriptState
from trimtab.engine.state import StateStore
from trimtab.engine.watermark import Watermark
from trimtab.errors import Fault


def run_of(*emits: tuple[int, str, bytes]) -> HandlerRun:
    batch = Batch(id=1, generation=1, source="gps", data=b"1\n2\n3", count=3, arrival=9)
    events = Events(batch, SourceSpec(), decoded=True)
    run = HandlerRun(frozenset({"out", "other"}), events, ScriptState(StateStore(), "a.py", b'"v1"'))
    for index, sink, line in emits:
        run.index = index
        run.emit(sink, line)
    return run


def test_values_of_several_handlers_come_in_the_order_of_the_events() -> None:
    first = run_of((0, "out", b"a0"), (2, "out", b"a2"))
    second = run_of((0, "out", b"b0"), (1, "out", b"b1"), (2, "other", b"x"))
    assert merge([first, second]) == {"out": Lines(b"a0\nb0\nb1\na2\n", 4), "other": Lines(b"x\n", 1)}


def test_a_failed_event_emits_nothing() -> None:
    run = run_of((0, "out", b"a"), (1, "out", b"b"), (1, "other", b"c"), (2, "out", b"d"))
    run.fail(1, Fault("Error", "no"))
    assert merge([run]) == {"out": Lines(b"a\nd\n", 2)}


def test_an_unknown_sink_is_named_with_the_known_ones() -> None:
    with pytest.raises(LookupError, match="unknown sink 'ouch'; expected one of: other, out"):
        run_of((0, "ouch", b"a"))


def test_a_watermark_stays_behind_by_the_lateness_and_never_goes_back() -> None:
    watermark = Watermark(lateness=100)
    assert watermark.value is None
    for timestamp, value in [(1000, 900), (500, 900), (None, 900), (1300, 1200)]:
        watermark.observe(timestamp)
        assert watermark.value == value
