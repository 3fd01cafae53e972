"""A lane as the host sees it: a queue, a small window of work under way, and a process that is kept alive."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import msgspec

from trimtab.api import Reach
from trimtab.artifacts.names import artifact_name
from trimtab.engine.engine import Plan
from trimtab.engine.result import BatchResult
from trimtab.engine.script import LogEntry
from trimtab.engine.state import DueTimer, StateRow
from trimtab.errors import ChangeRefused, Fault, LaneDied
from trimtab.runtime import wire
from trimtab.runtime.changes import Changes
from trimtab.runtime.processes import Worker
from trimtab.runtime.waiting import WAITING, Waiting
from trimtab.runtime.work import Barrier, Cut, Work, joined

WINDOW = 2
"""Batches under way in a lane, but for those whose events are in flight: one in its hands, the next in its socket, so
that it never waits for the host."""
MOST_EVENTS = 2048
"""In a batch."""
FIRST_EVENTS = 64
"""In the first batches of a generation, until they show how long its handlers take."""
MOST_FLYING = 2048
"""Events in a lane that have no result yet; then sources wait. What is in the queue goes on: a commit, a checkpoint."""
BATCH_SECONDS = 0.005
"""What a batch should take. Two batches and a short queue bound what a commit waits for."""
GRACE = 2.0
"""Seconds without a sign of life, beyond the longest time limit, after which a lane counts as stuck in native code."""
WATCH_EVERY = 0.25
BACK_OFF = 0.05
MOST_BACK_OFF = 5.0


class LaneOwner(Protocol):
    """What a lane needs from the host."""

    async def start_worker(self) -> Worker:
        """Fork a lane process."""

    def plan_of(self, generation: int) -> Plan:
        """The way from nothing to a committed generation."""

    def state_of(self, lane: int) -> AsyncIterator[list[StateRow]]:
        """The state of a lane's keys as of the last checkpoint, in parts."""

    def state_versions(self) -> Mapping[str, str]:
        """The versions of the scripts that have left that state, where others may run now."""

    def earlier_rules(self) -> Mapping[str, Sequence[bytes | None]]:
        """The documents of rules that ran at the last checkpoint and since, where others run now; None: no rule ran.

        By name, oldest first: what is stored of partial matches takes part in these changes.
        """

    def watermarks(self, place: int | None) -> Mapping[str, int]:
        """How far the event time of each source has come before a place in the order of events, in ms; None: at all."""

    def longest_timeout(self) -> float:
        """The highest time limit of the running handlers, seconds."""

    async def finished(self, work: Work, result: BatchResult) -> None:
        """Pass on what came of a batch. Waiting here holds the lane back."""

    async def abandoned(self, work: Work, script: str | None, fault: Fault, timer: DueTimer | None) -> None:
        """An event, or a timer, took the lane down twice in this script: put it into the dead letters."""

    def room_made(self) -> None:
        """The lane may have room for more."""

    def logged(self, entries: list[LogEntry]) -> None:
        """Scripts have logged something."""

    def closed(self, script: str, version: str, fault: Fault | None) -> None:
        """An old version was closed."""

    def lane_event(self, lane: Lane, event: str, detail: str) -> None:
        """Something the operator should know: ``died``, ``restarted``, ``recycled``, ``script not restored``."""


@dataclass(eq=False, slots=True)
class _Preparing:
    """A plan that the process was asked to prepare."""

    generation: int
    answer: asyncio.Future[bool]
    """False: the process ended before it came to it, which says nothing of the plan."""


