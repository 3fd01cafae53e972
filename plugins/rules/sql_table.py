"""The rows of a SQL table, as a place where rules are."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from trimtab.api import CallError, OutsideError, Snapshot
from trimtab.plugins.center.notices import Ear, Subscription
from trimtab.plugins.center.options import check_channel
from trimtab.plugins.manifest.polled import Place
from trimtab.plugins.rules.catalogue import Catalogue
from trimtab.plugins.rules.documents import entry
from trimtab.plugins.rules.open_table import OpenTable
from trimtab.plugins.rules.options import SqlRulesOptions
from trimtab.plugins.sql.options import SqlOptions


class RuleTable(Place):
    """The rules in the rows of a table or query. Rows are read when a probe says so, and now and then all the same."""

    alone = True

    def __init__(self, options: SqlRulesOptions, place: str, folder: Path, database: Callable[[], SqlOptions]) -> None:
        """``database`` gives the database as it runs at that moment; raises :class:`OutsideError`.

        Raises :class:`OutsideError` for a channel of another database than PostgreSQL.
        """
        self._options = options
        self._place = place
        self._folder = folder
        self._running = database
        self._worker = ThreadPoolExecutor(1, place)
        """Looks come one after another: one that was given up is still under way when the next one begins."""
        self._ear = Ear(self._subscribe) if options.channel is not None else None
        self._check_channel()
        # What follows belongs to the worker.
        self._catalogue: Catalogue[dict[str, Any]] = Catalogue(place, entry)
        self._table: OpenTable | None = None

    async def read(self) -> Snapshot:
        """Return all rules. Raises :class:`OutsideError`."""
        database = self._database()
        if self._ear is not None:
            await self._ear.listen()
        try:
            return await asyncio.get_running_loop().run_in_executor(self._worker, self._look, database)
        except asyncio.CancelledError:
            self._worker.submit(self._close)
            raise

    async def pause(self, seconds: float) -> None:
        """Wait for a notification on the channel."""
        try:
            if self._ear is None or not await self._ear.heard(seconds):
                await super().pause(seconds)
        except asyncio.CancelledError:
            self._worker.submit(self._close)
            raise

    def _look(self, database: SqlOptions) -> Snapshot:
        """Blocks, for some timeouts at the most."""
        kept = self._table is not None
        try:
            try:
                return self._look_at(database)
            except CallError as error:
                self._close()
                if not kept or error.name != "ConnectionError":
                    raise
                return self._look_at(database)  # the server may have closed what we had kept, and be well
        except CallError as error:
            self._close()
            raise OutsideError(error.message, retryable=True) from None
        except BaseException:
            self._close()
            raise

    def _look_at(self, database: SqlOptions) -> Snapshot:
        if self._table is not None and self._table.is_another(database):
            self._close()
        if self._table is None:
            self._table = OpenTable(self._options, database, self._place, self._folder)
        if self._table.has_changed():
            self._catalogue.take(((str(row["id"]), str(row["version"])), row) for row in self._table.rows())
        return self._catalogue.snapshot

    def _close(self) -> None:
        table, self._table = self._table, None
        if table is not None:
            table.close()

    def _database(self) -> SqlOptions:
        try:
            return self._running()
        except OutsideError as error:
            raise OutsideError(f"{self._place}: {error}", retryable=error.retryable) from None

    def _check_channel(self) -> None:
        database = self._database()
        try:
            if self._options.channel is not None:
                check_channel(database, self._options.channel)
        except ValueError as error:
            raise OutsideError(f"{self._place}: {error}", retryable=False) from None

    async def _subscribe(self) -> Subscription:
        from trimtab.plugins.center.postgres_channel import PostgresChannel  # with the driver, which others do not need

        return await PostgresChannel.subscribe(self._database(), self._options.channel or "", self._place)
