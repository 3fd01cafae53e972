"""Scripts from a list on an HTTP server: the discoverer type ``manifest``.

What discoverers of other plugins share with it lies here too: documents that are asked for again and again
(:mod:`trimtab.plugins.manifest.fetch`), places that are looked at again and again
(:mod:`trimtab.plugins.manifest.polled`). Lanes load this module too, so httpx is imported in the host only.
"""

from __future__ import annotations

from collections.abc import Iterable

from trimtab.api import Discoverer, DiscovererContext, DiscovererKind, hookimpl, parse_duration
from trimtab.plugins.manifest.options import DocumentOptions


@hookimpl
def trimtab_discoverer_kinds() -> Iterable[DiscovererKind[DocumentOptions]]:
    """Add the discoverer type ``manifest``."""
    return (DiscovererKind("manifest", DocumentOptions, create),)


def create(options: DocumentOptions, name: str, context: DiscovererContext) -> Discoverer:
    """Make the discoverer of ``[discoverers.NAME]``."""
    from trimtab.plugins.manifest.fetch import Fetcher
    from trimtab.plugins.manifest.place import Manifest
    from trimtab.plugins.manifest.polled import PolledDiscoverer

    place = f"discoverers.{name}"
    manifest = Manifest(Fetcher(options, place), context.suffixes)
    return PolledDiscoverer(place, manifest, parse_duration(options.interval))
