"""Files: the source and the sink ``file``."""

from __future__ import annotations

from collections.abc import Iterable

from trimtab.api import SinkKind, SourceKind, hookimpl
from trimtab.plugins.files.sink import FileSinkOptions, create_sink
from trimtab.plugins.files.source import FileSourceOptions, create_source


@hookimpl
def trimtab_sources() -> Iterable[SourceKind[FileSourceOptions]]:
    """Add the source."""
    return [SourceKind("file", FileSourceOptions, create_source, finite=lambda options: not options.follow)]


@hookimpl
def trimtab_sinks() -> Iterable[SinkKind[FileSinkOptions]]:
    """Add the sink."""
    return [SinkKind("file", FileSinkOptions, create_sink)]
