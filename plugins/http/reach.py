"""What the requests of ``[resources.http.NAME]`` need. Loaded by the host, so without httpx."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

from trimtab.api import Reach
from trimtab.plugins.http.allow import Entry
from trimtab.plugins.http.options import HttpOptions


def reach_of(options: HttpOptions, folder: Path) -> Reach:
    """Return the ports of the hosts that are listed, and the file of the certificates."""
    reach = Reach()
    for text in options.allow:
        entry = Entry.parse(text)
        reach |= Reach.server(entry.host, *entry.ports)
    if options.base_url is not None:
        url = urlsplit(options.base_url)
        reach |= Reach.server(url.hostname or "", url.port or (443 if url.scheme == "https" else 80))
    if isinstance(options.verify, str):
        reach |= Reach(reads=frozenset({str(folder / options.verify)}))
    return reach
