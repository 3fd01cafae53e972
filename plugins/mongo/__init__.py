"""MongoDB: what scripts reach as ``mongo("name")``, and a sink that stores values as documents.

Lanes load this module before they fork, so the driver is imported where a resource is made.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from trimtab.api import Binding, Resource, ResourceKind, Sink, SinkContext, SinkKind, hookimpl
from trimtab.plugins.mongo.binding import MongoBinding
from trimtab.plugins.mongo.options import MongoOptions, MongoSinkOptions
from trimtab.plugins.mongo.reach import reach_of


@hookimpl
def trimtab_resource_kinds() -> Iterable[ResourceKind[MongoOptions]]:
    """Add the resource kind ``mongo``."""
    return (ResourceKind("mongo", MongoOptions, _create_resource, modules=_modules, reaches=reach_of),)


@hookimpl
def trimtab_bindings() -> Iterable[Binding]:
    """Add ``mongo``."""
    return (MongoBinding(),)


@hookimpl
def trimtab_sinks() -> Iterable[SinkKind[MongoSinkOptions]]:
    """Add the sink type ``mongo``."""
    return (SinkKind("mongo", MongoSinkOptions, _create_sink),)


def _create_resource(options: MongoOptions, name: str, _folder: Path) -> Resource:
    from trimtab.plugins.mongo.resource import MongoResource

    return MongoResource(options, name, options.connections)


def _create_sink(options: MongoSinkOptions, context: SinkContext) -> Sink:
    from trimtab.plugins.mongo.sink import MongoSink

    return MongoSink(options, context)


def _modules(_options: MongoOptions) -> tuple[str, ...]:
    return ("trimtab.plugins.mongo.resource",)
