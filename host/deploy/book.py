"""What runs, what was refused, and what lies where: the memory of the deployer."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from typing import TypeVar

from trimtab.api import Discoverer, Snapshot
from trimtab.artifacts.records import Version
from trimtab.artifacts.store import ArtifactStore
from trimtab.deploy.changeset import Changes, company_of, digest
from trimtab.engine.engine import LoadedScript
from trimtab.errors import Fault, OutsideError

Thing = TypeVar("Thing")


class Book:
    """Kept in memory, begun anew from the store at each start. Owned by one deployer."""

    def __init__(self, store: ArtifactStore) -> None:
        self.generation = store.latest_number()
        self.active = store.active()
        self.loaded: dict[str, LoadedScript] = {}
        """The running scripts."""
        self.errors: dict[str, Fault] = {}
        """Why newer bytes than the running ones were refused."""
        self.rolled_back = store.rolled_back()
        self.refused: dict[str, str | Fault | None] = {}
        """What was refused (a digest; None: absence; a fault: bytes that could not be taken), and is not tried again
        until it, or something else, changes."""
        self.broken: set[str] = set()
        """Running scripts that could not be loaded when the host started: lanes fail their events."""
        self.seen: dict[str, Snapshot] = {}
        """What each discoverer has seen last."""
        self.outages: dict[str, str] = {}
        """Why discoverers cannot see at the moment, by name; what they saw last stays."""
        self.taken: dict[str, dict[str, Fault]] = {}
        """By discoverer, the names that it has and another one owns."""
        self._everything: dict[str, Snapshot] = {}
        """What each discoverer has seen last, with the names that are not its own."""
        self._store = store

    def remember_refusals(self) -> None:
        """Begin with what the last run has refused."""
        for name, change in self._store.refused().items():
            taken = change.version is not None or change.kind == "deleted"
            self.refused[name] = change.version if taken else change.fault
            self.errors.setdefault(name, change.fault)

    def forget_what_is_not_there(self) -> None:
        """Forget refused artifacts that no discoverer sees any more and that never ran."""
        there = {name for snapshot in self.seen.values() for name in _names(snapshot)}
        for name in self.refused.keys() - there - self.active.keys():
            del self.refused[name]
            self.errors.pop(name, None)

    def expect(self, discoverers: Iterable[str]) -> None:
        """Begin with these, in the order in which they own what several of them have."""
        self._everything = {name: Snapshot({}, {}) for name in discoverers}

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
            for name in _names(snapshot)
            if (owner := self._owner(name, discoverer)) != discoverer
        }
        self.taken[discoverer] = taken
        if not taken:
            return snapshot
        return Snapshot(_without(snapshot.artifacts, taken), _without(snapshot.refused, taken))

    def _owner(self, name: str, asking: str) -> str:
        """Who has a name: the discoverer that it runs from, if that has it still, else the first one that has it."""
        having = [other for other, seen in self._everything.items() if name in seen.artifacts or name in seen.refused]
        if len(having) < 2:
            return asking
        running = self.active.get(name)
        return running.origin if running is not None and running.origin in having else having[0]

    def error(self, name: str) -> Fault | None:
        """Why newer bytes of a name were refused, or those of another place."""
        return self.errors.get(name) or next((taken[name] for taken in self.taken.values() if name in taken), None)

    def fresh(self, changes: Changes, before: set[str]) -> Changes:
        """Leave out what was refused already. ``before``: all that was refused when the discoverer looked.

        What was refused only for being saved together with something that is gone by now gets another chance.
        """
        gone = before - self.refused.keys()
        return {
            name: content
            for name, content in changes.items()
            if name not in self.refused
            or self.refused[name] != digest(content)
            or (name in self.errors and company_of(self.errors[name]) in gone)
        }

    def lying(self, name: str) -> str | None:
        """The digest of what lies under a name where it comes from; None for nothing."""
        running = self.active.get(name)
        if running is not None and running.origin not in self.seen:
            return running.hash  # out of reach: what was there when it was taken
        return next((digest(seen.artifacts[name]) for seen in self.seen.values() if name in seen.artifacts), None)

    def unreadable(self, snapshot: Snapshot) -> dict[str, Fault]:
        """What a discoverer could not take, and has not said before."""
        return {name: fault for name, fault in snapshot.refused.items() if self.refused.get(name) != fault}

    def differences(self, discoverer: str, snapshot: Snapshot) -> Changes:
        """What a discoverer sees that does not run, without what a rollback holds back."""
        self._forget_gone(discoverer, snapshot)
        holds = self._store.holds()
        mine = {name for name, version in self.active.items() if version.origin == discoverer}
        held = {name for name in holds if name not in self.active}
        changes: Changes = {}
        running: list[str] = []
        for name in {*snapshot.artifacts, *mine} - snapshot.refused.keys():
            content = snapshot.artifacts.get(name)
            seen = digest(content)
            if name in holds and holds[name] == seen:
                continue
            if name in holds and (name in mine or name in held):
                self._store.release(name)
            if seen == version_hash(self.active.get(name)):
                self.refused.pop(name, None)
                running.append(name)
            else:
                changes[name] = content
        for name in running:
            # An error that came from a library stays as long as the library is refused.
            libraries = self.loaded[name].libraries if name in self.loaded else ()
            if name not in self.broken and self.refused.keys().isdisjoint(libraries):
                self.errors.pop(name, None)
        return changes

    def _forget_gone(self, discoverer: str, snapshot: Snapshot) -> None:
        """Forget what was refused, never ran, and is not there any more."""
        before = self.seen.get(discoverer, Snapshot({}, {}))
        for name in _names(before) - _names(snapshot) - self.active.keys():
            self.refused.pop(name, None)
            self.errors.pop(name, None)
        self.seen[discoverer] = snapshot

    def take(
        self, generation: int, changes: Changes, versions: Mapping[str, Version], loaded: Mapping[str, LoadedScript]
    ) -> None:
        """Enter that these changes run now: ``versions`` of what is not deleted, and what scripts turned out to be."""
        self.generation = generation
        for name in changes:
            if name in versions:
                self.active[name] = versions[name]
            else:
                self.active.pop(name, None)
                self.loaded.pop(name, None)
            self.errors.pop(name, None)
            self.refused.pop(name, None)
            self.rolled_back.discard(name)
            self.broken.discard(name)
        for name in loaded:
            self.errors.pop(name, None)
            self.broken.discard(name)
        self.loaded.update(loaded)

    def refuse(self, faults: Mapping[str, Fault], changes: Changes, not_taken: Mapping[str, Fault]) -> None:
        """Enter that changes were refused, with what could not even be taken."""
        self.errors.update(faults)
        self.refused |= {**not_taken, **{name: digest(content) for name, content in changes.items()}}


def _names(snapshot: Snapshot) -> set[str]:
    return {*snapshot.artifacts, *snapshot.refused}


def _without(things: Mapping[str, Thing], names: Container[str]) -> dict[str, Thing]:
    return {name: thing for name, thing in things.items() if name not in names}


def version_hash(version: Version | None) -> str | None:
    """Return the hash of a version; None for none."""
    return None if version is None else version.hash
