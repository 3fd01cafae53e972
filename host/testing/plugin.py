"""A plugin that adds whatever a test needs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from trimtab.api import (
    Binding,
    Codec,
    Discoverer,
    DiscovererContext,
    DiscovererKind,
    Notice,
    ResourceKind,
    ScriptEngine,
    SinkKind,
    SourceKind,
    hookimpl,
)


@dataclass(eq=False)
class TestingPlugin:
    """Adds what it is given, and keeps the notices it gets: ``Plugins.load([("test", TestingPlugin(...))])``."""

    __test__ = False  # not a test case, whatever pytest makes of its name

    sources: Iterable[SourceKind[Any]] = ()
    sinks: Iterable[SinkKind[Any]] = ()
    codecs: Iterable[Codec] = ()
    engines: Iterable[ScriptEngine] = ()
    bindings: Iterable[Binding] = ()
    resource_kinds: Iterable[ResourceKind[Any]] = ()
    discoverer_kinds: Iterable[DiscovererKind[Any]] = ()
    discoverers: Iterable[Discoverer] = ()
    committed: list[Notice] = field(default_factory=list)
    refused: list[Notice] = field(default_factory=list)
    rolled_back: list[Notice] = field(default_factory=list)

    @hookimpl
    def trimtab_sources(self) -> Iterable[SourceKind[Any]]:
        """Add the sources."""
        return self.sources

    @hookimpl
    def trimtab_sinks(self) -> Iterable[SinkKind[Any]]:
        """Add the sinks."""
        return self.sinks

    @hookimpl
    def trimtab_codecs(self) -> Iterable[Codec]:
        """Add the codecs."""
        return self.codecs

    @hookimpl
    def trimtab_script_engines(self) -> Iterable[ScriptEngine]:
        """Add the engines."""
        return self.engines

    @hookimpl
    def trimtab_bindings(self) -> Iterable[Binding]:
        """Add the bindings."""
        return self.bindings

    @hookimpl
    def trimtab_resource_kinds(self) -> Iterable[ResourceKind[Any]]:
        """Add the types of resources."""
        return self.resource_kinds

    @hookimpl
    def trimtab_discoverer_kinds(self) -> Iterable[DiscovererKind[Any]]:
        """Add the types of discoverers."""
        return self.discoverer_kinds

    @hookimpl
    def trimtab_discoverers(self, context: DiscovererContext) -> Iterable[Discoverer]:  # noqa: ARG002 - of the hook
        """Add the discoverers."""
        return self.discoverers

    @hookimpl
    def trimtab_generation_committed(self, notice: Notice) -> None:
        """Keep the notice."""
        self.committed.append(notice)

    @hookimpl
    def trimtab_change_refused(self, notice: Notice) -> None:
        """Keep the notice."""
        self.refused.append(notice)

    @hookimpl
    def trimtab_rolled_back(self, notice: Notice) -> None:
        """Keep the notice."""
        self.rolled_back.append(notice)
