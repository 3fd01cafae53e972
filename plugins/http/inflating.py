"""Inflates bodies, never beyond a limit."""

from __future__ import annotations

import gzip
import io
import zlib


def gunzip(body: bytes, limit: int) -> bytes:
    """Return what a gzip body holds, or its first ``limit`` bytes and one more. Raises ``ValueError``."""
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(body)) as stream:
            return stream.read(limit + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(f"bytes that cannot be inflated ({error})") from None