class Lane:
    """One lane. :meth:`run` keeps its process alive until :meth:`stop`."""

    def __init__(self, index: int, owner: LaneOwner, generation: int) -> None:
        self.index = index
        self.state = "starting"
        self.restarts = 0
        self.generation = generation
        """The generation that its process has confirmed."""
        self.target = FIRST_EVENTS
        """Events that make a batch of the wanted duration."""
        self._owner = owner
        self.changes = Changes()
        """What has changed in the state of its keys since the last barrier."""
        self.frozen: Changes | None = None
        """What had changed before that barrier, until it is in a checkpoint."""
        self.next_due: int | None = None
        """When a timer or an expiry is due in processing time, in ms."""
        self.awaits_watermark = False
        """Whether timers wait for event time."""
        self.waiting = Waiting(index)
        """Events that rules hold in its process, until their event time has come."""
        self.partial_matches: dict[str, int] = {}
        """How many partial matches each rule has in its process."""
        self.breakers: Mapping[str, str] = {}
        """The circuit breakers that are not closed in its process, with their states."""
        self._told: dict[str, int] = {}
        """The watermarks that the process knows."""
        self._queue: deque[Work | Cut | Barrier] = deque()
        self._queued = 0
        self._flying = 0
        """Events that were sent to the process and have no result yet."""
        self._flight: deque[Work | Cut | Barrier | _Preparing] = deque()
        """What the process has in hand and has yet to answer. Batches are answered in their order."""
        self._worker: Worker | None = None
        self._entered: wire.Entering | None = None
        self._died_opening: str | None = None
        self.unrestored: dict[str, Fault] = {}
        """Scripts whose events fail here, because they could not be opened again when the process was started anew."""
        self._broken: dict[str, Fault] = {}
        """Scripts that took the process down twice while it opened them again: it runs without them."""
        self._recycling = False
        self._has_lived = False
        self._deaths = 0
        self._killed_because: str | None = None
        self._stopping = False
        self._prepared: int | None = None
        self._results: asyncio.Queue[tuple[Work, BatchResult] | Barrier] = asyncio.Queue()
        self._unwritten = 0
        """Results that were not passed on to the end."""
        self._ready = asyncio.Event()
        self._settled = asyncio.Event()

    @property
    def pid(self) -> int | None:
        """Of its process; None while there is none."""
        return None if self._worker is None else self._worker.pid

    @property
    def has_room(self) -> bool:
        """Whether more work may be put in without letting the queue grow."""
        return self._queued < self.target and self._unwritten <= WINDOW and self._flying < MOST_FLYING

    @property
    def backlog(self) -> int:
        """Events that wait or are under way."""
        return self._queued + self._flying

    @property
    def queued(self) -> bool:
        """Whether a batch waits, or is in the lane's hands: it brings the news and the time along."""
        items = (*self._queue, *self._flight)
        return any(isinstance(item, Work) and not item.started for item in items)

    @property
    def busy(self) -> bool:
        """Whether anything waits, is under way, or is being passed on."""
        return bool(self._queue or self._flight or self._unwritten)

    async def drained(self) -> None:
        """Wait until nothing is left to do."""
        while self.busy:
            self._settled.clear()
            await self._settled.wait()

    # --- work ---

    def put(self, work: Work) -> None:
        """Append a batch to the queue."""
        self._queue.append(work)
        self._queued += work.batch.count
        self._pump()

    def cut(self, cut: Cut) -> None:
        """Append a cut: what is put in from now on is handled by the cut's generation."""
        self._queue.append(cut)
        self.target = min(self.target, FIRST_EVENTS)
        self._pump()

    def bar(self, barrier: Barrier) -> None:
        """Append a barrier: what is put in from now on belongs to the next checkpoint."""
        self._queue.append(barrier)
        self._pump()

    @property
    def has_news(self) -> bool:
        """Whether timers wait for event time that has come further than the process knows."""
        return self.awaits_watermark and bool(self._news(None))

    @property
    def place(self) -> int | None:
        """Of the first events that are in its queue or under way, in the order of events; None: there are none."""
        items = (*self._flight, *self._queue)
        return min((item.place for item in items if isinstance(item, Work)), default=None)

    def _news(self, place: int | None) -> dict[str, int]:
        return {name: at for name, at in self._owner.watermarks(place).items() if self._told.get(name, at - 1) < at}

    def thaw(self, *, kept: bool) -> None:
        """What is frozen is in a checkpoint, if it was kept; else it belongs to the next one."""
        frozen, self.frozen = self.frozen, None
        if frozen is not None and not kept:
            frozen.add(self.changes.rows())
            self.changes = frozen

    async def prepare(self, plan: Plan) -> None:
        """Have the process build the next generation beside the running one.

        Raises :class:`ChangeRefused`, or :class:`LaneDied` when the process ends over it.
        """
        while not await self._prepare_in_process(plan):
            pass
        for name in plan.reload:
            self._broken.pop(name, None)

    async def _prepare_in_process(self, plan: Plan) -> bool:
        """Return False when the process ended over something earlier: the next one is to be asked."""
        while not self._ready.is_set():  # the process may have ended again since it was ready
            if self._stopping:
                raise LaneDied(f"lane {self.index} is stopping")
            await self._ready.wait()
        preparing = _Preparing(plan.generation, asyncio.get_running_loop().create_future())
        self._send(wire.Prepare(plan))
        self._flight.append(preparing)
        return await preparing.answer

    def abort(self) -> None:
        """Drop what was prepared."""
        self._prepared = None
        if self._worker is not None:
            self._worker.send(wire.Abort())

    def stop(self) -> None:
        """Have the scripts closed and the process end. What is queued is not waited for: drain first."""
        self._stopping = True
        if self._worker is not None:
            self._send(wire.Stop())

    async def reach(self, wanted: Reach | None) -> None:
        """Have another process take the place of one that may not reach what is wanted, between two batches."""
        while not self._stopping:
            await self._ready.wait()
            worker = self._worker
            if worker is None or worker.reach is None or wanted is None or worker.reach.covers(wanted):
                return
            self._recycling, self._killed_because = True, "a change needs more than it may reach"
            self._send(wire.Stop())
            await worker.ended
            while self._worker is worker:  # noqa: ASYNC110 - it is noticed in the next rounds of the loop
                await asyncio.sleep(0)

    def kill(self, because: str) -> None:
        """End the process at once."""
        self._killed_because = because
        if self._worker is not None:
            self._worker.kill()

    def _pump(self) -> None:
        while self._ready.is_set() and self._queue and self._may_send(self._queue[0]):
            item = self._queue.popleft()
            if isinstance(item, Cut):
                self._send_cut(item.plan)
            elif isinstance(item, Work):
                item = self._gather(item)
                self._send_work(item)
            self._flight.append(item)
        self._reach_barriers()

    def _send_work(self, work: Work) -> None:
        batch = work.batch
        self._queued -= batch.count
        self._flying += batch.count
        if batch.only is None:
            batch.watermarks = self._news(work.place)
            self._told |= batch.watermarks
        self._send(wire.Replay(batch, *work.replay) if work.replay else batch)

    def _send_cut(self, plan: Plan) -> None:
        """Switch to the prepared generation; a process that was started since it was prepared must load it first."""
        prepared, self._prepared = self._prepared == plan.generation, None
        self._send(wire.Commit(plan.generation) if prepared else wire.Restore(plan, self._broken))

    def _may_send(self, item: Work | Cut | Barrier) -> bool:
        if not self._flight:
            return True
        return sum(map(_is_in_hand, self._flight)) < WINDOW and not any(map(_isolated, (item, *self._flight)))

    def _gather(self, work: Work) -> Work:
        """Take along what follows in the queue and fits into the same batch."""
        while self._queue and isinstance(following := self._queue[0], Work):
            together = joined(work, following, self.target)
            if together is None:
                break
            self._queue.popleft()
            work = together
        return work

    def _send(self, message: wire.ToLane) -> None:
        assert self._worker is not None  # noqa: S101 - callers look
        if not self._flight:
            self._worker.last_sign = asyncio.get_running_loop().time()
        self._worker.send(message)

    # --- the process ---

    async def run(self) -> None:
        """Keep a process running, until :meth:`stop`."""
        try:
            async with asyncio.TaskGroup() as group:
                helpers = [group.create_task(self._watch()), group.create_task(self._pass_on())]
                await self._keep_alive()
                for helper in helpers:
                    helper.cancel()
        except ExceptionGroup as group_error:
            raise group_error.exceptions[0] from None
        finally:
            self.state = "stopped"

    async def _keep_alive(self) -> None:
        while not self._stopping:
            try:
                await self._live()
            except LaneDied as error:
                self._killed_because = f"could not be started: {error}"
            if not self._stopping:
                await self._recover()

    async def _live(self) -> None:
        """One process, from its start to its end."""
        worker = self._worker = await self._owner.start_worker()
        try:
            if self._stopping:  # nobody could tell the process, so it would never end
                return
            if self.generation and not await self._restored(worker):
                return
            self.state = "running"
            self._ready.set()
            self._pump()
            self._owner.room_made()
            await self._listen(worker)
        finally:
            self._ready.clear()
            self._worker = self._prepared = None
            self.state = "restarting"
            worker.kill()
            await worker.close()
            status = await worker.ended
            self._killed_because = self._killed_because or _describe(status)

    async def _restored(self, worker: Worker) -> bool:
        """Bring a new process to the running generation. Returns False if it ended over it."""
        self._told.clear()
        self.waiting.restarted()
        self.partial_matches.clear()
        changed = [
            changes.rows() for changes in (self.frozen, self.changes) if changes
        ]  # before what is stored is read
        async for rows in self._owner.state_of(self.index):
            worker.send(wire.State(rows))
            worker.last_sign = asyncio.get_running_loop().time()  # reading all of it may take a while
        for rows in changed:
            worker.send(wire.State([row for row in rows if row.script != WAITING]))
        restore = wire.Restore(self._owner.plan_of(self.generation), self._broken, clocks=dict(self.waiting.reached))
        if not self._has_lived:  # else what is stored is of what runs
            restore.versions, restore.earlier = dict(self._owner.state_versions()), dict(self._owner.earlier_rules())
        worker.send(restore)
        while isinstance(message := await worker.receive(), wire.Entering):
            self._entered = message
        if not isinstance(message, wire.Committed):
            return False
        for batch in self.waiting.batches:
            worker.send(wire.Hold(batch))
        self._has_lived = True
        self.unrestored.clear()
        self._report_unrestored(message)
        self.changes.add(message.changes)
        self.next_due, self.awaits_watermark = 0, True  # until a first batch says what is true
        return True

    def _report_unrestored(self, answer: wire.Committed) -> None:
        self._entered = self._died_opening = None
        self.unrestored |= answer.faults
        for script, fault in answer.faults.items():
            self._owner.lane_event(self, "script not restored", f"{script}: {fault}")

    async def _listen(self, worker: Worker) -> None:
        while (message := await worker.receive()) is not None:
            self._take(message)

    def _take(self, message: wire.FromLane) -> None:
        match message:
            case wire.Done():
                self._done(message)
            case wire.Started(batch):
                self._started(batch)
            case wire.Committed():
                self._committed(message)
                self._report_unrestored(message)
            case wire.Prepared() | wire.Refused():
                self._answer(message)
            case wire.Entering():
                self._entered = message
            case wire.Closed(script, version, fault):
                self._owner.closed(script, version, fault)
            case wire.Logged(entries):
                self._owner.logged(msgspec.json.decode(entries, type=list[LogEntry]))
            case wire.Recycling(reason):
                self._recycling = True
                self._killed_because = reason

    def _answer(self, message: wire.Prepared | wire.Refused) -> None:
        preparing = next(item for item in self._flight if isinstance(item, _Preparing))
        self._flight.remove(preparing)
        if not preparing.answer.done():  # else whoever asked has given up
            if isinstance(message, wire.Refused):
                preparing.answer.set_exception(ChangeRefused(message.faults))
            else:
                self._prepared = message.generation
                preparing.answer.set_result(True)
        self._pump()
        self._settle()

    def _started(self, batch: int) -> None:
        for item in self._flight:
            if isinstance(item, Work) and item.batch.id == batch:
                item.started = True
                self.target = min(
                    self.target, FIRST_EVENTS
                )  # how long they take is not how long it takes to start them
        self._pump()
        self._owner.room_made()

    def _done(self, message: wire.Done) -> None:
        work = next(item for item in self._flight if isinstance(item, Work))
        self._flight.remove(work)
        self._flying -= work.batch.count
        result = message.result
        self._adapt(message.busy, work.batch.count)
        self._deaths = 0
        self._entered = None
        self.changes.add(result.changes)
        self.next_due, self.awaits_watermark = result.next_due, result.awaits_watermark
        self.breakers = result.breakers
        self.waiting.note(work.batch, result)
        self.partial_matches |= {name: count.open for name, count in result.rules.items()}
        self._unwritten += 1
        self._results.put_nowait((work, result))
        self._pump()
        self._owner.room_made()

    def _reach_barriers(self) -> None:
        """A barrier is reached when nothing from before it is under way."""
        while self._flight and isinstance(barrier := self._flight[0], Barrier):
            self._flight.popleft()
            self.changes.add(self.waiting.rows())
            self.frozen, self.changes = self.changes, Changes()
            self._unwritten += 1
            self._results.put_nowait(barrier)

    async def _pass_on(self) -> None:
        """Pass the results on, in order. A sink that cannot be written holds up the events, but no change."""
        while True:
            item = await self._results.get()
            if isinstance(item, Barrier):
                item.pass_lane()
            else:
                work, result = item
                await self._owner.finished(work, result)
                work.done()
            self._unwritten -= 1
            self._owner.room_made()
            self._settle()

    def _committed(self, message: wire.Committed) -> None:
        self.generation = message.generation
        self.changes.add(message.changes)
        cut = next(item for item in self._flight if isinstance(item, Cut))
        self._flight.remove(cut)
        for name in (*cut.plan.reload, *cut.plan.deletes, *map(artifact_name, cut.plan.resources)):
            self.unrestored.pop(name, None)
        if not cut.done.done():
            cut.done.set_result(None)
        self._pump()
        self._settle()

    def _settle(self) -> None:
        if not self.busy:
            self._settled.set()

    def _adapt(self, busy: int, count: int) -> None:
        """Steer the size of batches to the wanted duration: down at once, up by doubling at the most."""
        if not count:
            return
        wanted = int(BATCH_SECONDS * 1e9 * count / max(busy, 1))
        self.target = max(1, min(wanted, self.target * 2, MOST_EVENTS))

    # --- deaths ---

    async def _watch(self) -> None:
        """Kill a process that has work in hand and shows no life: native code that no signal interrupts."""
        while True:
            slept_since = asyncio.get_running_loop().time()
            await asyncio.sleep(WATCH_EVERY)
            if asyncio.get_running_loop().time() - slept_since > 2 * WATCH_EVERY:
                continue  # the host itself was held up, and with it the signs of life
            worker = self._worker
            busy = self._flight or self._stopping or not self._ready.is_set()
            if worker is None or not busy:
                continue
            silent = asyncio.get_running_loop().time() - worker.last_sign
            limit = self._owner.longest_timeout() + GRACE
            if silent > limit:
                self.kill(f"stuck for {silent:.1f} s in code that cannot be interrupted")

    async def _recover(self) -> None:
        """After the process ended: bring the work under way back into the queue, and wait a little."""
        reason, self._killed_because = self._killed_because or "ended", None
        recycled, self._recycling = self._recycling, False
        entered, self._entered = self._entered, None
        self.restarts += 1
        self._owner.lane_event(self, "recycled" if recycled else "died", reason)
        in_hand = None if recycled else next(filter(_is_in_hand, self._flight), None)
        again: list[Work | Cut | Barrier] = []
        # They stay in the flight meanwhile: nobody must take the lane for drained.
        for item in list(self._flight):
            if isinstance(item, _Preparing):
                self._end_preparing(item, reason if item is in_hand else None)
            elif isinstance(item, Work) and not recycled and (item is in_hand or item.started):
                again += await self._second_try(item, entered, reason)
            else:
                again.append(item)
        if entered is not None and not any(map(_isolated, self._flight)):
            self._failed_opening(entered.script, reason)
        self._flight.clear()
        self._flying = 0
        self._queue.extendleft(reversed(again))
        self._queued = sum(item.batch.count for item in self._queue if isinstance(item, Work))
        self._settle()
        if not recycled:
            self._deaths += 1
            if self._deaths > 1:
                await asyncio.sleep(min(MOST_BACK_OFF, BACK_OFF * 2**self._deaths))

    def _end_preparing(self, preparing: _Preparing, reason: str | None) -> None:
        if preparing.answer.done():
            return
        if reason is None:
            preparing.answer.set_result(False)
        else:
            preparing.answer.set_exception(LaneDied(f"lane {self.index} {reason} while it prepared the change"))

    def _failed_opening(self, script: str, reason: str) -> None:
        """Do without a script that took the process down twice, so that the others can run."""
        if script == self._died_opening:
            self._broken[script] = Fault("LaneDied", f"the lane process {reason} while it opened the script again")
        self._died_opening = script

    async def _second_try(self, suspect: Work, entered: wire.Entering | None, reason: str) -> list[Work]:
        """Take the events of a batch in hand one by one; give up on the one that has killed a lane twice."""
        if not suspect.batch.isolated:
            return list(suspect.singles())
        culprit = suspect.batch.only if entered is None else entered.script
        timer = None if entered is None else entered.timer
        fault = Fault("LaneDied", f"the lane process {reason}")
        await self._owner.abandoned(suspect, culprit, fault, timer)
        if timer is not None and not suspect.batch.timers:
            self.changes.add([timer.dropped()])
            return [replace(suspect, started=False)]
        if culprit is not None and suspect.replay is None and suspect.batch.only is None:
            return [suspect.without(culprit)]
        suspect.done()
        return []


def _is_in_hand(item: Work | Cut | Barrier | _Preparing) -> bool:
    """Whether the process works on it, or will: not where its events are in flight; a barrier is the host's alone."""
    return not isinstance(item, Barrier) and not (isinstance(item, Work) and item.started)


def _isolated(item: Work | Cut | Barrier | _Preparing) -> bool:
    return isinstance(item, Work) and item.batch.isolated


def _describe(status: int) -> str:
    return f"was killed by signal {-status}" if status < 0 else f"ended with exit code {status}"
