"""The source ``internal``: its events are what rules find that emit to it, for scripts and rules to go on with."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from trimtab.api import INTERNAL, Source, SourceContext, SourceKind, hookimpl


class InternalOptions(msgspec.Struct, frozen=True):
    """A source of type ``internal`` has no keys of its own."""


class InternalSource(Source):
    """Reads nothing: its events come into being where the rules run."""

    async def run(self) -> None:
        """Return at once."""


@hookimpl
def trimtab_sources() -> Iterable[SourceKind[InternalOptions]]:
    """Add the source."""
    return [SourceKind(INTERNAL, InternalOptions, _create, finite=lambda _options: True)]


def _create(_options: InternalOptions, _context: SourceContext) -> Source:
    return InternalSource()
