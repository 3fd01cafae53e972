"""The nursery: a small process of one thread that has the runtime imported and forks lanes and scratch processes.

Forking from it takes a few milliseconds and shares its memory, where starting Python anew takes a hundred times as
long. The host cannot fork itself: it has threads.

The host speaks to it over a Unix socket: a role and two descriptors in (the worker's socket and its heartbeat pipe),
lines of JSON out. When the host is gone, the socket ends, and every worker is killed. The first frame that a worker
gets says what it may reach: it is confined to that before anything of a script's runs.
"""

from __future__ import annotations

import gc
import importlib
import os
import select
import signal
import socket
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from typing import NoReturn

import msgspec

from trimtab.engine.reach import Reach
from trimtab.expressions import compile_expression
from trimtab.plugin_manager import Plugins
from trimtab.runtime import lane, scratch
from trimtab.runtime.wire import HEADER, Setup
from trimtab.sandbox import confinement
from trimtab.sandbox.confinement_places import own_places

COLLECT = (20_000, 20, 20)
"""Thresholds of the workers' garbage collector: a batch makes thousands of objects that die with it."""

Role = Callable[[socket.socket, int, Setup, Plugins], None]
ROLES: dict[bytes, Role] = {b"L": lane.run, b"C": scratch.run}


class Born(msgspec.Struct, tag=True):
    """A worker was forked. Answers come in the order of the requests."""

    pid: int


class Ended(msgspec.Struct, tag=True):
    """A worker ended. ``status``: its exit code, or minus the signal that killed it."""

    pid: int
    status: int


def main() -> None:
    """Run the nursery on the socket whose descriptor is the first argument, until the host is gone."""
    control = socket.socket(fileno=int(sys.argv[1]))
    setup = msgspec.json.decode(sys.argv[2], type=Setup)
    for number in (signal.SIGINT, signal.SIGTERM):  # they may reach the whole process group; the host decides
        signal.signal(number, signal.SIG_IGN)
    plugins = Plugins.load()
    plugins.script_engines()  # what they import, and the expression parser below, the workers then share
    compile_expression("true")
    for module in setup.modules:
        with suppress(ImportError):  # making the resource says what is missing
            importlib.import_module(module)
    confinement.preload()
    with tempfile.TemporaryDirectory(prefix="trimtab-", ignore_cleanup_errors=True) as temporary:
        os.environ["TMPDIR"] = tempfile.tempdir = temporary
        own = own_places() | Reach(writes=frozenset({temporary}))
        gc.collect()
        gc.freeze()  # pages with frozen objects stay shared with the workers
        gc.set_threshold(*COLLECT)
        _Nursery(control, setup, plugins, own).run()


class _Nursery:
    def __init__(self, control: socket.socket, setup: Setup, plugins: Plugins, own: Reach) -> None:
        self._control, self._setup, self._plugins, self._own = control, setup, plugins, own
        self._workers: set[int] = set()

    def run(self) -> None:
        woken, wake = os.pipe()
        os.set_blocking(wake, False)
        os.set_blocking(woken, False)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        try:
            while True:
                ready, _, _ = select.select([self._control.fileno(), woken], [], [])
                if woken in ready:
                    os.read(woken, 4096)
                    self._reap()
                if self._control.fileno() in ready and not self._fork_next((woken, wake)):
                    return
        except (BrokenPipeError, ConnectionResetError):
            return
        finally:
            for pid in self._workers:
                os.kill(pid, signal.SIGKILL)

    def _fork_next(self, wakeup: tuple[int, int]) -> bool:
        roles, descriptors, _, _ = socket.recv_fds(self._control, 1, 2)
        if not roles:
            return False
        pid = os.fork()
        if pid == 0:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            for descriptor in wakeup:
                os.close(descriptor)
            self._control.close()
            _work(ROLES[roles], descriptors, self._setup, self._plugins, self._own)
        self._workers.add(pid)
        for descriptor in descriptors:
            os.close(descriptor)
        self._tell(Born(pid))
        return True

    def _reap(self) -> None:
        while self._workers:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            self._workers.discard(pid)
            self._tell(Ended(pid, os.waitstatus_to_exitcode(status)))

    def _tell(self, message: Born | Ended) -> None:
        self._control.sendall(msgspec.json.encode(message) + b"\n")


def _work(role: Role, descriptors: list[int], setup: Setup, plugins: Plugins, own: Reach) -> NoReturn:
    """Play a role in a forked process; never return into the nursery's loop."""
    code = 1
    try:
        worker, heartbeat = descriptors
        os.register_at_fork(after_in_child=lambda: _silence(descriptors))
        sock = socket.socket(fileno=worker)
        role(sock, heartbeat, _confined(setup, _told(sock), own), plugins)
        code = 0
    except (BrokenPipeError, ConnectionResetError):
        pass  # the host is gone: nobody is left to tell
    except BaseException:  # noqa: BLE001 - the last stop of a process
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _told(sock: socket.socket) -> Reach | None:
    """What the host lets this worker reach; None: it is not confined."""
    header = sock.recv(HEADER.size, socket.MSG_WAITALL)
    if not header:
        raise BrokenPipeError
    (length,) = HEADER.unpack(header)
    body = sock.recv(length, socket.MSG_WAITALL)
    return msgspec.msgpack.decode(body, type=Reach | None)


def _confined(setup: Setup, reach: Reach | None, own: Reach) -> Setup:
    """Confine this process. Returns what its scripts are held to then: where the system lets nobody out, Python too."""
    confinement.harden()
    if reach is None:
        return setup
    confinement.confine(reach | own)
    return setup if reach.anywhere else msgspec.structs.replace(setup, confined=True)


def _silence(descriptors: list[int]) -> None:
    """Keep what a script forks from speaking for its lane."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in descriptors:
        os.dup2(nowhere, descriptor, inheritable=False)
    os.close(nowhere)


if __name__ == "__main__":
    main()
