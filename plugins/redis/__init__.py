"""Everything Redis: the binding ``redis`` with its resources, and sources and sinks of type ``redis-stream``."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from trimtab.api import Binding, ResourceKind, Sink, SinkContext, SinkKind, Source, SourceContext, SourceKind, hookimpl
from trimtab.plugins.redis.binding import RedisBinding
from trimtab.plugins.redis.options import RedisOptions, RedisSinkOptions, RedisSourceOptions
from trimtab.plugins.redis.reach import reach_of
from trimtab.plugins.redis.resource import create_resource


@hookimpl
def trimtab_bindings() -> Iterable[Binding]:
    """Add ``redis``."""
    return (RedisBinding(),)


@hookimpl
def trimtab_resource_kinds() -> Iterable[ResourceKind[Any]]:
    """Add ``[resources.redis.NAME]``."""
    return (ResourceKind("redis", RedisOptions, create_resource, modules=_modules, reaches=reach_of),)


@hookimpl
def trimtab_sources() -> Iterable[SourceKind[Any]]:
    """Add ``redis-stream``."""
    return (SourceKind("redis-stream", RedisSourceOptions, _create_source),)


@hookimpl
def trimtab_sinks() -> Iterable[SinkKind[Any]]:
    """Add ``redis-stream``."""
    return (SinkKind("redis-stream", RedisSinkOptions, _create_sink),)


def _create_source(options: RedisSourceOptions, context: SourceContext) -> Source:
    from trimtab.plugins.redis.source import StreamSource

    return StreamSource(options, context)


def _create_sink(options: RedisSinkOptions, context: SinkContext) -> Sink:
    from trimtab.plugins.redis.sink import StreamSink

    return StreamSink(options, context)


def _modules(_options: RedisOptions) -> tuple[str, ...]:
    return ("trimtab.plugins.redis.clients",)
