"""The scratch process: loads candidates where they can do no harm, answers, and ends."""

from __future__ import annotations

import socket

from trimtab.plugin_manager import Plugins
from trimtab.runtime import wire
from trimtab.runtime.worker import Channel, make_engine, make_host
from trimtab.sandbox.memory import limit_memory


def run(sock: socket.socket, heartbeat: int, setup: wire.Setup, plugins: Plugins) -> None:
    """Check one plan. ``open()`` is not run; what the top level logs is dropped: the lanes run it again."""
    channel = Channel(sock)
    engine = make_engine(setup, plugins, make_host(setup, plugins, heartbeat, lambda _entry: None))
    limit_memory(setup.memory)
    message = channel.receive()
    if isinstance(message, wire.Check):
        channel.send(wire.Checked(*engine.check(message.plan)))
