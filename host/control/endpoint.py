"""How a command finds the running host of a state folder: a lock, an address and a token.

``host.lock`` is locked as long as the host lives, so a crash leaves nothing behind that looks like a running host.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

from trimtab.errors import StateError

LOCK, ADDRESS, TOKEN = "host.lock", "host.json", "control.token"

LOCK_PATIENCE = 0.5
"""Seconds that a starting host waits for the lock, because a command that looks at it holds it for a moment."""


class Address(msgspec.Struct, frozen=True):
    """Where the control API of a running host listens."""

    pid: int
    url: str
    started_at: int
    """In ms since the epoch."""


@contextlib.contextmanager
def lock(state: Path) -> Iterator[None]:
    """Hold the state folder (created where it is missing) for this process.

    Raises :class:`StateError` when another host holds it, naming its process, or when the folder cannot be used.
    """
    handle = _open_lock(state)
    try:
        _take(handle, state)
        os.ftruncate(handle, 0)
        os.pwrite(handle, str(os.getpid()).encode(), 0)
        yield
    finally:
        os.close(handle)


def holder(state: Path) -> int | None:
    """Return the process id of the host that holds the state folder, or None when no host runs on it."""
    try:
        handle = os.open(state / LOCK, os.O_RDONLY)
    except OSError:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return _pid(handle)
    else:
        return None
    finally:
        os.close(handle)


def token(state: Path) -> str:
    """Return the bearer token of the control API, which is made once and kept in a file of mode 0600.

    Raises :class:`StateError` when the file cannot be read or written.
    """
    path = state / TOKEN
    try:
        if not path.exists():
            _create_once(path, secrets.token_urlsafe(32))
        text = path.read_text().strip()
    except OSError as error:
        raise StateError(f"the control token cannot be kept in {path}: {error.strerror}") from error
    if not text:
        raise StateError(f"{path}: expected a token, got an empty file; delete it, the next start makes a new one")
    return text


@contextlib.contextmanager
def published(state: Path, url: str) -> Iterator[None]:
    """Tell commands where this host listens, for as long as the block runs."""
    path = state / ADDRESS
    temporary = path.with_suffix(".tmp")
    temporary.write_bytes(msgspec.json.encode(Address(os.getpid(), url, time.time_ns() // 1_000_000)))
    temporary.replace(path)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def find(state: Path) -> Address | None:
    """Return the address of the host that runs on the state folder, or None when none runs.

    Raises :class:`StateError` when a host runs there that does not listen (yet, or any more).
    """
    pid = holder(state)
    if pid is None:
        return None
    try:
        address = msgspec.json.decode((state / ADDRESS).read_bytes(), type=Address)
    except (OSError, msgspec.DecodeError):
        address = None
    if address is None or address.pid != pid:
        raise StateError(f"the host with process id {pid} holds {state} but does not listen now; try again in a moment")
    return address


def _open_lock(state: Path) -> int:
    try:
        state.mkdir(parents=True, exist_ok=True)
        return os.open(state / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise StateError(
            f"the state folder {state} cannot be used: expected a writable folder, got: {error.strerror}; "
            "set host.state to another folder or change its permissions"
        ) from error


def _take(handle: int, state: Path) -> None:
    deadline = time.monotonic() + LOCK_PATIENCE
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            if time.monotonic() > deadline:
                raise StateError(
                    f"the state folder {state} is held by a running host (process id {_pid(handle)}); "
                    "stop it first, or give this one another folder in host.state"
                ) from None
            time.sleep(0.02)
        else:
            return


def _pid(handle: int) -> int:
    digits = os.pread(handle, 20, 0)
    return int(digits) if digits.isdigit() else 0


def _create_once(path: Path, text: str) -> None:
    """Make the file whole and private, or not at all; the first of several writers wins."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(handle, "w") as file:
            file.write(text + "\n")
        with contextlib.suppress(FileExistsError):
            path.hardlink_to(temporary)
    finally:
        temporary.unlink()
