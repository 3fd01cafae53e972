"""Which servers are believed to be who they say."""

from __future__ import annotations

import ssl
from functools import cache
from pathlib import Path

import httpx


class Trust:
    """The certificates that the servers of one resource must be certified by."""

    def __init__(self, file: Path | None) -> None:
        """``file``: in PEM; None for the usual ones, read when they are needed. Raises ``ValueError``."""
        try:
            self._own = None if file is None else ssl.create_default_context(cafile=str(file))
        except OSError as error:
            raise ValueError(f"verify: expected a file with certificates (PEM), got {str(file)!r} ({error})") from None

    @property
    def context(self) -> ssl.SSLContext:
        """What TLS connections are made with."""
        return self._own or _usual()


@cache
def _usual() -> ssl.SSLContext:
    """One for all resources: to read the certificates takes some 20 ms. It never changes."""
    return httpx.create_ssl_context(trust_env=False)
