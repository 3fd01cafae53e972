"""The pool of what calls use one at a time: its limit, who waits, and what becomes of what is broken off."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.servers.programs import until
from trimtab.api import CallError
from trimtab.plugins import pool as pools
from trimtab.plugins.pool import Pool

LONG, SHORT = 20.0, 0.05
"""Seconds."""


class Thing:
    """Something that one caller uses at a time."""

    def __init__(self, kind: str) -> None:
        if kind == "broken":
            raise OSError(kind)
        self.kind = kind


class Struck(BaseException):
    """As the time limit is."""


@pytest.fixture
def closed() -> list[str]:
    """The kinds of what was closed."""
    return []


@pytest.fixture
def pool(closed: list[str]) -> Pool[str, Thing]:
    """At most two things."""
    return Pool("sql.it", 2, Thing, lambda thing: closed.append(thing.kind))


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(8) as threads:
        yield threads


def test_the_one_that_was_used_last_is_used_next(pool: Pool[str, Thing]) -> None:
    with pool.lent("a", LONG) as first, pool.lent("a", LONG) as second:
        assert first is not second
    with pool.lent("a", LONG) as again:
        assert again is first


def test_who_finds_none_gets_the_first_that_is_given_back(pool: Pool[str, Thing], threads: ThreadPoolExecutor) -> None:
    first, _idle = pool.take("a", LONG)
    second, _idle = pool.take("a", LONG)
    waiting = threads.submit(pool.take, "a", LONG)
    pool.give_back("a", second)
    assert waiting.result(LONG)[0] is second
    pool.give_back("a", first)


def test_many_threads_share_few_things_and_nobody_is_forgotten(
    pool: Pool[str, Thing], threads: ThreadPoolExecutor
) -> None:
    in_use: set[int] = set()

    def use(_number: int) -> bool:
        with pool.lent("a", LONG) as thing:
            alone = id(thing) not in in_use
            in_use.add(id(thing))
            in_use.discard(id(thing))
            return alone and len(in_use) <= 2

    assert all(threads.map(use, range(2000)))
    assert len(pool.close()) == 0


def test_who_waits_in_vain_is_told_where_to_allow_more(pool: Pool[str, Thing]) -> None:
    kept = [pool.take("a", LONG), pool.take("a", LONG)]
    with pytest.raises(
        CallError, match=r"^sql\.it: expected one of 2 .*raise connections of \[resources\.sql\.it\]$"
    ) as it:
        pool.take("a", SHORT)
    assert (it.value.name, it.value.retryable) == ("TimeoutError", True)
    pool.give_back("a", kept[0][0])
    assert pool.take("a", LONG)[0] is kept[0][0]


def test_one_of_another_kind_makes_room(pool: Pool[str, Thing], closed: list[str]) -> None:
    with pool.lent("a", LONG), pool.lent("a", LONG):
        pass
    with pool.lent("b", LONG) as other:
        assert other.kind == "b"
    assert closed == ["a"]


def test_what_was_broken_off_is_closed_and_used_by_nobody(pool: Pool[str, Thing], closed: list[str]) -> None:
    with pytest.raises(Struck), pool.lent("a", LONG) as struck:
        raise Struck
    assert closed == ["a"]
    with pool.lent("a", LONG) as other:
        assert other is not struck


def test_what_was_used_for_an_error_is_used_again(pool: Pool[str, Thing], closed: list[str]) -> None:
    with pytest.raises(ValueError, match="x"), pool.lent("a", LONG) as used:
        raise ValueError("x")
    with pool.lent("a", LONG) as again:
        assert again is used
    assert closed == []


def test_what_was_lost_on_the_way_takes_no_room(pool: Pool[str, Thing]) -> None:
    for _ in range(5):
        pool.take("a", SHORT)
        gc.collect()


def test_what_cannot_be_made_takes_no_room(pool: Pool[str, Thing]) -> None:
    for _ in range(5):
        with pytest.raises(OSError, match="broken"):
            pool.take("broken", SHORT)
    with pool.lent("a", SHORT), pool.lent("a", SHORT):
        pass


def test_who_waits_may_make_one_where_another_was_dropped(
    pool: Pool[str, Thing], threads: ThreadPoolExecutor, closed: list[str]
) -> None:
    first, _idle = pool.take("a", LONG)
    second, _idle = pool.take("a", LONG)
    waiting = threads.submit(pool.take, "a", LONG)
    pool.drop(first)
    assert waiting.result(LONG)[0] not in (first, second)
    assert closed == ["a"]


def test_what_is_given_back_after_the_end_is_closed(pool: Pool[str, Thing], closed: list[str]) -> None:
    with pool.lent("a", LONG), pool.lent("b", LONG):
        assert [thing.kind for thing in pool.close()] == ["a", "b"]
    assert sorted(closed) == ["a", "b"]


def test_what_nobody_has_needed_for_long_is_closed_but_for_the_last_of_its_kind(
    pool: Pool[str, Thing], closed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pool.lent("a", LONG), pool.lent("a", LONG):
        pass
    monkeypatch.setattr(pools, "KEPT_SECONDS", 0.0)
    for _ in range(3):
        with pool.lent("a", LONG):
            pass
    assert closed == ["a"]


def test_a_thread_knows_what_it_holds_itself(pool: Pool[str, Thing], threads: ThreadPoolExecutor) -> None:
    elsewhere = threads.submit(pool.take, "a", LONG).result(LONG)
    assert pool.taken_here() == 0
    with pool.lent("a", LONG):
        assert pool.taken_here() == 1
    until(lambda: pool.taken_here() == 0, "it to be given back")
    pool.drop(elsewhere[0])
