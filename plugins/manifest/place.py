"""A list of scripts on an HTTP server, as a place where artifacts are."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping

from trimtab.api import OutsideError
from trimtab.plugins.manifest.fetch import Fetcher, Session
from trimtab.plugins.manifest.listing import Item, items
from trimtab.plugins.manifest.polled import Place


class Manifest(Place):
    """The scripts that a JSON list names: all of them, or an error."""

    def __init__(self, fetcher: Fetcher, suffixes: Collection[str]) -> None:
        self._fetcher = fetcher
        self._suffixes = suffixes

    async def read(self) -> Mapping[str, bytes]:
        """Return the scripts and libraries by name. Raises :class:`OutsideError` if one of them cannot be had."""
        async with self._fetcher.session() as session:
            text = await session.get(self._fetcher.url)
            try:
                found = items(text, self._fetcher.url, self._suffixes)
            except ValueError as error:
                raise OutsideError(f"{self._fetcher.place}: {error}", retryable=True) from None
            return await self._scripts(session, found)

    async def _scripts(self, session: Session, found: list[Item]) -> dict[str, bytes]:
        try:
            async with asyncio.TaskGroup() as group:
                tasks = {item.name: group.create_task(self._script(session, item)) for item in found}
        except ExceptionGroup as failures:
            raise failures.exceptions[0] from None
        return {name: task.result() for name, task in tasks.items()}

    async def _script(self, session: Session, item: Item) -> bytes:
        content = await session.get(item.url, item.sha256)
        try:
            content.decode()
        except UnicodeDecodeError as error:
            reason = f"expected UTF-8 text, got the byte 0x{content[error.start]:02x} at {error.start}"
            raise OutsideError(f"{self._fetcher.place}: {item.name}: {reason}", retryable=True) from None
        return content
