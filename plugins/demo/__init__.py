"""The source ``demo``: simulated vehicles that report where they are."""

from __future__ import annotations

from collections.abc import Iterable

from trimtab.api import SourceKind, hookimpl
from trimtab.plugins.demo.source import DemoOptions, create_source


@hookimpl
def trimtab_sources() -> Iterable[SourceKind[DemoOptions]]:
    """Add the source."""
    return [SourceKind("demo", DemoOptions, create_source, finite=lambda options: options.count is not None)]
