"""The embedded configuration centre: settings from an HTTP JSON document, a SQL table or a Redis hash.

Each discoverer finds one artifact, ``settings:NAME``: a JSON object with sorted keys, so that the same settings have
the same version. Lanes load this module too, so drivers are imported in the host only.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from trimtab.api import Discoverer, DiscovererContext, DiscovererKind, hookimpl, parse_duration
from trimtab.plugins.center.options import RedisHashOptions, SqlTableOptions
from trimtab.plugins.manifest.options import DocumentOptions


@hookimpl
def trimtab_discoverer_kinds() -> Iterable[DiscovererKind[Any]]:
    """Add the discoverer types ``settings-http``, ``settings-sql`` and ``settings-redis``."""
    return (
        DiscovererKind("settings-http", DocumentOptions, create_http),
        DiscovererKind("settings-redis", RedisHashOptions, create_redis),
        DiscovererKind("settings-sql", SqlTableOptions, create_sql),
    )


def create_http(options: DocumentOptions, name: str, _context: DiscovererContext) -> Discoverer:
    """Make the discoverer of a ``[discoverers.NAME]`` with ``type = "settings-http"``."""
    from trimtab.plugins.center.document import Document
    from trimtab.plugins.manifest.fetch import Fetcher
    from trimtab.plugins.manifest.polled import PolledDiscoverer

    place = f"discoverers.{name}"
    return PolledDiscoverer(
        place, Document(Fetcher(options, place), f"settings:{name}"), parse_duration(options.interval)
    )


def create_redis(options: RedisHashOptions, name: str, _context: DiscovererContext) -> Discoverer:
    """Make the discoverer of a ``[discoverers.NAME]`` with ``type = "settings-redis"``."""
    from trimtab.plugins.center.redis_hash import RedisHash
    from trimtab.plugins.manifest.polled import PolledDiscoverer

    place = f"discoverers.{name}"
    return PolledDiscoverer(place, RedisHash(options, place, f"settings:{name}"), parse_duration(options.interval))


def create_sql(options: SqlTableOptions, name: str, context: DiscovererContext) -> Discoverer:
    """Make the discoverer of a ``[discoverers.NAME]`` with ``type = "settings-sql"``."""
    from trimtab.plugins.center.sql_table import SqlTable
    from trimtab.plugins.manifest.polled import PolledDiscoverer

    place = f"discoverers.{name}"
    table = SqlTable(options, place, f"settings:{name}", context.folder)
    return PolledDiscoverer(place, table, parse_duration(options.interval))
