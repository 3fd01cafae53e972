"""Calls come from many threads: they are counted, a resource is made once, and closed after the last of them."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from threading import Barrier, Event

import msgspec
import pytest

from trimtab.api import CallError, Resource, ResourceKind
from trimtab.engine.calls import Call
from trimtab.engine.resources import Resources

THREADS = 8
SECONDS = 20


class DoorOptions(msgspec.Struct, frozen=True):
    label: str = "front"


class Door(Resource):
    """Something that is used, and closed."""

    def __init__(self, label: str) -> None:
        self.label = label
        self.closed = Event()

    def check(self) -> None:
        """It is there."""

    def pass_through(self) -> str:
        """Return which one it was."""
        assert not self.closed.is_set()
        return self.label

    def close(self) -> None:
        """Once and for all."""
        assert not self.closed.is_set()
        self.closed.set()


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(THREADS) as threads:
        yield threads


@pytest.fixture
def doors() -> list[Door]:
    """All that were made."""
    return []


@pytest.fixture
def resources(doors: list[Door]) -> Resources:
    def create(options: DoorOptions, _name: str, _folder: Path) -> Door:
        doors.append(Door(options.label))
        return doors[-1]

    kind = ResourceKind("door", DoorOptions, create, implied=frozenset({"default"}))
    made = Resources({"door": kind}, Path(), lambda: 0)
    declare(made, "front")
    return made


def declare(resources: Resources, label: str) -> None:
    assert resources.prepare({"door.it": {"label": label}}) == {}
    resources.commit()


def ask(resources: Resources, name: str = "door.it") -> str:
    return resources.call(Call("a.py", name, "pass"), Door.pass_through, "")


class Visit:
    """A call that stays inside until it is told to leave."""

    def __init__(self, resources: Resources, threads: ThreadPoolExecutor) -> None:
        self._inside, self._leave = Event(), Event()
        self._call: Future[str] = threads.submit(resources.call, Call("a.py", "door.it", "stay"), self._stay, "")
        assert self._inside.wait(SECONDS)

    def end(self) -> str:
        self._leave.set()
        return self._call.result(SECONDS)

    def _stay(self, door: Door) -> str:
        self._inside.set()
        assert self._leave.wait(SECONDS)
        return door.pass_through()


def test_every_call_of_every_thread_is_counted(resources: Resources, threads: ThreadPoolExecutor) -> None:
    def work(number: int) -> None:
        for _ in range(500):
            if number % 2:
                ask(resources)
            else:
                with pytest.raises(CallError):
                    resources.call(Call("b.py", "door.it", "fail"), _fail, "")

    list(threads.map(work, range(THREADS)))
    counts = {count.script: (count.calls, count.failed) for count in resources.counted()}
    assert counts == {"a.py": (2000, 0), "b.py": (2000, 2000)}
    assert resources.counted() == []


def test_a_resource_that_many_need_at_once_is_the_same_for_all(
    resources: Resources, threads: ThreadPoolExecutor, doors: list[Door]
) -> None:
    barrier = Barrier(THREADS)

    def work(_number: int) -> Door:
        barrier.wait(SECONDS)
        return resources.call(Call("a.py", "door.default", "pass"), lambda door: door, doors[0])

    (used,) = set(threads.map(work, range(THREADS)))
    assert [door for door in doors[1:] if not door.closed.is_set()] == [used]


def test_a_replaced_resource_is_closed_when_the_last_call_is_over(
    resources: Resources, threads: ThreadPoolExecutor, doors: list[Door]
) -> None:
    visits = [Visit(resources, threads), Visit(resources, threads)]
    declare(resources, "back")
    resources.close_retired()
    assert ask(resources) == "back"
    assert visits[0].end() == "front"
    assert not doors[0].closed.is_set()
    assert visits[1].end() == "front"
    assert doors[0].closed.wait(SECONDS)
    assert not doors[1].closed.is_set()


def test_a_replaced_resource_that_nobody_calls_is_closed_at_once(resources: Resources, doors: list[Door]) -> None:
    ask(resources)
    declare(resources, "back")
    assert not doors[0].closed.is_set()
    resources.close_retired()
    assert doors[0].closed.is_set()


def test_the_end_closes_what_is_not_in_use(
    resources: Resources, threads: ThreadPoolExecutor, doors: list[Door]
) -> None:
    visit = Visit(resources, threads)
    ask(resources, "door.default")
    resources.close()
    assert [door.closed.is_set() for door in doors] == [False, True]
    assert visit.end() == "front"
    assert doors[0].closed.wait(SECONDS)


def test_while_a_generation_is_prepared_other_threads_call_the_running_one(
    resources: Resources, threads: ThreadPoolExecutor
) -> None:
    resources.prepare({"door.it": {"label": "back"}})
    with resources.prepared():
        assert ask(resources) == "back"
        assert threads.submit(ask, resources).result(SECONDS) == "front"
    assert ask(resources) == "front"


def test_swaps_under_way_close_no_resource_that_is_called(resources: Resources, threads: ThreadPoolExecutor) -> None:
    done = Event()

    def work(_number: int) -> None:
        while not done.is_set():
            ask(resources)

    working = threads.map(work, range(THREADS - 1))
    for number in range(300):
        declare(resources, str(number))
        resources.close_retired()
    done.set()
    assert len(list(working)) == THREADS - 1


def _fail(_door: Door) -> str:
    raise CallError("ConnectionError", "nobody is there")
