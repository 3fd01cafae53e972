"""Tells when something may have happened in some folders."""

from __future__ import annotations

import threading
import time
from collections.abc import Collection
from pathlib import Path

# The documented direct interface of watchfiles. Its generators start to watch only with the first wait for an event,
# and what happens between a look at the folder and that moment would be missed.
from watchfiles._rust_notify import RustNotify, WatchfilesRustInternalError

STEP_MS = 5
POLL = 2.0
"""Seconds after which a change is found where the file system sends no events."""


class Events:
    """Watches folders, not what is below them, from the moment it is made."""

    def __init__(self, folders: Collection[str], suffixes: Collection[str]) -> None:
        """Watch for files with these endings, and for anything that is no file."""
        self._suffixes = tuple(suffixes)
        self._notify = _notify(folders)

    def wait(self, stop: threading.Event) -> None:
        """Return when something may have happened, after :data:`POLL` seconds, or soon after ``stop`` is set."""
        end = time.monotonic() + POLL
        while not stop.is_set() and (left := end - time.monotonic()) > 0:
            if self._notify is None:
                stop.wait(left)
            elif self._happened(self._notify, max(1, int(left * 1000)), stop):
                return

    def close(self) -> None:
        """Stop watching."""
        if self._notify is not None:
            self._notify.close()

    def _happened(self, notify: RustNotify, timeout_ms: int, stop: threading.Event) -> bool:
        try:
            changes = notify.watch(0, STEP_MS, timeout_ms, stop)
        except WatchfilesRustInternalError:
            self._notify = None
            return True
        return not isinstance(changes, str) and any(self._matters(path) for _, path in changes)

    def _matters(self, path: str) -> bool:
        # A log file that grows beside the scripts does not; a folder, a link or what is gone does.
        return path.endswith(self._suffixes) or not Path(path).is_file()


def _notify(folders: Collection[str]) -> RustNotify | None:
    try:
        return RustNotify(list(folders), False, False, 0, False, False) if folders else None
    except (OSError, WatchfilesRustInternalError):  # a folder is gone, or the system's limit of watches is reached
        return None
