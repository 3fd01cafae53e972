"""Every place where the artifacts of a configuration are found."""

from __future__ import annotations

from trimtab.api import Discoverer, DiscovererContext
from trimtab.artifacts.names import RULE
from trimtab.config import Config, load
from trimtab.deploy.configuration import ConfigurationDiscoverer
from trimtab.plugin_manager import Plugins


def find_discoverers(config: Config, plugins: Plugins) -> tuple[Discoverer, ...]:
    """Return every place where artifacts of this configuration are found."""
    suffixes = (suffix for engine in plugins.script_engines() for suffix in engine.suffixes)
    context = DiscovererContext(config.folder, config.scripts, config.state, frozenset((RULE, *suffixes)))
    configured = [each.kind.create(each.options, each.name, context) for each in config.discoverers.values()]
    own = ConfigurationDiscoverer(config, lambda: load(config.path, plugins))
    return (*plugins.discoverers(context), own, *configured)
