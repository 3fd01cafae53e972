"""Which servers are believed to be who they say."""

from __future__ import annotations

import ssl
from functools import cache, cached_property
from pathlib import Path

import httpx


class Trust:
    """The certificates of one resource, read when they are first needed. ``file``: None for the usual ones."""

    def __init__(self, file: Path | None) -> None:
        self._file = file

    @cached_property
    def context(self) -> ssl.SSLContext:
        """What TLS connections are made with. Raises ``OSError`` where the file cannot be read."""
        return _usual() if self._file is None else ssl.create_default_context(cafile=str(self._file))


@cache
def _usual() -> ssl.SSLContext:
    """One for all resources: to read the certificates takes some 20 ms. It never changes."""
    return httpx.create_ssl_context(trust_env=False)
