"""What a connection of ``[resources.mongo.NAME]`` needs."""

from __future__ import annotations

from pathlib import Path

from trimtab.api import ANYWHERE, Reach
from trimtab.plugins.mongo.options import MongoOptions

_FILES = ("tlscafile", "tlscertificatekeyfile", "tlscrlfile")


def reach_of(options: MongoOptions, _folder: Path) -> Reach:
    """Return the port, or everything where the servers (a replica set) or the DNS say where the others are."""
    from pymongo.errors import PyMongoError
    from pymongo.uri_parser import parse_uri

    if not options.url.startswith("mongodb://"):
        return ANYWHERE
    try:
        parsed = parse_uri(options.url, validate=False)  # which would open the files
    except PyMongoError:
        return Reach()  # what is wrong is said when the resource is made
    given = {name.lower(): value for name, value in parsed["options"].items()}
    reach = Reach(reads=frozenset(str(Path(given[name]).absolute()) for name in _FILES if name in given))
    if len(parsed["nodelist"]) > 1 or "replicaset" in given:
        return reach | ANYWHERE
    [(host, port)] = parsed["nodelist"]
    return reach | (Reach(sockets=True) if port is None else Reach.server(host, port))
