"""Reads a file, if it is whole."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import time

from trimtab.api import Fault
from trimtab.plugins.folder.look import Sighting, Signature

MAX_SIZE = 1024 * 1024
"""Bytes of one file."""
TICK = 0.02
"""Seconds after which a further write surely gets another time stamp (the kernel's clock ticks every 1 to 10 ms)."""
UNSURE = 0.2
"""Seconds without a change that make a file whole where the system does not tell whether it is open for writing."""


def read(name: str, sighting: Sighting) -> bytes | Fault | None:
    """Return the content, or why it is refused; None if it is not whole, or not what was sighted any more."""
    state = sighting.state
    if isinstance(state, Fault):
        return state
    try:
        with os.fdopen(_open(sighting.path), "rb", buffering=0) as file:
            _let_tick(state)
            if _is_written(file.fileno(), state):
                return None
            content = file.read(MAX_SIZE + 1)
            same = Signature.of(os.fstat(file.fileno())) == state
    except OSError as error:
        return _unreadable(name, error)
    return _checked(name, content, state.size) if same else None


def is_written(sighting: Sighting) -> bool:
    """Whether somebody has the file open for writing, or may have."""
    if isinstance(sighting.state, Fault):
        return False
    try:
        descriptor = _open(sighting.path)
    except OSError:
        return False
    try:
        return _is_written(descriptor, sighting.state)
    finally:
        os.close(descriptor)


def _open(path: str) -> int:
    # The path was a regular file's; were it a link or a pipe by now, that must neither be followed nor block.
    return os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)


def _is_written(descriptor: int, signature: Signature) -> bool:
    """Ask for a read lease, which Linux grants only while nobody has the file open for writing.

    Somebody who opens it for writing in the microsecond before the lease is given back waits for that, and the
    kernel sends this process a signal: SIGURG, which does nothing, instead of the default SIGIO, which kills.
    """
    try:
        fcntl.fcntl(descriptor, fcntl.F_SETSIG, signal.SIGURG)
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    except OSError as error:
        if error.errno == errno.EAGAIN:
            return True
        # Somebody else's file, or a file system without leases.
        return 0 <= _age(signature) < UNSURE
    return False


def _age(signature: Signature) -> float:
    return time.time() - signature.changed / 1e9


def _let_tick(signature: Signature) -> None:
    """Make sure that a write from now on changes the signature: two within one tick may get the same time."""
    age = _age(signature)
    if 0 <= age < TICK:
        time.sleep(TICK - age)


def _checked(name: str, content: bytes, size: int) -> bytes | Fault:
    if len(content) > MAX_SIZE:
        message = f"expected at most {MAX_SIZE} bytes, got {size}; split the file, or keep data out of it"
        return Fault("FileTooLarge", message, file=name)
    if name.endswith(".whl"):  # a Python wheel, the only kind of file here that is no text
        return content
    try:
        content.decode()
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        message = f"expected UTF-8 text, got the byte 0x{content[error.start]:02x}; save the file as UTF-8"
        return Fault("NotUtf8", message, file=name, line=line)
    return content


def _unreadable(name: str, error: OSError) -> Fault | None:
    if error.errno in (errno.ENOENT, errno.ELOOP, errno.ENXIO):  # gone, or something else has come in its place
        return None
    message = f"expected a file that the host may read, got: {error.strerror}; check its owner and permissions"
    return Fault("Unreadable", message, file=name)
