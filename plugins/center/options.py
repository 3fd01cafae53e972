"""The keys of ``[discoverers.NAME]`` with ``type = "settings-redis"`` and ``type = "settings-sql"``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from msgspec import Meta

from trimtab.plugins.manifest.options import Period
from trimtab.plugins.redis.options import Place
from trimtab.plugins.sql.options import DatabaseOptions

Channel = Annotated[str, Meta(min_length=1)]
Interval = Annotated[Period, Meta(description="How often it is looked at, give or take a tenth.")]


class RedisHashOptions(Place, frozen=True, kw_only=True):
    """What the discoverer of settings in a Redis hash must and may be told."""

    key: Annotated[
        str, Meta(min_length=1, description="The hash: a setting's dotted path to its value, as JSON or text.")
    ]
    interval: Interval = "5s"
    channel: Annotated[
        Channel | None,
        Meta(
            description="A message on this channel, whatever it says, has the hash looked at at once.",
            extra={"expected": "text that is not empty", "default": "none"},
        ),
    ] = None
    timeout: Annotated[Period, Meta(description="How long connecting may take, and how long one answer.")] = "2s"


class SqlTableOptions(DatabaseOptions, frozen=True, kw_only=True):
    """What the discoverer of settings in a SQL table must and may be told."""

    query: Annotated[
        str,
        Meta(
            min_length=1,
            description="Gives two columns: a setting's dotted path, and its value. Text that is JSON is the value "
            "that it stands for.",
        ),
    ] = "select name, value from settings"
    interval: Interval = "5s"
    channel: Annotated[
        Channel | None,
        Meta(
            description="PostgreSQL only: a `NOTIFY` on this channel has the query run at once.",
            extra={"expected": "text that is not empty", "default": "none"},
        ),
    ] = None

    def __post_init__(self) -> None:
        check_channel(self, self.channel)


def check_channel(database: DatabaseOptions, channel: str | None) -> None:
    """Raise ``ValueError`` for a channel of another database than PostgreSQL, and for an address that is none."""
    from trimtab.plugins.sql.urls import read_url  # with SQLAlchemy, which lanes that have no database do not need

    drivername = read_url(database.url, Path(), database.user, database.password).drivername
    if channel is not None and drivername != "postgresql+psycopg":
        raise ValueError(f"expected channel with PostgreSQL only, got it with {drivername}")
