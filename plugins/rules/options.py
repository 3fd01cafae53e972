"""The keys of ``[discoverers.NAME]`` with ``type = "sql-rules"``, ``"redis-rules"`` and ``"http-rules"``."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from trimtab.plugins.center.options import Channel
from trimtab.plugins.manifest.options import DocumentPlace, Period
from trimtab.plugins.redis.options import Place
from trimtab.plugins.rules.columns import check_columns
from trimtab.plugins.sql.options import TableName

Poll = Annotated[Period, Meta(description="How often it is looked at, give or take a tenth.")]

DEFAULT_TABLE = "rules"


class SqlRulesOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What the discoverer of rules in a SQL table must and may be told."""

    resource: Annotated[
        str,
        Meta(
            min_length=1,
            description="The database: NAME of a `[resources.sql.NAME]`, whose address, login and `timeout` it has.",
        ),
    ]
    table: Annotated[TableName, Meta(description="The table, with all its columns.")] = DEFAULT_TABLE
    query: Annotated[
        Annotated[str, Meta(min_length=1)] | None,
        Meta(
            description="In place of `table`: what gives the rows.",
            extra={"expected": "text that is not empty", "default": "none"},
        ),
    ] = None
    columns: Annotated[
        dict[str, str],
        Meta(
            description='Names of columns that are called otherwise here: `{pattern = "rule_json"}`.',
            extra={
                "expected": "a table of columns of a rule and their names here",
                "default": "none",
                "check": check_columns,
            },
        ),
    ] = {}
    poll: Poll = "1s"
    probe: Annotated[
        Annotated[str, Meta(min_length=1)] | None,
        Meta(
            description="A query that tells cheaply whether something has changed: rows are read when its answer is "
            "another one.",
            extra={
                "expected": "text that is not empty",
                "default": "for SQLite `pragma data_version`, else count, sum and maximum of the versions in `table`; "
                "none with `query`",
            },
        ),
    ] = None
    updated_at: Annotated[
        Annotated[str, Meta(min_length=1)] | None,
        Meta(
            description="A column that holds something higher after every change of a row: its maximum belongs to the "
            "probe of `table`.",
            extra={"expected": "text that is not empty", "default": "none"},
        ),
    ] = None
    full_every: Annotated[
        int,
        Meta(ge=1, description="At every so many looks the rows are read, whatever the probe says."),
    ] = 30
    channel: Annotated[
        Channel | None,
        Meta(
            description="PostgreSQL only: a `NOTIFY` on this channel has the rows read at once. They are then read at "
            "every look, so make `poll` longer.",
            extra={"expected": "text that is not empty", "default": "none"},
        ),
    ] = None

    def __post_init__(self) -> None:
        if self.query is not None and self.table != DEFAULT_TABLE:
            raise ValueError("expected table or query, got both; leave one of them out")
        if self.updated_at is not None and (self.probe is not None or self.query is not None):
            raise ValueError(
                "expected updated_at with table alone, got it with a probe or query; write it into a probe"
            )
        check_columns(self.columns)


class RedisRulesOptions(Place, frozen=True, kw_only=True):
    """What the discoverer of rules in a Redis hash must and may be told."""

    key: Annotated[str, Meta(min_length=1, description="The hash: the id of a rule to its JSON document.")] = "rules"
    poll: Poll = "1s"
    channel: Annotated[
        Channel | None,
        Meta(
            description="A message on this channel, whatever it says, has the hash looked at at once.",
            extra={"expected": "text that is not empty", "default": "none"},
        ),
    ] = None
    timeout: Annotated[Period, Meta(description="How long connecting may take, and how long one answer.")] = "2s"


class HttpRulesOptions(DocumentPlace, frozen=True, kw_only=True):
    """What the discoverer of rules in a document on an HTTP server must and may be told."""

    poll: Poll = "5s"
    max_size: Annotated[int, Meta(ge=1, description="The most bytes that one document may have.")] = 64 << 20
