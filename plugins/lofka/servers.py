"""Servers as Lofka scripts write them: ``host`` or ``host:port``. Pure."""

from __future__ import annotations

import re

_SERVER = re.compile(r"(?P<host>\[[0-9a-f:.]+\]|[\w.-]+)(?::(?P<port>[0-9]{1,5}))?", re.ASCII | re.IGNORECASE)


def server(text: str, port: int) -> str:
    """Return ``host:port``, with ``port`` where the text names none.

    Raises ``ValueError`` for all that is more than a host and a port: put into a URL, the rest of it would have a
    meaning there. It is not shown, because it may be a password.
    """
    found = _SERVER.fullmatch(text.strip())
    if found is None or not 0 < int(found["port"] or port) < 1 << 16:
        raise ValueError("expected servers as host:port, got another form; user and password have a place of their own")
    return f"{found['host']}:{found['port'] or port}"
