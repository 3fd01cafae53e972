"""What a list of scripts says. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Annotated

import httpx
import msgspec
from msgspec import Meta

from trimtab.api import is_ignored, name_problem
from trimtab.plugins.manifest.fetch import leads_to, shown


class Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One script of a list, where it is an object; a text is its ``url`` alone."""

    url: str
    name: str | None = None
    """The artifact name; without it, the last part of the URL's path."""
    sha256: Annotated[str, Meta(pattern=r"\A[0-9a-fA-F]{64}\Z")] | None = None


class Item(msgspec.Struct, frozen=True):
    """One script to get. ``sha256`` in lower case."""

    name: str
    url: httpx.URL
    sha256: str | None


def items(text: bytes, base: httpx.URL, suffixes: Collection[str]) -> list[Item]:
    """Return what a list holds. ``base``: the list's own URL; ``suffixes``: how the name of a script may end.

    Raises ``ValueError`` with what was expected and what came: no such list, bad URLs and names, a name twice.
    """
    found: dict[str, Item] = {}
    for place, item in _read(text, base):
        problem = _problem(item.name, suffixes)
        if problem is not None:
            raise ValueError(f"{place}: {problem}")
        if (other := found.get(item.name)) is not None:
            both = f"{shown(other.url)} and {shown(item.url)}"
            raise ValueError(f"{place}: expected each name once, got {item.name} from {both}; name them apart")
        found[item.name] = item
    return list(found.values())


def _read(text: bytes, base: httpx.URL) -> Iterator[tuple[str, Item]]:
    try:
        entries = msgspec.json.decode(text, type=list[str | Entry])
    except msgspec.DecodeError as error:
        raise ValueError(
            f"expected a JSON list of URLs or of objects with url, name and sha256, got: {error}"
        ) from None
    for number, given in enumerate(entries):
        entry = Entry(given) if isinstance(given, str) else given
        place = f"entry [{number}]"
        try:
            url = leads_to(base, entry.url)
        except ValueError as error:
            raise ValueError(f"{place}: {error}") from None
        name = url.path.rpartition("/")[2] if entry.name is None else entry.name
        yield place, Item(name, url, entry.sha256.lower() if entry.sha256 else None)


def _problem(name: str, suffixes: Collection[str]) -> str | None:
    """What keeps a name from being that of a script or library."""
    if not name.endswith(tuple(suffixes)):
        endings = ", ".join(sorted(suffixes))
        return f"expected a name that ends in {endings}, got {name!r}; give the entry a name"
    if is_ignored(name):
        return f"expected a name that a scripts folder would take, got {name!r}; rename it"
    return name_problem(name)
