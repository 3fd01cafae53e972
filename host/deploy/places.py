"""What each discoverer has seen last, and which of the names that several of them have is whose."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from typing import TypeVar

from trimtab.api import Discoverer, Snapshot
from trimtab.deploy.running import Running
from trimtab.errors import Fault, OutsideError

Thing = TypeVar("Thing")


class Places:
    """Kept in memory, begun anew at each start."""

    def __init__(self, active: Running) -> None:
        self.outages: dict[str, str] = {}
        """Why discoverers cannot see at the moment, by name; what they saw last stays."""
        self.taken: dict[str, dict[str, Fault]] = {}
        """By discoverer, the names that it has and another one owns."""
        self._active = active
        self._everything: dict[str, Snapshot] = {}
        """What each discoverer has seen last, with the names that are not its own."""
        self._alone: set[str] = set()

    def expect(self, discoverers: Sequence[Discoverer]) -> None:
        """Begin with these, in the order in which they own what several of them have."""
        self._everything = {discoverer.name: Snapshot({}, {}) for discoverer in discoverers}
        self._alone = {discoverer.name for discoverer in discoverers if discoverer.alone}

    def alone(self, discoverer: str) -> bool:
        """Whether what a discoverer finds stands each for itself."""
        return discoverer in self._alone

    def within_reach(self) -> list[str]:
        """The discoverers that could see when they looked last."""
        return [name for name in self._everything if name not in self.outages]

    async def scan(self, discoverer: Discoverer) -> None:
        """Have a discoverer look, and keep what it sees. Raises :class:`OutsideError`; what it saw last stays."""
        try:
            self._everything[discoverer.name] = await discoverer.scan()
        except OutsideError as error:
            self.outages[discoverer.name] = str(error)
            raise
        self.outages.pop(discoverer.name, None)

    def own(self, discoverer: str) -> Snapshot:
        """Return what a discoverer has seen, without the names that belong to another one: :attr:`taken` has them."""
        snapshot = self._everything[discoverer]
        taken = {
            name: Fault(
                "NameTaken", f"expected a name of its own, got {name}, which {owner} has too; rename one of them"
            )
            for name in self._shared(discoverer, snapshot)
            if (owner := self._owner(name, discoverer)) != discoverer
        }
        self.taken[discoverer] = taken
        if not taken:
            return snapshot
        return Snapshot(_without(snapshot.artifacts, taken), _without(snapshot.refused, taken))

    def _shared(self, discoverer: str, snapshot: Snapshot) -> set[str]:
        """The names that others have too. Costs what the smaller of two places holds."""
        shared: set[str] = set()
        for other, seen in self._everything.items():
            if other != discoverer:
                for mine in (snapshot.artifacts, snapshot.refused):
                    shared.update(*(_in_both(mine, theirs) for theirs in (seen.artifacts, seen.refused)))
        return shared

    def _owner(self, name: str, asking: str) -> str:
        """Who has a name: the discoverer that it runs from, if that has it still, else the first one that has it."""
        having = [other for other, seen in self._everything.items() if name in seen.artifacts or name in seen.refused]
        if len(having) < 2:
            return asking
        running = self._active.get(name)
        return running.origin if running is not None and running.origin in having else having[0]


def changed_names(before: Snapshot, after: Snapshot) -> set[str]:
    """Return the names whose bytes may have changed between two looks at a place.

    Bytes that are the same object have not: places give those again that they have read again.
    """
    changed = before.refused.keys() - after.refused.keys()
    old, new = before.artifacts, after.artifacts
    if old is not new:
        changed |= {name for name, content in new.items() if old.get(name) is not content}
        if len(old) != len(new) or not old.keys() >= changed:  # else none can have gone
            changed |= old.keys() - new.keys()
    return changed


def names_of(snapshot: Snapshot) -> set[str]:
    """Return all names of a snapshot."""
    return {*snapshot.artifacts, *snapshot.refused}


def _in_both(one: Mapping[str, object], other: Mapping[str, object]) -> list[str]:
    fewer, more = (one, other) if len(one) < len(other) else (other, one)
    return [name for name in fewer if name in more]


def _without(things: Mapping[str, Thing], names: Container[str]) -> dict[str, Thing]:
    return {name: thing for name, thing in things.items() if name not in names}
