"""Waits until files have changed and nobody is writing any more."""

from __future__ import annotations

import threading
import time
from collections.abc import Collection
from contextlib import closing, suppress
from pathlib import Path

from trimtab.plugins.folder.events import Events
from trimtab.plugins.folder.index import Index
from trimtab.plugins.folder.look import View
from trimtab.plugins.folder.reading import is_written

QUIET_ONE = 0.02
"""Seconds without a change after which one saved file has settled."""
QUIET_MANY = 0.06
"""The same for several files, or one that vanished: some editors delete a file before they write it."""
PATIENCE = 2.0
"""Seconds after which what has settled is taken without what has not."""
QUIET_LATE = 0.25
"""Seconds between looks after that."""
CHECKOUT = 10.0
"""Seconds that git may take to write its files."""


def wait_for_change(index: Index, stop: threading.Event) -> None:
    """Return when files differ from the last scan and have settled, or soon after ``stop`` is set. Blocks."""
    while not stop.is_set():
        folders = index.look().folders
        with closing(Events(folders, index.context.suffixes)) as events:
            if _watch(index, folders, events, stop):
                return


def _watch(index: Index, folders: frozenset[str], events: Events, stop: threading.Event) -> bool:
    """Return True after a change that has settled, False when other folders are to be watched."""
    while not stop.is_set():
        view = index.look()
        if index.changed(view):
            if _settle(index, view, stop):
                return True
        elif view.folders != folders:
            return False
        else:
            events.wait(stop)
    return False


def _settle(index: Index, view: View, stop: threading.Event) -> bool:
    """Return True once the change has settled, False if there is none any more."""
    begin = time.monotonic()
    while (changed := index.changed(view)) and not stop.is_set():
        late = time.monotonic() - begin > PATIENCE
        stop.wait(QUIET_LATE if late else _quiet(view, changed))
        before, view = view, index.look()
        still = _moving(before, view, changed | index.changed(view))
        if late or not still:
            still |= {name for name in index.changed(view) if name in view.files and is_written(view.files[name])}
        settled = index.changed(view) - still
        if settled and (late or not still) and not _checkout_runs(index.context.scripts):
            return True
    return False


def _quiet(view: View, changed: Collection[str]) -> float:
    return QUIET_ONE if len(changed) == 1 and view.files.keys() >= set(changed) else QUIET_MANY


def _moving(before: View, after: View, names: Collection[str]) -> set[str]:
    return {name for name in names if before.files.get(name) != after.files.get(name)}


def _checkout_runs(folders: Collection[Path]) -> bool:
    """Whether git is writing files: it holds ``index.lock`` meanwhile. An old one was left by a git that died."""
    for above in {above for folder in folders for above in (folder, *folder.parents)}:
        with suppress(OSError):
            age = time.time() - (_git_folder(above / ".git") / "index.lock").stat().st_mtime
            if age < CHECKOUT:
                return True
    return False


def _git_folder(path: Path) -> Path:
    # In a work tree made by `git worktree`, `.git` is a file that says where the folder is.
    if not path.is_file():
        return path
    return path.parent / path.read_text("utf-8", "replace").removeprefix("gitdir:").strip()
