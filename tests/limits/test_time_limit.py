"""The time limit of user code."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from contextlib import suppress
from itertools import pairwise

import pytest

from trimtab.sandbox.limits import BETWEEN_HEARTBEATS, SignalLimits, TimeLimitExceeded


def spin() -> None:
    while True:
        pass


def seconds_of(function: Callable[[], None]) -> float:
    started = time.monotonic()
    function()
    return time.monotonic() - started


@pytest.mark.parametrize("work", [spin, lambda: time.sleep(30)], ids=["computing", "waiting"])
def test_work_is_stopped_soon_after_its_limit(work: Callable[[], None]) -> None:
    def limited() -> None:
        with pytest.raises(TimeLimitExceeded, match=r"within 0\.1 s"), SignalLimits().running(0.1):
            work()

    assert 0.1 <= seconds_of(limited) < 5


def test_the_limit_counts_from_each_mark_and_not_from_the_beginning() -> None:
    limits = SignalLimits()
    with limits.running(0.2):
        for index in range(6):
            limits.mark = index
            time.sleep(0.08)


def test_the_limit_comes_again_while_it_is_swallowed() -> None:
    swallowed = 0
    with SignalLimits().running(0.05):
        while swallowed < 3:
            try:
                spin()
            except TimeLimitExceeded:
                swallowed += 1
    assert swallowed == 3


def test_a_handler_for_exceptions_does_not_catch_it_by_accident() -> None:
    def careless() -> None:
        with suppress(Exception):
            spin()

    with pytest.raises(TimeLimitExceeded), SignalLimits().running(0.05):
        careless()


def test_nothing_is_limited_while_the_mark_is_none() -> None:
    limits = SignalLimits()
    with limits.running(0.03):
        limits.mark = None
        time.sleep(0.15)


def test_an_inner_limit_counts_inside_and_the_outer_one_after_it() -> None:
    limits = SignalLimits()

    def nested() -> None:
        with pytest.raises(TimeLimitExceeded) as inner, limits.running(0.05):
            spin()
        assert inner.value.seconds == 0.05
        spin()

    with pytest.raises(TimeLimitExceeded) as outer, limits.running(0.3):
        nested()
    assert outer.value.seconds == 0.3


@pytest.mark.parametrize("work", [lambda: None, spin], ids=["in time", "too late"])
def test_the_timer_and_the_handler_are_put_back(work: Callable[[], None]) -> None:
    limits = SignalLimits()
    outer_timer = signal.setitimer(signal.ITIMER_REAL, 100)  # somebody else's, as pytest-timeout has
    handler = signal.getsignal(signal.SIGALRM)
    try:
        try:
            with limits.running(0.05):
                work()
        except TimeLimitExceeded:
            pass
        assert signal.getsignal(signal.SIGALRM) is handler
        assert 90 < signal.getitimer(signal.ITIMER_REAL)[0] <= 100
        assert limits.mark is None
    finally:
        signal.setitimer(signal.ITIMER_REAL, *outer_timer)


def test_the_limit_never_leaves_the_block_that_it_is_for() -> None:
    limits = SignalLimits()
    for _ in range(200):  # so that the end of the block and the limit meet at every possible place
        try:
            with limits.running(0.005):
                until = time.monotonic() + 0.0052
                while time.monotonic() < until:
                    pass
        except TimeLimitExceeded:
            pass
        assert limits.mark is None


def test_the_sign_of_life_comes_while_user_code_hangs_but_not_too_often() -> None:
    beats: list[float] = []
    with pytest.raises(TimeLimitExceeded), SignalLimits(lambda: beats.append(time.monotonic())).running(0.5):
        spin()
    assert len(beats) >= 2
    assert all(later - earlier > BETWEEN_HEARTBEATS * 0.9 for earlier, later in pairwise(beats))
