"""A lane: a worker process that runs every handler for its share of the keys, on its main thread."""

from __future__ import annotations

import socket
import time

import msgspec

from trimtab.engine.batch import Batch
from trimtab.engine.engine import Engine
from trimtab.engine.result import NO_KEY, BatchResult, FailedEvent
from trimtab.engine.script import LogEntry, Script, ScriptHost
from trimtab.engine.state import DueTimer
from trimtab.errors import ChangeRefused, Fault, ScriptError
from trimtab.plugin_manager import Plugins
from trimtab.runtime import wire
from trimtab.runtime.worker import Channel, make_engine, make_host
from trimtab.sandbox import memory


def run(sock: socket.socket, heartbeat: int, setup: wire.Setup, plugins: Plugins) -> None:
    """Serve one lane until the host says stop or is gone."""
    entries: list[LogEntry] = []
    host = make_host(setup, plugins, heartbeat, entries.append)
    memory.limit_memory(setup.memory)
    _Lane(Channel(sock), make_engine(setup, plugins, host), host, entries).serve()


class _Lane:
    def __init__(self, channel: Channel, engine: Engine, host: ScriptHost, entries: list[LogEntry]) -> None:
        self._channel, self._engine, self._host, self._entries = channel, engine, host, entries
        self._busy: dict[int, int] = {}
        """Nanoseconds that the batches under way have taken so far."""

    def serve(self) -> None:
        while (message := self._next()) is not None:
            if isinstance(message, wire.Stop):
                self._stop()
                return
            self._handle(message)
            self._tidy()
            # Looked at after events only: scripts that hold much from the start must not keep a lane from any event.
            if isinstance(message, Batch) and memory.nearly_full():
                self._channel.send(wire.Recycling("scripts hold nearly all the memory that a lane may use"))
                self._stop()
                return

    def _next(self) -> wire.ToLane | None:
        """Wait for the next message; what is in flight goes on meanwhile. None: the host is gone."""
        while self._engine.flying:
            if self._channel.has_message():
                self._host.tasks.turn()  # messages that keep coming must not keep it waiting
                readable = True
            else:
                readable = self._host.tasks.run(self._has_finished, self._channel.fileno())
            self._send_finished()
            self._tidy()
            if readable:
                break
        return self._channel.receive()

    def _has_finished(self) -> bool:
        return self._engine.has_finished

    def _tidy(self) -> None:
        self._send_logs()
        self._close_retired()

    def _handle(self, message: wire.ToLane) -> None:  # noqa: C901 - one line a message
        match message:
            case Batch():
                self._process(message)
            case wire.Prepare(plan):
                try:
                    self._engine.prepare(plan)
                    self._channel.send(wire.Prepared(plan.generation))
                except ChangeRefused as refusal:
                    self._channel.send(wire.Refused(plan.generation, refusal.faults))
            case wire.Commit(generation):
                if self._engine.waits_for_flights:
                    self._wait_for_flights()
                self._channel.send(wire.Committed(generation, {}, self._engine.commit()))
            case wire.State(rows):
                self._engine.load_state(rows)
            case wire.Hold(batch):
                self._engine.hold(batch)
            case wire.Restore(plan, broken, versions, clocks, earlier):
                faults, changes = self._engine.restore(plan, broken, self._enter, versions, clocks, earlier)
                self._channel.send(wire.Committed(plan.generation, faults, changes))
            case wire.Abort():
                self._engine.abort()
            case wire.Replay(batch, name, source):
                self._replay(batch, Script.of(name, source))

    def _process(self, batch: Batch) -> None:
        started = time.perf_counter_ns()
        self._engine.submit(batch, self._enter if batch.isolated else None)
        self._busy[batch.id] = time.perf_counter_ns() - started
        self._send_finished()
        if batch.id in self._busy:
            self._channel.send(wire.Started(batch.id))

    def _send_finished(self) -> None:
        for batch, result in self._engine.finished():
            self._channel.send(wire.Done(batch.id, result, self._busy.pop(batch.id)))

    def _wait_for_flights(self) -> None:
        self._host.tasks.run(lambda: not self._engine.flying)
        self._send_finished()

    def _replay(self, batch: Batch, script: Script) -> None:
        self._wait_for_flights()
        try:
            result = self._engine.replay(batch, script)
        except ScriptError as error:
            result = _all_failed(batch, script, error.fault)
        self._channel.send(wire.Done(batch.id, result, 0))

    def _enter(self, script: str, timer: DueTimer | None = None) -> None:
        self._channel.send(wire.Entering(script, timer))

    def _send_logs(self) -> None:
        if self._entries:
            self._channel.send(wire.Logged(msgspec.json.encode(self._entries)))
            self._entries.clear()

    def _close_retired(self) -> None:
        """Close old versions; only one while messages wait, so that no event waits for all of them."""
        while (closed := self._engine.close_retired()) is not None:
            self._tell_closed(*closed)
            if self._channel.has_message():
                return

    def _stop(self) -> None:
        self._wait_for_flights()
        for script, fault in self._engine.close():
            self._tell_closed(script, fault)

    def _tell_closed(self, script: Script, fault: Fault | None) -> None:
        self._send_logs()
        self._channel.send(wire.Closed(script.name, script.version, fault))


def _all_failed(batch: Batch, script: Script, fault: Fault) -> BatchResult:
    (position,) = batch.positions_of([batch.data])
    event_id = batch.event_id(position)
    return BatchResult(
        {}, [FailedEvent(batch.data, position, event_id, NO_KEY, script.name, script.version, fault)], {}, None
    )
