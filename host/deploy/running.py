"""What runs, by name: found by kind and by place without a look at the rest, however much there is."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Set

from trimtab.artifacts.names import ArtifactKind, kind_of
from trimtab.artifacts.records import Version


class Running(Mapping[str, Version]):
    """The versions of the running generation. A change of it costs what changes."""

    def __init__(self, versions: Mapping[str, Version]) -> None:
        self._versions: dict[str, Version] = {}
        self._by_kind: defaultdict[ArtifactKind, set[str]] = defaultdict(set)
        self._by_origin: defaultdict[str, set[str]] = defaultdict(set)
        for version in versions.values():
            self.enter(version)

    def enter(self, version: Version) -> None:
        """Have a version run, in the place of another one of its name."""
        self.leave(version.name)
        self._versions[version.name] = version
        self._by_kind[kind_of(version.name)].add(version.name)
        self._by_origin[version.origin].add(version.name)

    def leave(self, name: str) -> None:
        """Have nothing of this name run."""
        version = self._versions.pop(name, None)
        if version is not None:
            self._by_kind[kind_of(name)].discard(name)
            self._by_origin[version.origin].discard(name)

    def of_kind(self, *kinds: ArtifactKind) -> Set[str]:
        """Return the names of some kinds."""
        return set().union(*(self._by_kind[kind] for kind in kinds))

    def count(self, kind: ArtifactKind) -> int:
        """Return how many there are of a kind."""
        return len(self._by_kind[kind])

    def from_place(self, discoverer: str) -> Set[str]:
        """Return the names that came from a discoverer. Not to be kept: it changes with what runs."""
        return self._by_origin[discoverer]

    def __getitem__(self, name: str) -> Version:
        return self._versions[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._versions)

    def __len__(self) -> int:
        return len(self._versions)

    def __contains__(self, name: object) -> bool:
        return name in self._versions
