"""Rules from a SQL table, a Redis hash, or a list on a web server: a row, a field or an entry is a rule.

What is found are artifacts ``ID.rule.json``: JSON with sorted keys, so that a rule has another version only where its
row means something else. Each stands alone: one that is refused keeps no other one from running. Lanes load this module
too, so drivers are imported in the host only.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from trimtab.api import Discoverer, DiscovererContext, DiscovererKind, hookimpl, parse_duration
from trimtab.plugins.rules.options import HttpRulesOptions, RedisRulesOptions, SqlRulesOptions


@hookimpl
def trimtab_discoverer_kinds() -> Iterable[DiscovererKind[Any]]:
    """Add the discoverer types ``sql-rules``, ``redis-rules`` and ``http-rules``."""
    return (
        DiscovererKind("http-rules", HttpRulesOptions, create_http),
        DiscovererKind("redis-rules", RedisRulesOptions, create_redis),
        DiscovererKind("sql-rules", SqlRulesOptions, create_sql),
    )


def create_http(options: HttpRulesOptions, name: str, _context: DiscovererContext) -> Discoverer:
    """Make the discoverer of a ``[discoverers.NAME]`` with ``type = "http-rules"``."""
    from trimtab.plugins.manifest.fetch import Fetcher
    from trimtab.plugins.manifest.polled import PolledDiscoverer
    from trimtab.plugins.rules.listing import RuleList

    place = f"discoverers.{name}"
    return PolledDiscoverer(place, RuleList(Fetcher(options, place)), parse_duration(options.poll))


def create_redis(options: RedisRulesOptions, name: str, _context: DiscovererContext) -> Discoverer:
    """Make the discoverer of a ``[discoverers.NAME]`` with ``type = "redis-rules"``."""
    from trimtab.plugins.manifest.polled import PolledDiscoverer
    from trimtab.plugins.rules.redis_hash import RuleHash

    place = f"discoverers.{name}"
    return PolledDiscoverer(place, RuleHash(options, place), parse_duration(options.poll))


def create_sql(options: SqlRulesOptions, name: str, context: DiscovererContext) -> Discoverer:
    """Make the discoverer of a ``[discoverers.NAME]`` with ``type = "sql-rules"``.

    Raises :class:`OutsideError` for a resource that is not declared.
    """
    from trimtab.plugins.manifest.polled import PolledDiscoverer
    from trimtab.plugins.rules.sql_table import RuleTable

    place = f"discoverers.{name}"
    table = RuleTable(options, place, context.folder, lambda: context.resource(f"sql.{options.resource}"))
    return PolledDiscoverer(place, table, parse_duration(options.poll))
