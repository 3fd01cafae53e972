"""HTTP: a source that takes events by POST, and a sink that sends values by POST.

Lanes load this module too, so what needs starlette or httpx is imported where it is created, in the host.
"""

from __future__ import annotations

from collections.abc import Iterable

from trimtab.api import Sink, SinkContext, SinkKind, Source, SourceContext, SourceKind, hookimpl
from trimtab.plugins.http.options import HttpSinkOptions, HttpSourceOptions


@hookimpl
def trimtab_sources() -> Iterable[SourceKind[HttpSourceOptions]]:
    """Add the source type ``http``."""
    return (SourceKind("http", HttpSourceOptions, _create_source),)


@hookimpl
def trimtab_sinks() -> Iterable[SinkKind[HttpSinkOptions]]:
    """Add the sink type ``http``."""
    return (SinkKind("http", HttpSinkOptions, _create_sink),)


def _create_source(options: HttpSourceOptions, context: SourceContext) -> Source:
    from trimtab.plugins.http.source import HttpSource

    return HttpSource(options, context)


def _create_sink(options: HttpSinkOptions, context: SinkContext) -> Sink:
    from trimtab.plugins.http.sink import HttpSink

    return HttpSink(options, context)
