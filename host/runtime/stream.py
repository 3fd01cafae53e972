"""The stream: sources, router, lanes and sinks, and what happens to the results of a batch."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from types import TracebackType
from typing import TYPE_CHECKING

import msgspec
import structlog
from msgspec.structs import replace

from trimtab.api import INTERNAL, Reach, SinkContext, SinkError, Source
from trimtab.artifacts.names import is_rule
from trimtab.config import Config, SourceConfig
from trimtab.engine.batch import Batch, EventKind, SourceSpec, event_id
from trimtab.engine.engine import LoadedScript, Plan
from trimtab.engine.result import NO_KEY, BatchResult, FailedEvent, Lines
from trimtab.engine.rule_versions import EVERYWHERE
from trimtab.engine.script import LogEntry, Script
from trimtab.engine.state import DueTimer, StateRow, Timer
from trimtab.errors import ChangeRefused, Fault, LaneDied, StateError
from trimtab.runtime import checker
from trimtab.runtime.checkpointer import Mark
from trimtab.runtime.checkpoints import Checkpoint
from trimtab.runtime.confinement import Confinement
from trimtab.runtime.dead_letters import DeadLetter
from trimtab.runtime.durable import Durable
from trimtab.runtime.ingest import Ingest
from trimtab.runtime.processes import NurseryProcess, Worker
from trimtab.runtime.router import Router
from trimtab.runtime.sinks import SinkWriter
from trimtab.runtime.stats import CallStats, RuleStats, ScriptStats
from trimtab.runtime.supervisor import Lane
from trimtab.runtime.waiting import WAITING, Stored, distribute
from trimtab.runtime.watermarks import Watermarks
from trimtab.runtime.wire import Setup
from trimtab.runtime.work import END_OF_TIME, Work

if TYPE_CHECKING:
    from starlette.routing import BaseRoute

REPORT_EVERY = 3.0
TICK_SECONDS = 0.05
"""Seconds, both."""
LANE_MEMORY = 512 << 20
"""Bytes that the scripts of one lane may take."""

_NOT_FIELDS = frozenset({"self", "event", "script", "version", "level", "timestamp", "exc_info", "stack_info"})
"""Names that mean something to the log itself: a field of a script that has one gets an underscore."""


class Stream:
    """Everything that events flow through. An asynchronous context manager: inside, lanes run and sinks are open.

    ``generation``: the committed generation to begin with. ``plan_of``: the way from nothing to a committed
    generation. ``rolled_back``: scripts that keep their state whatever they say. ``earlier``: see
    :meth:`LaneOwner.earlier_rules`.
    """

    def __init__(
        self,
        config: Config,
        durable: Durable,
        plan_of: Callable[[int], Plan],
        generation: int,
        rolled_back: Collection[str],
        earlier: Mapping[str, Sequence[bytes | None]],
        confinement: Confinement,
    ) -> None:
        specs = source_specs(config)
        self.stats: dict[str, ScriptStats] = {}
        self.rules: dict[str, RuleStats] = {}
        self.calls = CallStats()
        self.loaded: Mapping[str, LoadedScript] = {}
        """The running scripts, by name: the deployer's own book, once there is one."""
        self.lanes = [Lane(index, self, generation) for index in range(config.lanes)]
        self.router = Router(self.lanes, specs, generation)
        self.sinks = {
            name: SinkWriter(
                name, sink.kind.create(sink.options, SinkContext(name, config.folder)), self._undeliverable
            )
            for name, sink in config.sinks.items()
        }
        self.now = processing_clock()
        self.ingests = {
            name: Ingest(
                name,
                config.folder,
                s.codec,
                s.lateness,
                self.router,
                self._invalid,
                durable.journal,
                durable.partition,
                self.now,
            )
            for name, s in config.sources.items()
        }
        self._resume(durable.checkpoint)
        stored = Stored(durable.checkpoints.rows_of(WAITING))
        waiting = [lane.waiting for lane in self.lanes]
        router, marks = self.router, {} if durable.checkpoint is None else durable.checkpoint.watermarks
        self.lanes[0].changes.add(distribute(stored, specs, waiting, router.index_of, router.next_id, marks))
        self._rolled_back, self._earlier = rolled_back, earlier
        self._confinement = confinement
        self._sources = {name: _create(source, self.ingests[name]) for name, source in config.sources.items()}
        self._setup = Setup(
            sources=specs,
            sinks=list(config.sinks),
            folder=str(config.folder),
            roots=[str(folder) for folder in config.scripts],
            cache=str(config.state / "cache"),
            memory=LANE_MEMORY,
            confined=config.confined,
            breaker=config.breaker,
            state_value=config.state_value,
            modules=sorted(config.modules),
        )
        self._durable = durable
        self.dead_letters = durable.dead_letters
        self._ended: set[str] = set()
        """Sources that have come to their natural end."""
        self._plan_of, self._generation = plan_of, generation
        self._mask = config.mask
        self._stack = AsyncExitStack()
        self._forking = asyncio.Lock()
        self._lane_tasks: list[asyncio.Task[None]] = []
        self._log = structlog.get_logger("trimtab")

    async def __aenter__(self) -> Stream:
        for sink in self.sinks.values():
            await sink.open()
            self._stack.push_async_callback(sink.close)
        self._confinement.widen(self._plan_of(self._generation))
        self._nursery = await self._stack.enter_async_context(NurseryProcess(self._setup))
        self._lane_tasks = [asyncio.create_task(lane.run(), name=f"lane {lane.index}") for lane in self.lanes]
        self._ticking = asyncio.create_task(self._tick())
        return self

    async def __aexit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        tasks = (*self._lane_tasks, self._ticking)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._stack.aclose()

    # --- running and ending ---

    @property
    def source_routes(self) -> dict[str, Sequence[BaseRoute]]:
        """HTTP routes by name of the source that wants them."""
        return {name: routes for name, source in self._sources.items() if (routes := source.routes())}

    async def run_sources(self) -> None:
        """Run every source to its end. Raises :class:`SourceError` of one that cannot go on."""
        self._choose_lanes()
        tasks = [asyncio.create_task(self._run_source(name)) for name in self._sources]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                if not task.cancelling():  # once: a source that is ending must not be disturbed
                    task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _run_source(self, name: str) -> None:
        await self.ingests[name].run(self._sources[name])
        self._ended.add(name)

    async def finish_event_time(self) -> None:
        """Let time stand still: what fires from now on would be in no checkpoint.

        Where every source has come to its natural end, the timers that wait for event time fire before.
        """
        self._ticking.cancel()
        if self._ended != self.ingests.keys():
            return
        await self.drain()
        self._watermarks.end(dict.fromkeys(self._ended, END_OF_TIME))
        for lane in self.lanes:
            self.router.tick(lane, self.now())

    async def _tick(self) -> None:
        """Have each lane that is idle fire the timers that are due."""
        while True:
            await asyncio.sleep(TICK_SECONDS)
            now = self.now()
            for lane in self.lanes:
                is_due = lane.next_due is not None and lane.next_due <= now
                if (is_due or lane.has_news) and not lane.queued:
                    self.router.tick(lane, now)

    async def broken(self) -> None:
        """Return never, but raise what ended the supervision of a lane: a fault of ours, or of a plugin."""
        await asyncio.gather(*self._lane_tasks)

    async def close_scripts(self) -> None:
        """Have the scripts closed and the lanes end: nothing is to be handled any more."""
        for lane in self.lanes:
            lane.stop()
        await asyncio.gather(*self._lane_tasks)

    async def drain(self) -> None:
        """Wait until everything that was delivered is handled."""
        async with self.reporting():
            for lane in self.lanes:
                await lane.drained()

    @asynccontextmanager
    async def reporting(self) -> AsyncIterator[None]:
        """While the block waits, say from time to time which sink it waits for."""
        reporting = asyncio.create_task(self._report_what_holds_up())
        try:
            yield
        finally:
            reporting.cancel()

    async def _report_what_holds_up(self) -> None:
        while True:
            await asyncio.sleep(REPORT_EVERY)
            for sink in self.sinks.values():
                if sink.status.error is not None:
                    self._log.warning("the end waits for a sink", sink=sink.name, error=sink.status.error)

    # --- deployment (trimtab.deploy.deployer.Lanes) ---

    async def check(self, plan: Plan) -> tuple[dict[str, LoadedScript], dict[str, Fault]]:
        """See :class:`trimtab.deploy.deployer.Lanes`."""
        loaded, faults = await self._check(plan)
        return loaded, self._all_masked(faults)

    async def _check(self, plan: Plan) -> tuple[dict[str, LoadedScript], dict[str, Fault]]:
        nursery, reach = self._nursery, self._confinement.with_plan(plan)
        with suppress(LaneDied):
            checked = await checker.check(lambda: self._fork(b"C", reach), plan)
            if nursery is self._nursery and not nursery.ended.done():
                return checked
        # The nursery has ended over it, which says nothing of the scripts.
        return await checker.check(lambda: self._fork(b"C", reach), plan)

    async def prepare(self, plan: Plan) -> None:
        """See :class:`trimtab.deploy.deployer.Lanes`.

        One lane goes first: an ``open()`` that hangs holds up only the events of that lane. Lanes that cannot reach
        what the plan needs are replaced before, because a process that is confined stays so.
        """
        self._confinement.widen(plan)
        for lane in self.lanes:
            await lane.reach(self._confinement.reach)
        first, *others = self.lanes
        try:
            await first.prepare(plan)
            # All answers are waited for, also when one of them is a refusal: a lane prepares one plan at a time.
            for answer in await asyncio.gather(*(lane.prepare(plan) for lane in others), return_exceptions=True):
                if answer is not None:
                    raise answer
        except (ChangeRefused, LaneDied) as error:
            for lane in self.lanes:
                lane.abort()
            raise ChangeRefused(self._all_masked(error.faults)) if isinstance(error, ChangeRefused) else error from None

    async def commit(self, plan: Plan) -> None:
        """See :class:`trimtab.deploy.deployer.Lanes`."""
        self._choose_lanes()
        for cut in self.router.cut(plan):
            await cut.done

    def _choose_lanes(self) -> None:
        """Events without key go to one lane where a script keeps state for them, which is then that of the key null."""
        sources = {
            handler.source
            for script in self.loaded.values()
            if script.stateful
            for handler in script.handlers
            if not handler.timer
        }
        self.router.rekeyed = self._rekeyed()
        unkeyed = (name for name, spec in self._setup.sources.items() if spec.key is None)
        self.router.in_one_lane = frozenset(n for n in unkeyed if None in sources or n in sources)

    def _rekeyed(self) -> dict[str, frozenset[str]]:
        """Return by which keys of their own rules want the events of each source."""
        wanted: dict[str, set[str]] = {}
        for script in self.loaded.values():
            if script.key is None:
                continue
            for name, spec in self._setup.sources.items():
                if script.key != spec.key and script.handlers[0].source in (None, name) and not spec.internal:
                    wanted.setdefault(name, set()).add(script.key)
        return {name: frozenset(keys) for name, keys in wanted.items()}

    def unrestored(self) -> set[str]:
        """See :class:`trimtab.deploy.deployer.Lanes`."""
        return {name for lane in self.lanes for name in lane.unrestored}

    # --- checkpoints (trimtab.runtime.checkpointer.Checkpointer) ---

    def mark(self) -> Mark:
        """Put a barrier into the queues; return what belongs to a checkpoint there. Waits for nothing."""
        positions = {name: ingest.position() for name, ingest in self.ingests.items()}
        watermarks = {name: ingest.watermark.value for name, ingest in self.ingests.items()}
        return Mark(
            barrier=self.router.bar(),
            generation=self.router.generation,
            sources={name: position for name, position in positions.items() if position is not None},
            watermarks={name: value for name, value in watermarks.items() if value is not None},
            # Of rules the generation tells, and they may be thousands.
            versions={name: script.version for name, script in self.loaded.items() if not is_rule(name)},
            covered=[future for ingest in self.ingests.values() for future in ingest.take_covered()],
        )

    async def flush(self) -> None:
        """Have the sinks make sure of what they wrote. Raises :class:`SinkError`."""
        for sink in self.sinks.values():
            await sink.flush()

    def _resume(self, checkpoint: Checkpoint | None) -> None:
        """Have the sources go on from a checkpoint."""
        self._watermarks = Watermarks({} if checkpoint is None else checkpoint.watermarks)
        for name, ingest in self.ingests.items():
            if checkpoint is not None:
                ingest.resume(checkpoint.sources.get(name), checkpoint.watermarks.get(name))

    # --- what lanes need (trimtab.runtime.supervisor.LaneOwner) ---

    async def start_worker(self) -> Worker:
        """See :class:`LaneOwner`."""
        return await self._fork(b"L", self._confinement.reach)

    def plan_of(self, generation: int) -> Plan:
        """See :class:`LaneOwner`."""
        return self._plan_of(generation)

    async def state_of(self, lane: int) -> AsyncIterator[list[StateRow]]:
        """See :class:`LaneOwner`."""
        chunks = self._durable.checkpoints.rows()
        while (chunk := await asyncio.to_thread(next, chunks, None)) is not None:
            if rows := [row for row in chunk if self._belongs(row, lane)]:
                yield rows

    def _belongs(self, row: StateRow, lane: int) -> bool:
        if row.script in (EVERYWHERE, WAITING):
            return row.script == EVERYWHERE
        return self.router.index_of(msgspec.json.decode(row.key)) == lane

    def state_versions(self) -> Mapping[str, str]:
        """See :class:`LaneOwner`."""
        checkpoint = self._durable.checkpoint
        versions = {} if checkpoint is None else checkpoint.versions
        return {name: version for name, version in versions.items() if name not in self._rolled_back}

    def earlier_rules(self) -> Mapping[str, Sequence[bytes | None]]:
        """See :class:`LaneOwner`."""
        return self._earlier

    def watermarks(self, place: int | None) -> Mapping[str, int]:
        """See :class:`LaneOwner`."""
        return self._watermarks.before(place)

    def longest_timeout(self) -> float:
        """See :class:`LaneOwner`."""
        return max((h.timeout for script in self.loaded.values() for h in script.handlers), default=1.0)

    async def finished(self, work: Work, result: BatchResult) -> None:
        """See :class:`LaneOwner`."""
        for sink, lines in result.emitted.items():
            await self.sinks[sink].write(lines)
        for name, rule in result.rules.items():
            self.rules.setdefault(name, RuleStats()).add(rule)
        for name, late in result.late.items():
            self.ingests[name].late += late
        for name, count in result.scripts.items():
            self.stats.setdefault(name, ScriptStats()).add(count)
        self.calls.add(result.calls)
        if result.failed:
            await self._keep([_letter(work, failed) for failed in result.failed])
        if work.outcome is None and result.max_timestamp is not None:
            watermark = self.ingests[work.batch.source].watermark
            watermark.observe(result.max_timestamp)
            own = result.max_timestamp - watermark.lateness
            self._watermarks.observe(work.batch.source, work.end, own)
            under_way = [place for lane in self.lanes if (place := lane.place) is not None]
            self._watermarks.settle(min(under_way, default=self.router.place))
        work.settle(result.failed[0].fault if result.failed else None)

    async def abandoned(self, work: Work, script: str | None, fault: Fault, timer: DueTimer | None) -> None:
        """See :class:`LaneOwner`."""
        version = None if script is None else self._version_of(script, work)
        if script is not None:
            self.stats.setdefault(script, ScriptStats()).failed += 1
        failed = _lost(work.batch, script, version, fault) if timer is None else _lost_timer(timer, version, fault)
        await self._keep([_letter(work, failed)])
        work.settle(fault)

    def room_made(self) -> None:
        """See :class:`LaneOwner`."""
        self.router.room_made()

    def logged(self, entries: list[LogEntry]) -> None:
        """See :class:`LaneOwner`."""
        for entry in entries:
            write = getattr(self._log, {"warn": "warning"}.get(entry.level, entry.level))
            fields = {f"{name}_" if name in _NOT_FIELDS else name: value for name, value in entry.fields.items()}
            write(entry.message, script=entry.script, version=entry.version[:12], **fields)

    def closed(self, script: str, version: str, fault: Fault | None) -> None:
        """See :class:`LaneOwner`."""
        if fault is not None:
            self._log.error("close() failed", script=script, version=version[:12], error=str(fault))

    def lane_event(self, lane: Lane, event: str, detail: str) -> None:
        """See :class:`LaneOwner`."""
        self._log.warning(f"lane {event}", lane=lane.index, detail=detail)

    async def _fork(self, role: bytes, reach: Reach | None) -> Worker:
        """Have the nursery fork a worker, or another nursery where it has ended. Raises :class:`LaneDied`."""
        async with self._forking:
            if self._nursery.ended.done():
                self._log.error("the nursery process ended; starting another one")
                self._nursery = await self._stack.enter_async_context(NurseryProcess(self._setup))
            return await self._nursery.start(role, reach)

    # --- dead letters ---

    def unrestored_because(self, name: str) -> Fault | None:
        """Why an artifact that runs could not be restored in some lane that was started anew, or None if it was."""
        return next((lane.unrestored[name] for lane in self.lanes if name in lane.unrestored), None)

    def breaker(self, name: str) -> str:
        """The state of the circuit breaker of a script or resource: of the lane where it is worst."""
        states = {lane.breakers.get(name, "closed") for lane in self.lanes}
        return next(state for state in ("open", "half-open", "closed") if state in states)

    def runs(self, script: str) -> bool:
        """Whether a script of this name runs."""
        return script in self.loaded

    async def replay(self, batch: Batch, key: object, version: tuple[str, bytes] | None) -> Fault | None:
        """Handle one event again, by a version (name and source) of a script or by what runs. Returns its fault."""
        fault = await self.router.resubmit(batch, key, version)
        return None if fault is None else self._masked(fault)

    def _masked(self, fault: Fault) -> Fault:
        """Scripts know the secrets in the settings, and may say them in errors; nobody else is to see them."""
        return replace(fault, message=self._mask(fault.message))

    def _all_masked(self, faults: Mapping[str, Fault]) -> dict[str, Fault]:
        return {name: self._masked(fault) for name, fault in faults.items()}

    def _version_of(self, script: str, work: Work) -> str | None:
        """The version of a script that a batch was for: by now another one may run."""
        if work.replay is not None:
            return Script.of(*work.replay).version
        source = self._plan_of(work.batch.generation).upserts.get(script)
        return None if source is None else Script.of(script, source).version

    async def _keep(self, letters: list[DeadLetter]) -> None:
        """Keep dead letters, however long it takes: what they hold is nowhere else."""
        letters = [replace(letter, fault=self._masked(letter.fault)) for letter in letters]
        pause = 0.1
        while True:
            try:
                await asyncio.to_thread(self.dead_letters.add_many, letters)
            except StateError as error:
                self._log.error("dead letters cannot be kept; trying again", error=str(error), count=len(letters))
                await asyncio.sleep(pause)
                pause = min(pause * 2, 10.0)
            else:
                return

    async def _invalid(self, source: str, record: bytes, partition: str, position: int, reason: str) -> None:
        fault = Fault("CodecError", reason)
        await self._keep(
            [
                DeadLetter(
                    kind="codec",
                    payload=record,
                    source=source,
                    partition=partition,
                    position=position,
                    event_id=event_id(source, partition, position),
                    generation=self.router.generation,
                    fault=fault,
                    at=_now(),
                )
            ]
        )

    async def _undeliverable(self, sink: str, lines: Lines, error: SinkError) -> None:
        fault = Fault("SinkError", str(error))
        generation = self.router.generation
        await self._keep(
            [
                DeadLetter(
                    kind="sink", payload=lines.data, source="", generation=generation, fault=fault, at=_now(), sink=sink
                )
            ]
        )


