"""Standard input and output: the source ``stdin`` and the sink ``stdout``."""

from __future__ import annotations

from collections.abc import Iterable

from trimtab.api import SinkKind, SourceKind, hookimpl
from trimtab.plugins.stdio.sink import StdoutOptions, create_sink
from trimtab.plugins.stdio.source import StdinOptions, create_source


@hookimpl
def trimtab_sources() -> Iterable[SourceKind[StdinOptions]]:
    """Add the source."""
    return [SourceKind("stdin", StdinOptions, create_source, finite=lambda _options: True)]


@hookimpl
def trimtab_sinks() -> Iterable[SinkKind[StdoutOptions]]:
    """Add the sink."""
    return [SinkKind("stdout", StdoutOptions, create_sink)]
