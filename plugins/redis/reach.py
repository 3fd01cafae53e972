"""What a connection of ``[resources.redis.NAME]`` needs."""

from __future__ import annotations

from pathlib import Path

from trimtab.api import ANYWHERE, Reach
from trimtab.plugins.redis.address import Form
from trimtab.plugins.redis.options import RedisOptions


def reach_of(options: RedisOptions, _folder: Path) -> Reach:
    """Return the port, or everything where the servers themselves say where the others are."""
    address = options.address()
    if address.form is Form.SOCKET:
        return Reach(sockets=True)
    if address.form is Form.SINGLE:
        [(host, port)] = address.hosts
        return Reach.server(host, port)
    return ANYWHERE
