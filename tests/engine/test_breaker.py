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


def tried(breaker: Breaker, good: int, failed: int) -> None:
    era = breaker.admit()
    assert era is not None
    breaker.record(era, good, failed)


def allows(breaker: Breaker) -> bool:
    return breaker.admit() is not None


def broken(clock: Clock) -> Breaker:
    breaker = Breaker(SETTINGS, clock)
    tried(breaker, 0, 4)
    return breaker


def test_it_opens_when_enough_and_a_large_enough_share_has_failed() -> None:
    breaker = Breaker(SETTINGS, Clock())
    tried(breaker, 0, 3)
    assert state_of(breaker) == "closed"  # three are too few
    tried(breaker, 10, 3)
    assert state_of(breaker) == "closed"  # six of sixteen are too small a share
    tried(breaker, 0, 4)
    assert state_of(breaker) == "open"
    assert not allows(breaker)


def test_what_is_older_than_the_window_does_not_count() -> None:
    clock = Clock()
    breaker = Breaker(SETTINGS, clock)
    tried(breaker, 0, 3)
    clock.now += 11
    tried(breaker, 0, 3)
    assert state_of(breaker) == "closed"
    tried(breaker, 0, 1)
    assert state_of(breaker) == "open"


def test_after_the_pause_one_try_is_allowed_and_a_success_closes_it() -> None:
    clock = Clock()
    breaker = broken(clock)
    clock.now += 1
    probe = breaker.admit()
    assert probe is not None
    assert breaker.admit() is None
    assert state_of(breaker) == "half-open"
    breaker.record(probe, 1, 0)
    assert state_of(breaker) == "closed"
    tried(breaker, 0, 3)
    assert state_of(breaker) == "closed"  # what had failed before counts no more


def test_the_pause_doubles_with_each_try_that_fails_up_to_a_minute() -> None:
    clock = Clock()
    breaker = broken(clock)
    pauses = []
    for _ in range(9):
        opened = clock.now
        while (probe := breaker.admit()) is None:
            clock.now += 0.5
        pauses.append(clock.now - opened)
        breaker.record(probe, 0, 1)
    assert pauses == [1, 2, 4, 8, 16, 32, LONGEST_PAUSE, LONGEST_PAUSE, LONGEST_PAUSE]


def test_what_was_under_way_when_it_opened_changes_nothing() -> None:
    clock = Clock()
    breaker = Breaker(SETTINGS, clock)
    slow = breaker.admit()
    assert slow is not None
    tried(breaker, 0, 4)
    breaker.record(slow, 1, 0)
    assert state_of(breaker) == "open"
    clock.now += 1
    assert allows(breaker)
    breaker.record(slow, 1, 0)
    breaker.record(slow, 0, 1)
    assert state_of(breaker) == "half-open"


def test_a_try_that_never_ends_does_not_keep_it_open_for_ever() -> None:
    clock = Clock()
    breaker = broken(clock)
    clock.now += 1
    assert allows(breaker)
    clock.now += LONGEST_PAUSE
    assert allows(breaker)


def test_each_name_has_its_own() -> None:
    breakers = Breakers(SETTINGS, Clock())
    tried(breakers.of("a.py"), 0, 4)
    assert allows(breakers.of("sql.orders"))
    assert breakers.not_closed() == {"a.py": "open"}
    breakers.forget("a.py")
    assert allows(breakers.of("a.py"))


def test_one_whose_name_belongs_to_another_now_is_not_reported() -> None:
    breakers = Breakers(SETTINGS, Clock())
    old = breakers.of("a.py")
    breakers.forget("a.py")
    tried(old, 0, 4)
    assert breakers.not_closed() == {}
    tried(breakers.of("a.py"), 0, 4)
    assert breakers.not_closed() == {"a.py": "open"}
