"""Events in flight: their order, their limits, their time, and what is tried again."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from tests.engine.keyed_kit import Keyed, stored, values
from trimtab.api import Fault, HandlerSpec, ScriptInstance
from trimtab.engine.batch import Batch, Events, SourceSpec
from trimtab.engine.deadlines import MOST, TICK
from trimtab.engine.flights import Flight, Flights
from trimtab.engine.run import HandlerRun, ScriptState
from trimtab.engine.state import StateStore


class ManualLoop:
    """An event loop whose time goes only when told."""

    def __init__(self) -> None:
        self.now = 0.0
        self.pauses: list[float] = []
        self._calls: list[tuple[float, int, Callable[..., object], tuple[Any, ...]]] = []

    def time(self) -> float:
        return self.now

    def call_later(self, delay: float, function: Callable[..., object], *arguments: Any) -> None:
        self.pauses.append(delay)
        heapq.heappush(self._calls, (self.now + delay, len(self.pauses), function, arguments))

    def pass_time(self, seconds: float) -> None:
        """Run all that is due meanwhile, each at its time."""
        until = self.now + seconds
        while self._calls and self._calls[0][0] <= until:
            at, _number, function, arguments = heapq.heappop(self._calls)
            self.now = max(self.now, at)
            function(*arguments)
        self.now = max(self.now, until)


class ManualTasks:
    """The ``Tasks`` of a manual loop."""

    def __init__(self) -> None:
        self.loop: Any = ManualLoop()

    def call(self, function: Callable[[], Any]) -> Any:
        raise NotImplementedError

    def wake(self) -> None:
        pass

    def turn(self) -> None:
        raise NotImplementedError

    def run(self, until: Callable[[], bool], readable: int | None = None) -> bool:
        raise NotImplementedError


class ByHand(ScriptInstance):
    """A script whose asynchronous handler ends when the test says so; ``fails``: the next attempts that fail at once."""

    libraries = frozenset()

    def __init__(self, **options: Any) -> None:
        self.handlers = [HandlerSpec("handle", asynchronous=True, **options), HandlerSpec("plain", **options)]
        self.under_way: dict[int, tuple[HandlerRun, Callable[[], None]]] = {}
        self.begun: list[int] = []
        self.cancelled: list[int] = []
        self.fails = 0

    def open(self) -> None: ...
    def close(self) -> None: ...
    def settings_changed(self) -> None: ...

    def process(self, handler: int, events: Events, selection: Sequence[int], run: HandlerRun) -> None:
        self.begun += selection
        self._fail(run)

    def start(self, handler: int, run: HandlerRun, done: Callable[[], None]) -> None:
        self.begun.append(run.index)
        if self.fails:
            self._fail(run)
            done()
        else:
            self.under_way[run.index] = run, done

    def cancel(self, run: HandlerRun) -> None:
        self.cancelled.append(run.index)

    def end(self, index: int) -> None:
        self.under_way.pop(index)[1]()

    def _fail(self, run: HandlerRun) -> None:
        if self.fails:
            self.fails -= 1
            run.fail(run.index, Fault("Error", "no"))


class Sky:
    """Flights of one instance, and what became of them."""

    def __init__(self, count: int = 10, **options: Any) -> None:
        self.tasks = ManualTasks()
        self.flights = Flights(self.tasks)
        self.instance = ByHand(**options)
        batch = Batch(id=1, generation=1, source="gps", data=b"\n".join([b"1"] * count), count=count, arrival=0)
        self._events = Events(batch, SourceSpec(), decoded=True)
        self.landed: list[tuple[int, int]] = []
        """Index and attempts."""
        self.faults: dict[int, str] = {}
        self.tried = 0

    def submit(self, index: int, order: str | None = None, handler: int = 0) -> None:
        def make_run() -> HandlerRun:
            run = HandlerRun(frozenset(), self._events, ScriptState(StateStore(), "s", b'"v"'))
            run.index = index
            return run

        def tried(_run: HandlerRun) -> None:
            self.tried += 1

        def landed(flight: Flight) -> None:
            assert flight.run is not None
            self.landed.append((index, flight.attempts))
            self.faults |= {index: fault.name for index, fault in flight.run.faults.items()}

        self.flights.submit(Flight(self.instance, handler, make_run, "gate", order, tried, landed))


# --- order and limits --------------------------------------------------------------------------------------


def test_flights_of_one_order_come_one_after_the_other_and_others_pass() -> None:
    sky = Sky()
    for index, order in enumerate("aabab"):
        sky.submit(index, order)
    assert sky.instance.begun == [0, 2]
    sky.instance.end(2)
    assert sky.instance.begun == [0, 2, 4]
    sky.instance.end(0)
    sky.instance.end(1)
    assert sky.instance.begun == [0, 2, 4, 1, 3]
    sky.submit(5)
    sky.submit(6)
    assert sky.instance.begun[-2:] == [5, 6], "those without an order wait for nobody"


def test_no_more_fly_than_the_handler_allows_and_the_next_starts_when_one_has_landed() -> None:
    sky = Sky(concurrency=2)
    for index in range(5):
        sky.submit(index)
    assert sky.instance.begun == [0, 1]
    sky.instance.end(1)
    assert sky.instance.begun == [0, 1, 2]
    sky.instance.end(0)
    sky.instance.end(2)
    sky.instance.end(3)
    sky.instance.end(4)
    assert sky.landed == [(1, 1), (0, 1), (2, 1), (3, 1), (4, 1)]


@pytest.mark.parametrize("order", ["same", None], ids=["one order", "any order"])
@pytest.mark.parametrize("fails", [0, 10_000], ids=["fine", "failing"])
def test_ten_thousand_that_land_at_once_do_not_recurse(order: str | None, fails: int) -> None:
    sky = Sky(10_001, concurrency=1)
    sky.submit(0, order)
    for index in range(1, 10_001):
        sky.submit(index, order)
    assert sky.instance.begun == [0]
    sky.instance.handlers = [HandlerSpec("handle", concurrency=1)]  # from now on each lands during its start
    sky.instance.fails = fails
    sky.instance.end(0)
    assert len(sky.landed) == 10_001
    assert {index for index, _attempts in sky.landed} == set(range(10_001))
    assert sky.instance.begun == list(range(10_001))
    assert len(sky.faults) == fails


# --- attempts ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("handler", [0, 1], ids=["asynchronous", "plain"])
def test_what_fails_is_tried_again_after_a_random_pause_that_may_double(handler: int) -> None:
    longest: list[float] = [0, 0, 0]
    for _ in range(30):
        sky = Sky(attempts=4, backoff=8.0, timeout=1000)
        sky.instance.fails = 4
        sky.submit(0, "a", handler)
        sky.submit(1, "a", handler)
        for _ in range(8):
            sky.tasks.loop.pass_time(32)
        assert (sky.landed[0], sky.faults, sky.tried >= 4) == ((0, 4), {0: "Error"}, True)
        assert sky.instance.begun == [0, 0, 0, 0, 1], "its key waits for it"
        pauses = [pause for pause in sky.tasks.loop.pauses if pause != TICK]
        assert all(0 <= pause <= bound for pause, bound in zip(pauses, (8, 16, 32), strict=True))
        longest = [max(pair) for pair in zip(longest, pauses, strict=True)]
    assert longest[0] > 2
    assert longest[1] > 8
    assert longest[2] > 16, "full jitter: any pause up to the bound"


def test_others_fly_while_one_waits_for_its_next_attempt() -> None:
    sky = Sky(attempts=2, concurrency=1)
    sky.instance.fails = 1
    sky.submit(0, "a")
    sky.submit(1, "b")
    assert sky.instance.begun == [0, 1]
    sky.instance.end(1)
    sky.tasks.loop.pass_time(1)
    sky.instance.end(0)
    assert sky.landed == [(1, 1), (0, 2)]
    assert sky.faults == {}


# --- time --------------------------------------------------------------------------------------------------


def test_what_waits_too_long_fails_and_is_told_off_once() -> None:
    sky = Sky(timeout=0.5)
    sky.submit(0)
    sky.tasks.loop.pass_time(0.4)
    sky.submit(1)
    assert sky.landed == []
    sky.tasks.loop.pass_time(0.15)
    assert (sky.instance.cancelled, sky.landed, sky.faults) == ([0], [(0, 1)], {0: "TimeLimitExceeded"})
    sky.instance.end(0)
    sky.instance.end(1)
    sky.tasks.loop.pass_time(5)
    assert (sky.instance.cancelled, sky.landed) == ([0], [(0, 1), (1, 1)])
    assert sky.tasks.loop._calls == [], "nobody looks at the clock any more"


def test_each_attempt_has_the_time_of_its_own() -> None:
    sky = Sky(timeout=1, attempts=2, backoff=0.01)
    sky.submit(0)
    sky.tasks.loop.pass_time(1.5)
    assert (sky.instance.cancelled, sky.landed, sky.instance.begun) == ([0], [], [0, 0])
    sky.instance.end(0)
    assert (sky.landed, sky.faults) == ([(0, 2)], {})


def test_time_in_which_the_loop_is_busy_is_not_counted() -> None:
    sky = Sky(timeout=1)
    sky.submit(0)
    sky.tasks.loop.now += 30  # somebody computes
    sky.tasks.loop.pass_time(1 - MOST - 2 * TICK)
    assert sky.landed == []
    sky.tasks.loop.pass_time(4 * TICK)
    assert sky.landed == [(0, 1)]


# --- with scripts ------------------------------------------------------------------------------------------

ORDERED = {
    "a.py": """
