"""A channel of PostgreSQL, where a notification says that something has changed."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import psycopg
from psycopg import sql

from trimtab.api import OutsideError, parse_duration
from trimtab.plugins.center.notices import Subscription
from trimtab.plugins.sql.options import DatabaseOptions
from trimtab.plugins.sql.urls import read_url


class PostgresChannel(Subscription):
    """One connection that listens. Made with :meth:`subscribe`."""

    def __init__(self, connection: psycopg.AsyncConnection[Any]) -> None:
        self._connection = connection

    @classmethod
    async def subscribe(cls, options: DatabaseOptions, channel: str, place: str) -> Self:
        """Connect and listen. Raises :class:`OutsideError`."""
        url = read_url(options.url, Path(), options.user, options.password)
        _, arguments = url.get_dialect()().create_connect_args(url)
        timeout = parse_duration(options.timeout)
        expected = f"{place}: expected PostgreSQL to let us listen to {channel}"
        try:
            async with asyncio.timeout(timeout):
                return await cls._listening(arguments, channel)
        except TimeoutError:
            raise OutsideError(f"{expected}, got no answer within {timeout:g} s", retryable=True) from None
        except psycopg.Error as error:
            raise OutsideError(f"{expected}, got {_first_line(error)}", retryable=True) from None

    @classmethod
    async def _listening(cls, arguments: Mapping[str, Any], channel: str) -> Self:
        connection = await psycopg.AsyncConnection.connect(**arguments, autocommit=True)
        try:
            await connection.execute(sql.SQL("listen {}").format(sql.Identifier(channel)))
        except BaseException:
            await connection.close()
            raise
        return cls(connection)

    async def heard(self, seconds: float) -> None:
        """See :class:`Subscription`. Several notifications that have come are heard as one."""
        try:
            async for _ in self._connection.notifies(timeout=seconds, stop_after=1):
                pass
        except psycopg.Error as error:
            raise OutsideError(_first_line(error), retryable=True) from None

    async def close(self) -> None:
        """See :class:`Subscription`."""
        await self._connection.close()


def _first_line(error: psycopg.Error) -> str:
    return (error.diag.message_primary or str(error)).partition("\n")[0]
