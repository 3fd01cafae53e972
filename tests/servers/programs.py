"""Server programs for tests: found, started on free ports of loopback, and stopped."""

from __future__ import annotations

import os
import random
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

import pytest

START_SECONDS = 30.0
PORTS = (20_000, 32_000)
"""Below those that Linux takes for outgoing connections."""


def program(name: str, package: str, *, also_in: Sequence[str] = ()) -> str:
    """Return the path of a server program, which ``tests.servers.install`` has put there; else skip the test.

    ``package``: the Debian package that has it. ``also_in``: patterns of folders outside of PATH where that puts it.
    In CI nothing is skipped: it fails.
    """
    found = find(name, also_in)
    if found is None:
        missing(name, package)
    return found


def missing(what: str, package: str) -> NoReturn:
    """Skip the test for lack of something, or let it fail in CI."""
    reason = f"{what} is not installed; install it with: apt-get install -y {package}"
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


def find(name: str, also_in: Sequence[str] = ()) -> str | None:
    """Return the path of a program; None where there is none."""
    folders = [
        str(folder) for pattern in also_in for folder in sorted(Path("/").glob(pattern.lstrip("/")), reverse=True)
    ]
    return shutil.which(name, path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", *folders]))


def free_port() -> int:
    """Return a port of loopback that nothing listens on, and that the system gives to no connection."""
    while True:
        port = random.randrange(*PORTS)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


class Server:
    """A server process of the tests' own. Start it as often as needed; :meth:`stop` it in the end."""

    def __init__(self, command: Sequence[str], log: Path, is_ready: Callable[[], bool]) -> None:
        self._command = list(command)
        self._log = log
        self._is_ready = is_ready
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the process and wait until it answers."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        until(self._ready_or_dead, f"{self._command[0]} to answer; its log: {self._log}")
        if self._process.poll() is not None:
            raise RuntimeError(f"{self._command} ended: {self._log.read_text(errors='replace')[-2000:]}")

    def _ready_or_dead(self) -> bool:
        return (self._process is not None and self._process.poll() is not None) or self._is_ready()

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        """End the process, with what it has started, and wait for it."""
        process, self._process = self._process, None
        if process is None or process.poll() is not None:
            return
        process.send_signal(how)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def kill(self) -> None:
        """End the process as a crash would."""
        self.signal(signal.SIGKILL)
        if self._process is not None:
            self._process.wait()
            self._process = None

    def pause(self) -> None:
        """Have it accept connections and answer nothing, until :meth:`resume`."""
        self.signal(signal.SIGSTOP)
        if self._process is not None and self._process.poll() is None:
            os.waitid(os.P_PID, self._process.pid, os.WSTOPPED)  # one with threads may answer once more until then

    def resume(self) -> None:
        """Let it go on."""
        self.signal(signal.SIGCONT)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to it and what it has started."""
        if self._process is not None and self._process.poll() is None:
            os.killpg(self._process.pid, number)


def until(fact: Callable[[], bool], what: str, seconds: float = START_SECONDS) -> None:
    """Wait until a fact holds, which is asked for again and again. Raises ``TimeoutError``."""
    ends = time.monotonic() + seconds
    while not fact():
        if time.monotonic() > ends:
            raise TimeoutError(f"waited {seconds:g} s for {what}")
        time.sleep(0.02)
