"""Every place where the artifacts of a configuration are found."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from trimtab.api import Discoverer, DiscovererContext, OutsideError
from trimtab.artifacts.names import RULE, WHEEL, artifact_name, nearest
from trimtab.config import Config, expand, load
from trimtab.deploy.configuration import ConfigurationDiscoverer
from trimtab.errors import ConfigurationError
from trimtab.plugin_manager import Plugins

Source = Callable[[str], bytes | None]
"""Gives the bytes of the artifact of this name that runs; None: none does."""


def find_discoverers(config: Config, plugins: Plugins, running: Source = lambda _name: None) -> tuple[Discoverer, ...]:
    """Return every place where artifacts of this configuration are found.

    ``running``: where the resources come from that a discoverer uses; those that do not run yet are as the
    configuration declares them. Raises :class:`TrimtabError` for options that cannot be meant.
    """
    suffixes = (suffix for engine in plugins.script_engines() for suffix in engine.suffixes)
    context = DiscovererContext(
        config.folder,
        config.scripts,
        config.state,
        frozenset((RULE, WHEEL, *suffixes)),
        lambda name: _resource(name, config, plugins, running),
    )
    configured = [each.kind.create(each.options, each.name, context) for each in config.discoverers.values()]
    own = ConfigurationDiscoverer(config, lambda: load(config.path, plugins))
    return (*plugins.discoverers(context), own, *configured)


def _resource(name: str, config: Config, plugins: Plugins, running: Source) -> Any:
    """Return the options of a resource. Raises :class:`OutsideError`."""
    source = running(artifact_name(name)) or config.resources.get(name)
    if source is None:
        near = nearest(name, config.resources)
        hint = f"; did you mean {near.partition('.')[2]}?" if near else ""
        raise OutsideError(
            f"expected a declared resource, got {name}, and there is no [resources.{name}]{hint}", retryable=False
        )
    kind = plugins.resource_kinds()[name.partition(".")[0]]
    try:
        return msgspec.convert(expand(source, artifact_name(name), config.mask.learn), kind.options)
    except (ConfigurationError, msgspec.ValidationError) as error:
        raise OutsideError(f"resources.{name}: {error}", retryable=True) from None
