"""What every binding must hold when many threads call it at the same time, as asynchronous handlers do."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import Barrier
from time import perf_counter_ns
from typing import Any

import pytest

from tests.bindings.binding_cases import CASES, SERVED, Case, Place
from tests.bindings.talking import connections, open_in_server, paused
from tests.servers.programs import until
from trimtab.api import CallError, Script, ScriptHost
from trimtab.engine.breaker import Breakers, BreakerSettings
from trimtab.engine.resources import Resources
from trimtab.plugin_manager import Plugins
from trimtab.sandbox.limits import SignalLimits, TimeLimitExceeded

every_case = pytest.mark.parametrize("case", CASES, ids=str, indirect=True)
every_server = pytest.mark.parametrize("case", SERVED, ids=str, indirect=True)
postgres = pytest.mark.parametrize(
    "case", [case for case in SERVED if case.name == "postgresql"], ids=str, indirect=True
)

THREADS = 50
LIMITS = SignalLimits()

_numbers = itertools.count()


class Crowd:
    """A binding as one script holds it, called from many threads."""

    def __init__(self, case: Case, options: dict[str, Any]) -> None:
        plugins = Plugins.load()
        self.case = case
        self.ticks: list[int] = []
        """One for each call that has begun, and one for each that has ended."""
        patient = Breakers(BreakerSettings(minimum=1 << 30))
        self.resources = Resources(plugins.resource_kinds(), Path(), self._tick, breakers=patient)
        self.declare(options)
        self._pool = ThreadPoolExecutor(THREADS)
        host = ScriptHost(frozenset(), frozenset(), LIMITS, lambda _entry: None, resources=self.resources)
        (binding,) = (each for each in plugins.bindings() if each.name == case.kind)
        connector: Any = binding.bind(Script.of("it.py", b"http"), host)
        self.it = connector("it")

    def declare(self, options: dict[str, Any]) -> None:
        """Declare the resource, in place of the one before."""
        assert self.resources.prepare({f"{self.case.kind}.it": options}) == {}
        self.resources.commit()
        self.resources.close_retired()

    def ask(self, do: str, marker: str) -> Any:
        """Return what a call of the case gives, in this thread."""
        return eval(getattr(self.case, do), {"it": self.it, "n": marker})

    def begin(self, work: Callable[..., Any], *arguments: Any) -> Future[Any]:
        """Have another thread do something."""
        return self._pool.submit(work, *arguments)

    def reading(self, markers: Sequence[str]) -> list[Future[Any]]:
        """Read each marker in a thread of its own; returns when all calls are under way."""
        before = len(self.ticks)
        begun = [self.begin(self.ask, "read", marker) for marker in markers]
        until(lambda: len(self.ticks) >= before + len(markers), "the calls to begin")
        return begun

    def all_at_once(self, work: Callable[[int], Any]) -> list[Any]:
        """Have every thread do something at the same moment, each with its number."""
        barrier = Barrier(THREADS)

        def begin(number: int) -> Any:
            barrier.wait(20)
            return work(number)

        return list(self._pool.map(begin, range(THREADS)))

    def close(self) -> None:
        """Wait for the threads, and close the resources."""
        self._pool.shutdown()
        self.resources.close()

    def _tick(self) -> int:
        self.ticks.append(1)
        return perf_counter_ns()


@contextmanager
def crowd(case: Case, options: dict[str, Any]) -> Iterator[Crowd]:
    made = Crowd(case, options)
    try:
        yield made
    finally:
        made.close()


def new_markers(count: int) -> list[str]:
    """Texts that no other test writes."""
    return [f"t{next(_numbers)}" for _ in range(count)]


@every_case
def test_each_thread_gets_its_own_answers_and_every_call_is_counted(case: Case, place: Place) -> None:
    markers = new_markers(THREADS)
    with crowd(case, case.at(place)) as threads:

        def work(number: int) -> list[Any]:
            before = threads.ask("read", markers[number])
            threads.ask("write", markers[number])
            return [before, threads.ask("read", markers[number]), threads.ask("read", markers[number - 1]) is None]

        answers = threads.all_at_once(work)
        assert [answer[:2] for answer in answers] == [[None, case.kept(marker)] for marker in markers]
        (count,) = threads.resources.counted()
    assert (count.calls, count.failed) == (4 * THREADS, 0)


@every_case
def test_errors_reach_the_thread_that_made_them_alone(case: Case, place: Place) -> None:
    (marker,) = new_markers(1)
    with crowd(case, case.at(place)) as threads:
        threads.ask("write", marker)

        def work(number: int) -> Any:
            if number % 2:
                return threads.ask("read", marker)
            with pytest.raises(CallError) as caught:
                threads.ask("refused", f"{marker}.{number}")
            return caught.value.name, caught.value.code

        threads.resources.counted()
        assert threads.all_at_once(work) == [
            case.kept(marker) if number % 2 else case.error for number in range(THREADS)
        ]
        (count,) = threads.resources.counted()
    assert count.calls >= THREADS


@every_server
def test_more_callers_than_connections_wait_for_each_other(case: Case, place: Place) -> None:
    markers = new_markers(THREADS)
    before = connections(place)
    with crowd(case, case.at(place, connections=2)) as threads:
        threads.all_at_once(lambda number: threads.ask("write", markers[number]))
        answers = threads.all_at_once(lambda number: threads.ask("read", markers[number]))
        assert answers == [case.kept(marker) for marker in markers]
        assert 1 <= len(connections(place) - before) <= 2 * case.connections


@every_server
def test_a_caller_that_finds_no_free_connection_in_time_gets_an_error_like_one_that_finds_no_answer(
    case: Case, place: Place
) -> None:
    with crowd(case, case.at(place, connections=1, timeout="300ms")) as threads:
        until(lambda: _works(threads), "the server to answer")
        with paused(place):
            caught = [call.exception(20) for call in threads.reading(new_markers(3))]
        for error in caught:
            assert isinstance(error, CallError), error
            assert (error.name, error.retryable) == ("TimeoutError", True), error
            assert f"{case.kind}.it" in error.message
        until(lambda: _works(threads), "the server to answer")


@every_server
def test_while_one_server_is_silent_the_others_answer(case: Case, place: Place, tmp_path: Path) -> None:
    other = next(each for each in CASES if each.name == "sqlite")
    markers = new_markers(10)
    with crowd(case, case.at(place)) as threads, other.start(tmp_path) as file, crowd(other, other.at(file)) as others:
        threads.ask("write", markers[0])
        with paused(place):
            waiting = threads.reading(markers[:1] * 10)
            for marker in markers:
                others.ask("write", marker)
            assert [others.begin(others.ask, "read", marker).result(20) for marker in markers] == [
                other.kept(marker) for marker in markers
            ]
            assert not any(call.done() for call in waiting)
        assert [call.result(20) for call in waiting] == [case.kept(markers[0])] * 10


@every_server
def test_a_resource_is_closed_when_its_last_call_is_over(case: Case, place: Place) -> None:
    markers = new_markers(5)
    before = connections(place)
    with crowd(case, case.at(place)) as threads:
        for marker in markers:
            threads.ask("write", marker)
        with paused(place):
            reading = threads.reading(markers)
            threads.declare(case.nowhere())
        assert [call.result(20) for call in reading] == [case.kept(marker) for marker in markers]
        with pytest.raises(CallError, match="expected"):
            threads.ask("read", markers[0])
        until(lambda: not (connections(place) - before) & open_in_server(place), "the connections to be closed")


@every_server
def test_a_call_that_the_time_limit_breaks_off_disturbs_no_other_thread(case: Case, place: Place) -> None:
    *markers, cut = new_markers(6)
    with crowd(case, case.at(place)) as threads:
        for marker in (*markers, cut):
            threads.ask("write", marker)
        with paused(place):
            reading = threads.reading(markers)
            with pytest.raises(TimeLimitExceeded), LIMITS.running(0.2):
                threads.ask("read", cut)
        assert [call.result(20) for call in reading] == [case.kept(marker) for marker in markers]
        assert [threads.ask("read", marker) for marker in markers] == [case.kept(marker) for marker in markers]


@postgres
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # the driver's, of open iterators
def test_rows_that_are_closed_while_a_thread_reads_them_end_with_its_page(case: Case, place: Place) -> None:
    slow = "select i, case when i > 1 then pg_advisory_xact_lock(7)::text end from generate_series(1, 3) as i"
    waits = "select count(*) as n from pg_locks where locktype = 'advisory' and not granted"
    with crowd(case, case.at(place)) as threads:
        before = connections(place)
        rows = threads.it.iterate(slow, page=1)
        used = connections(place) - before
        assert len(rows.next_page()) == 1

        def close_while_a_thread_reads(transaction: Any) -> Future[Any]:
            transaction.query("select pg_advisory_xact_lock(7)::text")
            reading = threads.begin(rows.next_page)
            until(lambda: bool(threads.it.query_one(waits)["n"]), "the thread to wait for the lock")
            rows.close()
            assert used <= open_in_server(place)
            return reading

        assert len(threads.it.transaction(close_while_a_thread_reads).result(20)) == 1
        assert rows.next_page() == []
        until(lambda: not used & open_in_server(place), "the connection to be closed")


def _works(threads: Crowd) -> bool:
    try:
        threads.ask("read", "nothing")
    except CallError as error:
        if not error.retryable:
            raise
        return False
    return True
