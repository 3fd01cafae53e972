"""The host's side of the nursery: starting workers and hearing of their end."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from types import TracebackType

import msgspec

from trimtab.engine.reach import Reach
from trimtab.errors import LaneDied
from trimtab.runtime import wire
from trimtab.runtime.nursery import Born, Ended
from trimtab.runtime.wire import HEADER, FromLane, Setup

_decode_news: msgspec.json.Decoder[Born | Ended] = msgspec.json.Decoder(Born | Ended)
_FRAMES_BUFFERED = 1 << 20
_PASSED_ON = frozenset(
    (
        *("PATH", "HOME", "USER", "LOGNAME", "SHELL", "TMPDIR", "LANG", "LANGUAGE", "TZ", "TZDIR"),
        *("VIRTUAL_ENV", "LD_LIBRARY_PATH", "JAVA_HOME", "SSL_CERT_FILE", "SSL_CERT_DIR"),
    )
)
"""Variables of the environment that scripts may see, beside those of Python and of the locale. The others may hold
secrets, or send drivers elsewhere than the configuration says (``PGHOST``, ``HTTPS_PROXY``)."""
_Birth = tuple[int, asyncio.Future[int]]
"""The process's id, and its end."""


class _Reader(asyncio.StreamReader):
    """A reader that gives everything a process has said, also when the connection to it broke.

    It breaks whenever a process ends with messages unread, and asyncio would then throw away what came before.
    """

    def __init__(self, sock: socket.socket) -> None:
        super().__init__(limit=_FRAMES_BUFFERED)
        self._socket = sock

    def set_exception(self, exc: BaseException) -> None:  # noqa: ARG002 - the end is an end
        """Take what is still in the socket, and end."""
        with suppress(OSError):
            while data := self._socket.recv(_FRAMES_BUFFERED):
                self.feed_data(data)
        self.feed_eof()


async def _streams(sock: socket.socket) -> tuple[_Reader, asyncio.StreamWriter]:
    """As ``asyncio.open_unix_connection``, with our reader."""
    sock.setblocking(False)
    reader, loop = _Reader(sock), asyncio.get_running_loop()
    transport, protocol = await loop.create_unix_connection(lambda: asyncio.StreamReaderProtocol(reader), sock=sock)
    return reader, asyncio.StreamWriter(transport, protocol, reader, loop)


class Worker:
    """One forked process, with its socket."""

    def __init__(
        self,
        pid: int,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        heartbeat: int,
        ended: asyncio.Future[int],
        reach: Reach | None,
    ) -> None:
        self.pid = pid
        self.reach = reach
        """What it is confined to; None: it is not."""
        self.ended = ended
        """Exit code, or minus the signal."""
        self.last_sign = asyncio.get_running_loop().time()
        """When it last showed life (monotonic seconds of the loop)."""
        self._reader, self._writer, self._heartbeat = reader, writer, heartbeat
        asyncio.get_running_loop().add_reader(heartbeat, self._on_heartbeat)
        ended.add_done_callback(self._on_end)

    def send(self, message: wire.ToLane) -> None:
        """Send a message; never blocks. What a dead worker does not take is lost: its end is told elsewhere."""
        self._writer.write(wire.encode(message))

    async def receive(self) -> FromLane | None:
        """Wait for the next message. None: the worker is gone, or does not make sense any more and was killed."""
        try:
            header = await self._reader.readexactly(HEADER.size)
            body = await self._reader.readexactly(HEADER.unpack(header)[0])
            message = wire.decode_from_lane(body)
        except asyncio.IncompleteReadError:
            return None
        except msgspec.MsgspecError:
            self.kill()
            return None
        self.last_sign = asyncio.get_running_loop().time()
        return message

    def kill(self) -> None:
        """End the process at once, if it still runs."""
        if not self.ended.done():
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)

    async def close(self) -> None:
        """Let go of the process's socket and pipe."""
        asyncio.get_running_loop().remove_reader(self._heartbeat)
        os.close(self._heartbeat)
        self._writer.transport.abort()  # nobody is there to take what is left
        with suppress(ConnectionError):
            await self._writer.wait_closed()

    def _on_end(self, _ended: asyncio.Future[int]) -> None:
        """Let :meth:`receive` come to the end, also where something that a script started holds the socket open."""
        with suppress(OSError):
            self._writer.get_extra_info("socket").shutdown(socket.SHUT_RD)

    def _on_heartbeat(self) -> None:
        with suppress(BlockingIOError):
            if not os.read(self._heartbeat, 4096):
                asyncio.get_running_loop().remove_reader(self._heartbeat)
        self.last_sign = asyncio.get_running_loop().time()


