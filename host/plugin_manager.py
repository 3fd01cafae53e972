"""Finds plugins, lets each in as a whole or not at all, and hands out what they add."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import msgspec
import pluggy
from importlib_metadata import EntryPoint, entry_points

from trimtab.api import (
    Binding,
    Codec,
    Discoverer,
    DiscovererContext,
    DiscovererKind,
    Notice,
    PluginError,
    ResourceKind,
    ScriptEngine,
    SinkKind,
    SourceKind,
)
from trimtab.plugins import hookspecs

GROUP = "trimtab.plugins"
_OWN_DISTRIBUTION = "trimtab"


@dataclass(frozen=True, slots=True)
class PluginInfo:
    """A plugin that is loaded, and what it adds: ``("source file", "sink file")``."""

    name: str
    distribution: str | None
    version: str | None
    adds: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PluginFailure:
    """A plugin that could not be loaded. Nothing of it is registered."""

    name: str
    distribution: str | None
    version: str | None
    error: Exception


@dataclass(frozen=True, slots=True)
class _Group:
    """One kind of thing that plugins add: its hook, its type, and the names that it takes."""

    word: str
    hook: str
    type: type[Any]
    names: Callable[[Any], Iterable[str]] = lambda thing: (thing.name,)


_GROUPS = (
    _Group("source", "trimtab_sources", SourceKind),
    _Group("sink", "trimtab_sinks", SinkKind),
    _Group("codec", "trimtab_codecs", Codec),
    _Group("engine", "trimtab_script_engines", ScriptEngine, lambda engine: engine.suffixes),
    _Group("binding", "trimtab_bindings", Binding),
    _Group("resource", "trimtab_resource_kinds", ResourceKind),
    _Group("discoverer", "trimtab_discoverer_kinds", DiscovererKind),
)
_DISCOVERERS = "trimtab_discoverers"
_Things = dict[str, dict[str, Any]]
"""What was added: by the word of its group, by name."""


class Plugins:
    """The plugins of one process. Made with :meth:`load`; ``infos`` and ``failures`` tell what came of each."""

    def __init__(self) -> None:
        self.infos: list[PluginInfo] = []
        self.failures: list[PluginFailure] = []
        self._manager = _new_manager()
        self._things = _no_things()

    @classmethod
    def load(cls, extra: Iterable[tuple[str, object]] = (), *, entry_points: bool = True) -> Plugins:
        """Load the installed plugins, then the ``extra`` ones, given by name.

        ``entry_points`` False leaves the installed ones out. A plugin that cannot be imported, does not fit the
        hooks, or adds a name that is taken is listed in ``failures``; the others work.
        """
        plugins = cls()
        for entry_point in _installed() if entry_points else ():
            distribution = entry_point.dist
            origin = (distribution.name, distribution.version) if distribution else (None, None)
            plugins._admit(entry_point.name, entry_point.load, *origin)
        for name, plugin in extra:
            plugins._admit(name, partial(_given, plugin))
        return plugins

    def source_kinds(self) -> Mapping[str, SourceKind[Any]]:
        """The types of sources, by name."""
        return self._things["source"]

    def sink_kinds(self) -> Mapping[str, SinkKind[Any]]:
        """The types of sinks, by name."""
        return self._things["sink"]

    def codecs(self) -> Mapping[str, Codec]:
        """The codecs, by name."""
        return self._things["codec"]

    def script_engines(self) -> tuple[ScriptEngine, ...]:
        """The script engines, each once."""
        return tuple({id(engine): engine for engine in self._things["engine"].values()}.values())

    def bindings(self) -> tuple[Binding, ...]:
        """The bindings."""
        return tuple(self._things["binding"].values())

    def resource_kinds(self) -> Mapping[str, ResourceKind[Any]]:
        """The types of resources, by name."""
        return self._things["resource"]

    def discoverer_kinds(self) -> Mapping[str, DiscovererKind[Any]]:
        """The types of discoverers, by name."""
        return self._things["discoverer"]

    def discoverers(self, context: DiscovererContext) -> tuple[Discoverer, ...]:
        """Make the discoverers. Raises :class:`PluginError` naming the plugin that cannot."""
        found: list[Discoverer] = []
        for name, plugin in self._manager.list_name_plugin():
            try:
                groups = self._call(plugin, _DISCOVERERS, context=context)
                found.extend(_check(thing, Discoverer, _DISCOVERERS) for group in groups for thing in group)
            except Exception as error:
                raise PluginError(f"plugin {name}: expected discoverers, got {_words(error)}") from error
        return tuple(found)

    def notify(self, hook: str, notice: Notice) -> None:
        """Tell every plugin of a lifecycle notice. One that fails is logged and keeps nobody from hearing it."""
        for name, plugin in self._manager.list_name_plugin():
            try:
                self._call(plugin, hook, notice=notice)
            except Exception:  # noqa: BLE001 - whatever an observer raises is its own trouble
                _log_failure(name, hook)

    def _call(self, plugin: object, hook: str, **arguments: Any) -> Any:
        """Call one hook of one plugin only."""
        others = [other for other in self._manager.get_plugins() if other is not plugin]
        return self._manager.subset_hook_caller(hook, others)(**arguments)

    def _admit(
        self,
        name: str,
        load: Callable[[], object],
        distribution: str | None = None,
        version: str | None = None,
    ) -> None:
        try:
            plugin = load()
            things = _rehearse(name, plugin)
            self._refuse_taken(things)
            self._manager.register(plugin, name)
        except Exception as error:  # noqa: BLE001 - a plugin may fail in any way; the others must work
            self.failures.append(PluginFailure(name, distribution, version, error))
            return
        for word, added in things.items():
            self._things[word].update(added)
        adds = tuple(f"{word} {thing}" for word, added in things.items() for thing in added)
        self.infos.append(PluginInfo(name, distribution, version, adds + _other_hooks(self._manager, plugin)))

    def _refuse_taken(self, things: _Things) -> None:
        for word, added in things.items():
            for thing in added.keys() & self._things[word].keys():
                label = f"{word} {thing}"
                owner = next(info.name for info in self.infos if label in info.adds)
                raise PluginError(f"expected a new name, got {label}, which plugin {owner} has added; rename it")


def _no_things() -> _Things:
    return {group.word: {} for group in _GROUPS}


def _new_manager() -> pluggy.PluginManager:
    manager = pluggy.PluginManager("trimtab")
    manager.add_hookspecs(hookspecs)
    return manager


def _installed() -> list[EntryPoint]:
    """The entry points in a fixed order: trimtab's own first, so that no other can take their names."""

    def order(entry_point: EntryPoint) -> tuple[bool, str, str]:
        distribution = entry_point.dist.name if entry_point.dist else ""
        return distribution != _OWN_DISTRIBUTION, distribution, entry_point.name

    return sorted(entry_points(group=GROUP), key=order)


