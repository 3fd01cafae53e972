"""The hook contract: what a plugin may add, and what it may be told. One function each.

Implement any of them in a module or object, marked with ``trimtab.api.hookimpl``. The hooks that add things are
called once a process at start; they must not open files or connections.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pluggy

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
)

hookspec = pluggy.HookspecMarker("trimtab")


@hookspec
def trimtab_sources() -> Iterable[SourceKind[Any]]:  # type: ignore[empty-body]
    """Add types of sources. Called in the host process."""


@hookspec
def trimtab_sinks() -> Iterable[SinkKind[Any]]:  # type: ignore[empty-body]
    """Add types of sinks. Called in the host process."""


@hookspec
def trimtab_codecs() -> Iterable[Codec]:  # type: ignore[empty-body]
    """Add codecs for the records of sources. Called in the host process."""


@hookspec
def trimtab_discoverers(context: DiscovererContext) -> Iterable[Discoverer]:  # type: ignore[empty-body]
    """Add places where artifacts are always looked for. Called in the host process."""


@hookspec
def trimtab_discoverer_kinds() -> Iterable[DiscovererKind[Any]]:  # type: ignore[empty-body]
    """Add types of discoverers, for places that the configuration names. Called in the host process."""


@hookspec
def trimtab_resource_kinds() -> Iterable[ResourceKind[Any]]:  # type: ignore[empty-body]
    """Add types of resources. Called in every process; must not import a driver before one is made."""


@hookspec
def trimtab_script_engines() -> Iterable[ScriptEngine]:  # type: ignore[empty-body]
    """Add languages that scripts may be written in. Called in the lanes."""


@hookspec
def trimtab_bindings() -> Iterable[Binding]:  # type: ignore[empty-body]
    """Add names that scripts may import from ``trimtab``. Called in the lanes."""


@hookspec
def trimtab_generation_committed(notice: Notice) -> None:
    """A generation was committed: every event from now on is handled by it. Called in the host; must not block."""


@hookspec
def trimtab_change_refused(notice: Notice) -> None:
    """A change was refused; the running generation stays. Called in the host; must not block."""


@hookspec
def trimtab_rolled_back(notice: Notice) -> None:
    """A rollback was committed (after ``trimtab_generation_committed``). Called in the host; must not block."""
