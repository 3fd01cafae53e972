"""The discoverer of the scripts folders."""

from __future__ import annotations

import asyncio
import threading

from trimtab.api import Discoverer, DiscovererContext, Snapshot
from trimtab.plugins.folder.index import Index
from trimtab.plugins.folder.restore import restore
from trimtab.plugins.folder.settle import wait_for_change


class FolderDiscoverer(Discoverer):
    """Finds scripts and libraries in the scripts folders, by path name. Only content counts, never a time stamp.

    The work is done in threads, so the event loop goes on. One scan at a time; waits may be cancelled.
    """

    name = "folder"

    def __init__(self, context: DiscovererContext) -> None:
        self._context = context
        self._index = Index(context)

    async def scan(self) -> Snapshot:
        """Return all files. What did not change since the last scan is the very same ``bytes`` object.

        A file that is being written is what it was at the last scan. Raises :class:`OutsideError` while a folder
        is not there or cannot be read, or holds too many files.
        """
        return await asyncio.to_thread(self._index.scan)

    async def wait(self) -> None:
        """Return when a scan would answer something else than the last one, and the files have settled."""
        stop = threading.Event()
        try:
            await asyncio.to_thread(wait_for_change, self._index, stop)
        finally:
            stop.set()

    async def restore(self, name: str, content: bytes | None) -> bool:
        """Replace or delete the file in one step; False where that may not or must not be done."""
        return await asyncio.to_thread(restore, self._context.scripts, name, content)
