"""Circuit breakers open when too much fails, stay open for a while, and close when a try succeeds."""

from __future__ import annotations

from trimtab.engine.breaker import LONGEST_PAUSE, Breaker, Breakers, BreakerSettings

SETTINGS = BreakerSettings(window=10, failures=0.5, minimum=4, pause=1)


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def state_of(breaker: Breaker) -> str:
    """Its state now: type checkers take what it was a line before for what it is."""
    return breaker.state


def broken(clock: Clock) -> Breaker:
    breaker = Breaker(SETTINGS, clock)
    breaker.record(0, 4)
    return breaker


def test_it_opens_when_enough_and_a_large_enough_share_has_failed() -> None:
    breaker = Breaker(SETTINGS, Clock())
    breaker.record(0, 3)
    assert state_of(breaker) == "closed"  # three are too few
    breaker.record(10, 3)
    assert state_of(breaker) == "closed"  # six of sixteen are too small a share
    breaker.record(0, 4)
    assert state_of(breaker) == "open"
    assert not breaker.allows()


def test_what_is_older_than_the_window_does_not_count() -> None:
    clock = Clock()
    breaker = Breaker(SETTINGS, clock)
    breaker.record(0, 3)
    clock.now += 11
    breaker.record(0, 3)
    assert state_of(breaker) == "closed"
    breaker.record(0, 1)
    assert state_of(breaker) == "open"


def test_after_the_pause_one_try_is_allowed_and_a_success_closes_it() -> None:
    clock = Clock()
    breaker = broken(clock)
    clock.now += 1
    assert [breaker.allows(), breaker.allows()] == [True, False]
    assert state_of(breaker) == "half-open"
    breaker.record(1, 0)
    assert state_of(breaker) == "closed"
    assert breaker.allows()
    breaker.record(0, 3)
    assert state_of(breaker) == "closed"  # what had failed before counts no more


def test_the_pause_doubles_with_each_try_that_fails_up_to_a_minute() -> None:
    clock = Clock()
    breaker = broken(clock)
    pauses = []
    for _ in range(9):
        opened = clock.now
        while not breaker.allows():
            clock.now += 0.5
        pauses.append(clock.now - opened)
        breaker.record(0, 1)
    assert pauses == [1, 2, 4, 8, 16, 32, LONGEST_PAUSE, LONGEST_PAUSE, LONGEST_PAUSE]


def test_what_was_under_way_when_it_opened_changes_nothing() -> None:
    clock = Clock()
    breaker = broken(clock)
    breaker.record(1, 0)
    breaker.record(0, 1)
    assert state_of(breaker) == "open"
    clock.now += 1
    assert breaker.allows()


def test_each_name_has_its_own() -> None:
    breakers = Breakers(SETTINGS, Clock())
    breakers.of("a.py").record(0, 4)
    assert breakers.of("sql.orders").allows()
    assert breakers.not_closed() == {"a.py": "open"}
    breakers.forget("a.py")
    assert breakers.of("a.py").allows()
