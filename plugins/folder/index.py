"""What the last scan took out of the folders, and what has changed since."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from trimtab.api import DiscovererContext, Fault, OutsideError, Snapshot
from trimtab.plugins.folder.look import Root, Sighting, Signature, View, look
from trimtab.plugins.folder.reading import read

ATTEMPTS = 3
"""How often a scan looks again because files changed under it."""

_STILL_WRITTEN = "expected a whole file, got one that is open for writing; it is taken once it is closed"


@dataclass(frozen=True, slots=True)
class _Taken:
    state: Signature | Fault | None
    """Of the file when it was read; None: it could not be read yet."""
    content: bytes | Fault


class Index:
    """Scans come one at a time; meanwhile another thread may call :meth:`look` and :meth:`changed`."""

    def __init__(self, context: DiscovererContext) -> None:
        self.context = context
        self._taken: Mapping[str, _Taken] = {}
        self._roots: Mapping[Path, Root] = {}
        self._good: frozenset[str] = frozenset()
        """Names that need not be looked at again."""
        self._trouble: str | None = None
        self._scanned = False

    def scan(self) -> Snapshot:
        """Return what is there, and remember it. Raises :class:`OutsideError`; then nothing is forgotten."""
        try:
            view, taken = self._take()
        except OutsideError as error:
            self._trouble = str(error)
            raise
        self._taken, self._roots, self._trouble, self._scanned = taken, view.roots, None, True
        self._good = frozenset(name for name, seen in view.files.items() if isinstance(seen.state, Signature))
        return Snapshot(
            {name: item.content for name, item in taken.items() if isinstance(item.content, bytes)},
            {name: item.content for name, item in taken.items() if isinstance(item.content, Fault)},
        )

    def look(self) -> View:
        """Return what is to be seen now; a view with ``trouble`` where a scan would raise."""
        try:
            return self._look()
        except OutsideError as error:
            return View({}, frozenset(), {}, trouble=str(error))

    def changed(self, view: View) -> set[str]:
        """Return the names in which a scan would differ from the last one. A trouble counts as a name."""
        if view.trouble or self._trouble:
            return {view.trouble or self._trouble or ""} if view.trouble != self._trouble else set()
        taken = self._taken
        found = {name for name, seen in view.files.items() if name not in taken or taken[name].state != seen.state}
        return found | (taken.keys() - view.files.keys())

    def _look(self) -> View:
        view = look(self.context, self._good)
        for folder, root in view.roots.items():
            last = self._roots.get(folder)
            if last is not None and last.files and not root.files and root.device != last.device:
                raise OutsideError(
                    f"{folder}: expected the file system with the scripts, got an empty one in its place; mount it "
                    "again, or restart the host if the folder is meant to be empty",
                    retryable=True,
                )
        return view

    def _take(self) -> tuple[View, Mapping[str, _Taken]]:
        taken, view = self._taken, self._look()
        for _ in range(ATTEMPTS):
            before, taken = taken, self._read(view, taken)
            if all(before.get(name) is item for name, item in taken.items()):
                break
            # Files were seen and read one after another: a second look tells whether they stood so side by side.
            again = self._look()
            if again == view:
                break
            view = again
        return view, taken

    def _read(self, view: View, taken: Mapping[str, _Taken]) -> Mapping[str, _Taken]:
        items = ((name, self._item(name, seen, taken.get(name))) for name, seen in view.files.items())
        return {name: item for name, item in items if item is not None}

    def _item(self, name: str, seen: Sighting, last: _Taken | None) -> _Taken | None:
        if last is not None and last.state == seen.state:
            return last
        content = read(name, seen)
        if content is None:
            # It stays what it was. On the first scan that is not known, and a missing name would count as deleted.
            first = _Taken(None, Fault("StillWritten", _STILL_WRITTEN, file=name))
            return last if last is not None or self._scanned else first
        return _Taken(seen.state, last.content if last is not None and last.content == content else content)