def _given(plugin: object) -> object:
    return plugin


def _rehearse(name: str, plugin: object) -> _Things:
    """Register the plugin in a manager of its own, and return what it adds.

    pluggy's ``register`` is not atomic: a plugin that fails in the middle stays half registered. Here it fails
    where nobody looks, and the real manager gets only plugins that have passed.
    """
    manager = _new_manager()
    manager.register(plugin, name)
    manager.check_pending()
    things = _no_things()
    for group in _GROUPS:
        for added in getattr(manager.hook, group.hook)():
            for thing in added:
                _check(thing, group.type, group.hook)
                _enter(things[group.word], group, thing)
    return things


def _enter(things: dict[str, Any], group: _Group, thing: Any) -> None:
    for name in group.names(thing):
        if name in things:
            raise PluginError(f"{group.hook}: expected each name once, got {group.word} {name} twice")
        things[name] = thing


def _check(thing: Any, expected: type[Any], hook: str) -> Any:
    if not isinstance(thing, expected):
        raise PluginError(f"{hook}: expected a list of {expected.__name__}, got {thing!r} in it")
    if isinstance(thing, SourceKind | SinkKind | ResourceKind | DiscovererKind):
        msgspec.json.Decoder(thing.options)  # raises TypeError for a struct that no configuration can be read into
    return thing


def _other_hooks(manager: pluggy.PluginManager, plugin: object) -> tuple[str, ...]:
    """What a plugin does beside adding named things: ``("discoverers", "generation_committed")``."""
    adding = {group.hook for group in _GROUPS}
    callers = manager.get_hookcallers(plugin) or []
    return tuple(sorted(caller.name.removeprefix("trimtab_") for caller in callers if caller.name not in adding))


def _words(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


def _log_failure(name: str, hook: str) -> None:
    import structlog  # only here: lanes load plugins too, and have no use for it

    structlog.get_logger().exception("a plugin failed on a notice; it was left out", plugin=name, hook=hook)
