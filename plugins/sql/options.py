"""The keys of ``[resources.sql.NAME]`` and of sinks with ``type = "sql"``."""

from __future__ import annotations

import re
from typing import Annotated

import msgspec
from msgspec import Meta

from trimtab.api import check_positive_duration

Text = Annotated[str, Meta(min_length=1)]

_TIMEOUT = 'a duration above 0 such as "200ms" or "2s", or a number of seconds'
_TABLE = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*){0,2}")


def check_table(value: str) -> None:
    """Raise ``ValueError`` for anything but the name of a table, with that of its schema where it has one."""
    if not _TABLE.fullmatch(value):
        raise ValueError(f'expected the name of a table such as "alarms" or "public.alarms", got {value!r}')


TableName = Annotated[
    str, Meta(extra={"expected": 'the name of a table such as "alarms" or "public.alarms"', "check": check_table})
]


class DatabaseOptions(msgspec.Struct, frozen=True):
    """Which database, and how to reach it."""

    url: Annotated[
        Text,
        Meta(
            description="Address of the database, as JDBC or SQLAlchemy writes it. The path of an SQLite file is "
            "relative to the configuration file.",
            extra={"expected": 'an address such as "postgresql://host:5432/database"'},
        ),
    ]
    user: Annotated[str | None, Meta(description="Comes before the one in the address.")] = None
    password: Annotated[str | None, Meta(description="Comes before the one in the address.")] = None
    timeout: Annotated[
        str | int | float,
        Meta(
            description="How long a connection, a statement or a page of rows may take.",
            extra={"expected": _TIMEOUT, "check": check_positive_duration},
        ),
    ] = "2s"


class SqlOptions(DatabaseOptions, frozen=True):
    """What a resource must and may be told."""

    connections: Annotated[
        int,
        Meta(
            ge=1,
            description="How many connections one lane may have open: one for each call under way, each transaction "
            "and each iterator. More wait, for `timeout`.",
        ),
    ] = 8

    driver: Annotated[
        Text | None, Meta(description="Class of a JDBC driver. With it, `url` goes to Java as it is.")
    ] = None
    jar: Annotated[
        Text | list[Text] | None,
        Meta(
            description="The files of the JDBC driver, relative to the configuration file.", extra={"default": "none"}
        ),
    ] = None


class SqlSinkOptions(DatabaseOptions, frozen=True, kw_only=True):
    """What a sink must and may be told: a table or a statement."""

    timeout: Annotated[
        str | int | float,
        Meta(
            description="How long a connection, or the statement for one batch, may take.",
            extra={"expected": _TIMEOUT, "check": check_positive_duration},
        ),
    ] = "10s"
    table: Annotated[
        TableName | None,
        Meta(
            description="The table that values go to: each is an object, its keys are columns.",
            extra={"default": "none"},
        ),
    ] = None
    statement: Annotated[
        Text | None,
        Meta(description="In place of `table`: what to run for each value, with its keys as `:name`."),
    ] = None