def source_specs(config: Config) -> dict[str, SourceSpec]:
    """Return what lanes must know of the sources of a configuration, by name."""
    return {
        name: SourceSpec(source.key, source.timestamp, internal=source.kind.name == INTERNAL)
        for name, source in config.sources.items()
    }


def _create(source: SourceConfig, ingest: Ingest) -> Source:
    created: Source = source.kind.create(source.options, ingest)
    return created


def _letter(work: Work, failed: FailedEvent) -> DeadLetter:
    is_invalid = failed.script is None and failed.fault.name == "CodecError"
    return DeadLetter(
        kind="codec" if is_invalid else "handler" if failed.kind == "event" else failed.kind,
        payload=failed.payload,
        source=_timer(failed).source if failed.kind == "timer" else work.batch.source,
        partition=work.batch.partition if failed.kind == "event" else "",
        position=failed.position,
        event_id=failed.event_id,
        key=msgspec.json.decode(failed.key),
        script=failed.script,
        version=failed.version,
        generation=work.batch.generation,
        fault=failed.fault,
        at=_now(),
        tries=failed.tries,
    )


def _timer(failed: FailedEvent) -> Timer:
    return msgspec.json.decode(failed.payload, type=DueTimer).timer


def _lost(batch: Batch, script: str | None, version: str | None, fault: Fault) -> FailedEvent:
    """The one event of a batch, which took the lane down twice."""
    (position,) = batch.positions_of([batch.data])
    event = batch.event_id(position)
    return FailedEvent(batch.data, position, event, NO_KEY, script, version, fault, _kind_of(batch), tries=2)


def _kind_of(batch: Batch) -> EventKind:
    return "timer" if batch.timers else "match" if batch.matches else "event"


def _lost_timer(due: DueTimer, version: str | None, fault: Fault) -> FailedEvent:
    payload, key = msgspec.json.encode(due), due.key.encode()
    return FailedEvent(payload, 0, due.id, key, due.script, version, fault, "timer", tries=2)


def processing_clock() -> Callable[[], int]:
    """Return a clock in ms that never goes back: that of the system, but where somebody sets it back."""
    ahead = time.time_ns() - time.monotonic_ns()

    def now() -> int:
        nonlocal ahead
        ahead = max(ahead, time.time_ns() - time.monotonic_ns())
        return (time.monotonic_ns() + ahead) // 1_000_000

    return now


def _now() -> int:
    return time.time_ns() // 1_000_000
