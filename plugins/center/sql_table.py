"""The rows of a SQL query, as a place where settings are."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

from trimtab.api import CallError, OutsideError
from trimtab.plugins.center.notices import Ear, Subscription
from trimtab.plugins.center.options import SqlTableOptions
from trimtab.plugins.center.values import artifact, from_text, nested
from trimtab.plugins.manifest.polled import Place
from trimtab.plugins.sql.resource import open_database
from trimtab.plugins.sql.values import Row


class SqlTable(Place):
    """The settings in the rows of one query: dotted path and value. Text that is JSON is the value it stands for."""

    def __init__(self, options: SqlTableOptions, place: str, name: str, folder: Path) -> None:
        self._options = options
        self._place = place
        self._name = name
        self._folder = folder
        self._ear = Ear(self._subscribe) if options.channel is not None else None

    async def read(self) -> Mapping[str, bytes]:
        """Return the one artifact. Raises :class:`OutsideError`."""
        if self._ear is not None:
            await self._ear.listen()
        rows = await asyncio.to_thread(self._rows)
        try:
            return {self._name: artifact(nested(map(_setting, rows)))}
        except ValueError as error:
            raise OutsideError(f"{self._place}: {error}", retryable=True) from None

    async def pause(self, seconds: float) -> None:
        """Wait for a notification on the channel."""
        if self._ear is None or not await self._ear.heard(seconds):
            await super().pause(seconds)

    def _rows(self) -> list[Row]:
        """Blocks, for some timeouts at the most. The connection is its own: a look that was given up may still run."""
        try:
            with closing(open_database(self._options, self._place, self._folder)) as database:
                return database.run(lambda session: session.query(self._options.query))
        except CallError as error:
            raise OutsideError(error.message, retryable=True) from None

    async def _subscribe(self) -> Subscription:
        from trimtab.plugins.center.postgres_channel import PostgresChannel  # with the driver, which others do not need

        return await PostgresChannel.subscribe(self._options, self._options.channel or "", self._place)


def _setting(row: Row) -> tuple[str, object]:
    """The path and the value in a row."""
    match list(row.values()):
        case [str(name), str(text)]:
            return name, from_text(text)
        case [str(name), value]:
            return name, value
        case [name, _]:
            raise ValueError(f"expected text in the first column, a setting's path, got {type(name).__name__}")
    columns = ", ".join(row)
    raise ValueError(f"expected a query with two columns, a setting's path and its value, got {columns}")
