"""What lanes and scratch processes have in common: frames over a socket, and an engine of their own."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from io import BufferedReader
from pathlib import Path
from typing import Any, cast

from trimtab.engine.breaker import Breakers
from trimtab.engine.engine import Engine
from trimtab.engine.resources import Resources
from trimtab.engine.script import LogEntry, ScriptHost
from trimtab.engine.state import StateStore
from trimtab.plugin_manager import Plugins
from trimtab.runtime import wire
from trimtab.sandbox.limits import SignalLimits
from trimtab.sandbox.tasks import EventLoopTasks


class Channel:
    """Frames in and out, blocking."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._reader = cast("BufferedReader", sock.makefile("rb", buffering=1 << 18))

    def receive(self) -> wire.ToLane | None:
        """Wait for the next message. None: the host is gone."""
        header = self._reader.read(wire.HEADER.size)
        if len(header) < wire.HEADER.size:
            return None
        (length,) = wire.HEADER.unpack(header)
        body = self._reader.read(length)
        return wire.decode_to_lane(body) if len(body) == length else None

    def fileno(self) -> int:
        """The descriptor to wait for, where :meth:`has_message` says no."""
        return self._socket.fileno()

    def has_message(self) -> bool:
        """Whether (the beginning of) a message is there; never blocks."""
        self._socket.setblocking(False)
        try:
            return bool(self._reader.peek(1))
        finally:
            self._socket.setblocking(True)

    def send(self, message: wire.FromLane) -> None:
        """Send a message; waits while the host does not read."""
        self._socket.sendall(wire.encode(message))


def wall_clock() -> int:
    """Return ms since the epoch."""
    return time.time_ns() // 1_000_000


def make_host(setup: wire.Setup, plugins: Plugins, heartbeat: int, log: Callable[[LogEntry], Any]) -> ScriptHost:
    """Make what scripts work with. ``heartbeat``: descriptor of a pipe that tells the host of life."""
    os.set_blocking(heartbeat, False)

    def beat() -> None:
        with suppress(BlockingIOError):  # a full pipe says it well enough
            os.write(heartbeat, b".")

    breakers = Breakers(setup.breaker, time.monotonic)
    return ScriptHost(
        sources=frozenset(setup.sources),
        sinks=frozenset(setup.sinks),
        limits=SignalLimits(heartbeat=beat),
        log=log,
        bindings=plugins.bindings(),
        roots=tuple(Path(root) for root in setup.roots),
        cache=Path(setup.cache),
        resources=Resources(plugins.resource_kinds(), Path(setup.folder), time.perf_counter_ns, breakers=breakers),
        breakers=breakers,
        timer=time.perf_counter_ns,
        confined=setup.confined,
        state=StateStore(setup.state_value),
        tasks=EventLoopTasks(beat),
    )


def make_engine(setup: wire.Setup, plugins: Plugins, host: ScriptHost) -> Engine:
    """Make the engine of this process."""
    return Engine(plugins.script_engines(), host, setup.sources, wall_clock)
