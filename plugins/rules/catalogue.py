"""All rules of one place: of each id the highest version, and the same bytes again as long as nothing has changed."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from trimtab.api import Fault, Snapshot
from trimtab.plugins.rules.documents import Entry, WithoutIdError
from trimtab.plugins.rules.names import without_id

Raw = TypeVar("Raw")

_SEVERAL = "expected one row of the highest version, got several that differ; delete all but one"


@dataclass(frozen=True, slots=True)
class _Read(Generic[Raw]):
    raw: Raw
    entry: Entry | WithoutIdError


class Catalogue(Generic[Raw]):
    """Remembers the last look. ``read`` makes the entry of a row or document, and raises what that raises.

    A look at what has hardly changed costs little: what is as it was is not read again.
    """

    def __init__(self, discoverer: str, read: Callable[[Raw], Entry]) -> None:
        self.snapshot = Snapshot({}, {})
        self._discoverer = discoverer
        self._read = read
        self._last: Mapping[Hashable, _Read[Raw]] = {}

    def take(self, found: Iterable[tuple[Hashable, Raw]]) -> Snapshot:
        """Return all rules, given everything that there is. The key tells which row of the last look one may be."""
        last, reads = self._last, dict[Hashable, _Read[Raw]]()
        entries: list[Entry] = []
        nameless: list[WithoutIdError] = []
        for key, raw in found:
            read = last.get(key)
            if read is None or read.raw != raw:
                read = _Read(raw, self._entry(raw))
            reads[key] = read
            if isinstance(read.entry, Entry):
                entries.append(read.entry)
            else:
                nameless.append(read.entry)
        highest, refused = _highest(entries)
        if nameless:
            refused[without_id(self._discoverer)] = _without_id(nameless)
        self._last = reads
        self.snapshot = self._same_or_new(highest, refused)
        return self.snapshot

    def _entry(self, raw: Raw) -> Entry | WithoutIdError:
        try:
            return self._read(raw)
        except WithoutIdError as error:
            return error

    def _same_or_new(self, artifacts: dict[str, bytes], refused: dict[str, Fault]) -> Snapshot:
        before = self.snapshot.artifacts
        same = len(before) == len(artifacts) and all(before.get(name) is each for name, each in artifacts.items())
        return Snapshot(before if same else artifacts, refused)


def _highest(entries: Iterable[Entry]) -> tuple[dict[str, bytes], dict[str, Fault]]:
    """The documents of the highest versions, and why some of these cannot be taken."""
    highest: dict[str, Entry] = {}
    several: set[str] = set()
    for entry in entries:
        other = highest.get(entry.name)
        if other is None or entry.rank > other.rank:
            highest[entry.name] = entry
            several.discard(entry.name)
        elif entry.rank == other.rank and (entry.content, entry.deleted) != (other.content, other.deleted):
            several.add(entry.name)
    refused = {name: entry.fault for name, entry in highest.items() if entry.fault is not None}
    refused |= {name: Fault("RowError", _SEVERAL, name) for name in several}
    taken = {name: each.content for name, each in highest.items() if not each.deleted and name not in refused}
    return taken, refused


def _without_id(nameless: list[WithoutIdError]) -> Fault:
    message = f"expected an id in every row, got {len(nameless)} without one; the first of them has {nameless[0]}"
    return Fault("RowError", message)
