"""The watched folders: every script file in them is an artifact."""

from __future__ import annotations

from collections.abc import Iterable

from trimtab.api import Discoverer, DiscovererContext, hookimpl


@hookimpl
def trimtab_discoverers(context: DiscovererContext) -> Iterable[Discoverer]:
    """Add the scripts folders as a place where artifacts are found."""
    from trimtab.plugins.folder.discoverer import FolderDiscoverer  # lanes load this plugin too, and never watch

    return [FolderDiscoverer(context)]