import asyncio
from trimtab import emit, state
async def handle(event, ctx):
    before = state.get("n", 0)
    for _ in range(event["turns"]): await asyncio.sleep(0)
    state.set("n", before + 1)
    emit("out", [event["key"], before + 1])
""",
    "a.js": """
import { emit, state } from "trimtab";
export async function handle(event, ctx) {
  const before = state.get("n", 0);
  for (let turn = 0; turn < event.turns; turn++) await null;
  state.set("n", before + 1);
  emit("out", [event.key, before + 1]);
}
""",
}
FLAKY = {
    "a.py": """
from trimtab import emit, handler, state
tries = {}
@handler(attempts=3, backoff="1ms")
MAYBEdef handle(event, ctx):
    n = event["n"]
    tries[n] = tries.get(n, 0) + 1
    emit("out", [n, tries[n], state.incr("n")])
    if tries[n] < event["from"]: raise ValueError(f"try {tries[n]}")
""",
    "a.js": """
import { emit, state } from "trimtab";
export const attempts = 3, backoff = "1ms";
const tries = {};
export MAYBEfunction handle(event, ctx) {
  const n = event.n;
  tries[n] = (tries[n] ?? 0) + 1;
  emit("out", [n, tries[n], state.incr("n")]);
  if (tries[n] < event.from) throw new Error(`try ${tries[n]}`);
}
""",
}
RETRIED = [(name, text.replace("MAYBE", maybe)) for maybe in ("", "async ") for name, text in FLAKY.items()]


@pytest.mark.parametrize("name", list(ORDERED))
def test_events_of_a_key_are_handled_in_order_however_long_each_waits(keyed: Keyed, name: str) -> None:
    keyed.deploy_files({name: ORDERED[name]})
    events = [{"key": n % 3, "turns": (7 * n) % 5} for n in range(30)]
    assert keyed.out(*events) == [[n % 3, n // 3 + 1] for n in range(30)], "also what is emitted is in order"


@pytest.mark.parametrize(("name", "text"), RETRIED, ids=["python", "javascript", "async python", "async javascript"])
def test_an_event_that_succeeds_at_last_counts_once(keyed: Keyed, name: str, text: str) -> None:
    keyed.deploy_files({name: text})
    result = keyed.process(*({"key": 1, "n": n, "from": n} for n in (1, 2, 3, 4)))
    assert values(result) == [[1, 1, 1], [2, 2, 2], [3, 3, 3]]
    (failed,) = result.failed
    assert (failed.fault.message, failed.tries, failed.kind) == ("try 3", 3, "event")
    count = result.scripts[name]
    assert (count.handled, count.failed, count.retried) == (3, 1, 5)
    assert stored(keyed.store)[name]["1"]["n"][0] == b"3"


def test_batches_finish_in_the_order_in_which_they_came(keyed: Keyed) -> None:
    keyed.deploy_files({"a.py": ORDERED["a.py"]})
    for turns in (20, 0, 5):
        keyed.engine.submit(keyed.batch({"key": turns, "turns": turns}))
    assert not keyed.engine.has_finished
    keyed.tasks.run(lambda: not keyed.engine.flying)
    finished = list(keyed.engine.finished())
    assert [values(result) for _batch, result in finished] == [[[20, 1]], [[0, 1]], [[5, 1]]]


def test_a_new_version_waits_for_what_the_old_one_has_under_way_for_a_key(keyed: Keyed) -> None:
    keyed.deploy_files({"a.py": ORDERED["a.py"]})
    keyed.engine.submit(keyed.batch({"key": 1, "turns": 20}))
    plain = ORDERED["a.py"].replace("async def", "def").replace("await asyncio.sleep(0)", "pass")
    keyed.deploy_files({"a.py": plain})
    keyed.engine.submit(keyed.batch({"key": 1, "turns": 0}, {"key": 2, "turns": 0}))
    keyed.tasks.run(lambda: not keyed.engine.flying)
    results = [result for _batch, result in keyed.engine.finished()]
    for result in results:
        keyed.mirror.load(result.changes)
    assert [values(result) for result in results] == [[[1, 1]], [[1, 2], [2, 1]]]
    assert stored(keyed.mirror) == stored(keyed.store)
    assert keyed.engine.close_retired() is not None


def test_unkeyed_events_of_a_stateful_script_come_one_after_the_other_and_others_at_once(keyed: Keyed) -> None:
    keyed.deploy_files({"a.py": ORDERED["a.py"].replace('event["key"]', "ctx.key")})
    assert keyed.out({"turns": 3}, {"turns": 0}, source="plain") == [[None, 1], [None, 2]]
    together = """
import asyncio
begun, gate = [], asyncio.Event()
async def handle(event, ctx):
    begun.append(1)
    if len(begun) == 3: gate.set()
    await gate.wait()
"""
    keyed.deploy(a__py=together)
    assert keyed.out(1, 2, 3, source="plain") == []
