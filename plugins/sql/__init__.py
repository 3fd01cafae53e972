"""SQL databases: the resource and the binding ``sql``, and a sink of that type."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from trimtab.api import Binding, Resource, ResourceKind, Sink, SinkContext, SinkKind, hookimpl
from trimtab.plugins.sql.binding import SqlBinding
from trimtab.plugins.sql.options import SqlOptions, SqlSinkOptions
from trimtab.plugins.sql.reach import reach_of

_MYSQL = ("trimtab.plugins.sql.mysql", "sqlalchemy.dialects.mysql.pymysql")
_MODULES = {
    "mariadb": _MYSQL,
    "mysql": _MYSQL,
    "postgresql": ("trimtab.plugins.sql.postgresql", "sqlalchemy.dialects.postgresql.psycopg"),
    "sqlite": ("trimtab.plugins.sql.sqlite", "sqlalchemy.dialects.sqlite.pysqlite"),
}
"""By the scheme of a URL."""


@hookimpl
def trimtab_resource_kinds() -> list[ResourceKind[Any]]:
    """Add ``[resources.sql.NAME]``."""
    return [ResourceKind("sql", SqlOptions, _create_resource, modules=modules_of, reaches=reach_of)]


@hookimpl
def trimtab_bindings() -> list[Binding]:
    """Add ``sql``."""
    return [SqlBinding()]


@hookimpl
def trimtab_sinks() -> list[SinkKind[Any]]:
    """Add the sink ``sql``."""
    return [SinkKind("sql", SqlSinkOptions, _create_sink)]


def _create_resource(options: SqlOptions, name: str, folder: Path) -> Resource:
    from trimtab.plugins.sql.resource import create_resource  # with SQLAlchemy, which few processes need

    return create_resource(options, name, folder)


def _create_sink(options: SqlSinkOptions, context: SinkContext) -> Sink:
    from trimtab.plugins.sql.sink import create_sink  # as above

    return create_sink(options, context)


def modules_of(options: SqlOptions) -> tuple[str, ...]:
    """Return the modules that a resource imports."""
    if options.driver is not None:
        return "trimtab.plugins.sql.resource", "trimtab.plugins.sql.jdbc"
    scheme = re.split("[:+]", options.url.removeprefix("jdbc:"), maxsplit=1)[0]
    return "trimtab.plugins.sql.resource", *_MODULES.get(scheme, ())
