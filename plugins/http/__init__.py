"""HTTP: a source that takes events by POST, a sink that sends values by POST, and requests of scripts.

Lanes load this module too, so what needs starlette or httpx is imported where it is created, or first used.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from trimtab.api import (
    Binding,
    Resource,
    ResourceKind,
    Sink,
    SinkContext,
    SinkKind,
    Source,
    SourceContext,
    SourceKind,
    hookimpl,
)
from trimtab.plugins.http.binding import HttpBinding
from trimtab.plugins.http.options import HttpOptions, HttpSinkOptions, HttpSourceOptions
from trimtab.plugins.http.reach import reach_of


@hookimpl
def trimtab_sources() -> Iterable[SourceKind[HttpSourceOptions]]:
    """Add the source type ``http``."""
    return (SourceKind("http", HttpSourceOptions, _create_source),)


@hookimpl
def trimtab_sinks() -> Iterable[SinkKind[HttpSinkOptions]]:
    """Add the sink type ``http``."""
    return (SinkKind("http", HttpSinkOptions, _create_sink),)


@hookimpl
def trimtab_resource_kinds() -> Iterable[ResourceKind[HttpOptions]]:
    """Add the resources ``http``."""
    return (ResourceKind("http", HttpOptions, _create_resource, frozenset({"default"}), _modules, reach_of),)


@hookimpl
def trimtab_bindings() -> Iterable[Binding]:
    """Add ``http``."""
    return (HttpBinding(),)


def _create_resource(options: HttpOptions, name: str, folder: Path) -> Resource:
    from trimtab.plugins.http.resource import HttpResource

    return HttpResource(options, name, folder)


def _create_source(options: HttpSourceOptions, context: SourceContext) -> Source:
    from trimtab.plugins.http.source import HttpSource

    return HttpSource(options, context)


def _create_sink(options: HttpSinkOptions, context: SinkContext) -> Sink:
    from trimtab.plugins.http.sink import HttpSink

    return HttpSink(options, context)


def _modules(_options: HttpOptions) -> tuple[str, ...]:
    return ("trimtab.plugins.http.resource",)