class NurseryProcess:
    """The nursery, as an asynchronous context manager: leaving it kills every worker."""

    def __init__(self, setup: Setup) -> None:
        self._setup = setup
        self._births: deque[asyncio.Future[_Birth]] = deque()
        self._ends: dict[int, asyncio.Future[int]] = {}
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done when the nursery itself has ended, which nobody asked it to."""

    async def __aenter__(self) -> NurseryProcess:
        ours, theirs = socket.socketpair()
        with theirs:
            # -P: what lies in the folder where the host was started is no module of ours.
            command = [sys.executable, "-P", "-m", "trimtab.runtime.nursery", str(theirs.fileno())]
            self._process = await asyncio.create_subprocess_exec(
                *command,
                msgspec.json.encode(self._setup).decode(),
                pass_fds=[theirs.fileno()],
                env=environment(os.environ),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=sys.stderr.fileno(),  # what a script prints must not end up among a sink's values
            )
        self._control = ours
        self._reader, self._writer = await _streams(ours)
        self._listener = asyncio.create_task(self._listen())
        return self

    async def __aexit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._writer.close()
        try:
            await asyncio.wait_for(self._process.wait(), 5)
        except TimeoutError:
            self._process.kill()
            await self._process.wait()
        await self._listener

    @property
    def pid(self) -> int:
        """The nursery's own process."""
        return self._process.pid

    async def start(self, role: bytes, reach: Reach | None = None) -> Worker:
        """Fork a worker that is confined to what it may ``reach`` and what every worker needs; None: not at all.

        Raises :class:`LaneDied` when the nursery is gone.
        """
        if self.ended.done():
            raise LaneDied("the nursery process is gone: no lane can be started")
        ours, theirs = socket.socketpair()
        heard, beat = os.pipe()
        os.set_blocking(heard, False)
        try:
            with theirs:
                pid, ended = await self._fork(role, [theirs.fileno(), beat])
        except BaseException:
            ours.close()
            os.close(heard)
            raise
        finally:
            os.close(beat)
        with suppress(ConnectionError):  # it has ended already, and whoever listens will hear it
            ours.sendall(wire.encode(reach))
        reader, writer = await _streams(ours)
        return Worker(pid, reader, writer, heard, ended, reach)

    async def _fork(self, role: bytes, descriptors: list[int]) -> _Birth:
        birth: asyncio.Future[_Birth] = asyncio.get_running_loop().create_future()
        try:
            # One byte with its descriptors fits the socket's buffer, so this does not block.
            socket.send_fds(self._control, [role], descriptors)
        except ConnectionError as error:
            raise LaneDied("the nursery process has just ended") from error
        self._births.append(birth)
        return await birth

    async def _listen(self) -> None:
        while line := await self._reader.readline():
            news = _decode_news.decode(line)
            if isinstance(news, Born):
                ended = self._ends[news.pid] = asyncio.get_running_loop().create_future()
                birth = self._births.popleft()
                if not birth.done():
                    birth.set_result((news.pid, ended))
            else:
                self._ends.pop(news.pid).set_result(news.status)
        for birth in self._births:
            if not birth.done():
                birth.set_exception(LaneDied("the nursery process is gone"))
        for pid, ended in self._ends.items():
            if not self._writer.is_closing():  # it was killed, so it could not end its workers itself
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            ended.set_result(-signal.SIGKILL)
        if not self.ended.done():
            self.ended.set_result(None)


def environment(variables: Mapping[str, str]) -> dict[str, str]:
    """Return what scripts may see of an environment."""
    return {
        name: value for name, value in variables.items() if name in _PASSED_ON or name.startswith(("PYTHON", "LC_"))
    }
