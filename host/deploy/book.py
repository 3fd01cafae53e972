"""What runs, what was refused, and what lies where: the memory of the deployer."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

from trimtab.api import Snapshot
from trimtab.artifacts.records import Version
from trimtab.artifacts.store import ArtifactStore
from trimtab.deploy.changeset import Changes, company_of, digest
from trimtab.deploy.places import Places, changed_names, names_of
from trimtab.deploy.running import Running
from trimtab.engine.engine import LoadedScript
from trimtab.errors import Fault


class Book:
    """Kept in memory, begun anew from the store at each start. Owned by one deployer.

    What is asked again with each change costs what has changed, and what was refused, not what there is.
    """

    def __init__(self, store: ArtifactStore) -> None:
        self.generation = store.latest_number()
        self.active = Running(store.active())
        self.places = Places(self.active)
        self.loaded: dict[str, LoadedScript] = {}
        """What the running scripts, and rules, turned out to be."""
        self.errors: dict[str, Fault] = {}
        """Why newer bytes than the running ones were refused."""
        self.rolled_back = store.rolled_back()
        self.refused: dict[str, str | Fault | None] = {}
        """What was refused (a digest; None: absence; a fault: bytes that could not be taken), and is not tried again
        until it, or something else, changes."""
        self.broken: set[str] = set()
        """Running scripts that could not be loaded when the host started: lanes fail their events."""
        self.seen: dict[str, Snapshot] = {}
        """What each discoverer has seen when its differences were asked for last."""
        self._unsettled: defaultdict[str, set[str]] = defaultdict(set)
        """By discoverer, the names that differed then, or of which others run since."""
        self._store = store

    def remember_refusals(self) -> None:
        """Begin with what the last run has refused."""
        for name, change in self._store.refused().items():
            taken = change.version is not None or change.kind == "deleted"
            self.refused[name] = change.version if taken else change.fault
            self.errors.setdefault(name, change.fault)

    def forget_what_is_not_there(self) -> None:
        """Forget refused artifacts that no discoverer sees any more and that never ran."""
        there = {name for snapshot in self.seen.values() for name in names_of(snapshot)}
        for name in [name for name in self.refused if name not in there and name not in self.active]:
            del self.refused[name]
            self.errors.pop(name, None)

    def error(self, name: str) -> Fault | None:
        """Why newer bytes of a name were refused, or those of another place."""
        return self.errors.get(name) or next(
            (taken[name] for taken in self.places.taken.values() if name in taken), None
        )

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
        holds = self._store.holds()
        changes: Changes = {}
        running: list[str] = []
        for name in self._to_compare(discoverer, snapshot, holds) - snapshot.refused.keys():
            content, version = snapshot.artifacts.get(name), self.active.get(name)
            mine = version is not None and version.origin == discoverer
            if content is None and not mine:
                continue
            seen = digest(content)
            if name in holds and holds[name] == seen:
                continue
            if name in holds and (mine or version is None):
                self._store.release(name)
            if seen == version_hash(version):
                self.refused.pop(name, None)
                running.append(name)
            else:
                changes[name] = content
        self._unsettled[discoverer] = set(changes)
        for name in running:
            # An error that came from a library stays as long as the library is refused.
            libraries = self.loaded[name].libraries if name in self.loaded else ()
            if name not in self.broken and self.refused.keys().isdisjoint(libraries):
                self.errors.pop(name, None)
        return changes

    def _to_compare(self, discoverer: str, snapshot: Snapshot, holds: Mapping[str, str | None]) -> set[str]:
        """The names that a discoverer may see otherwise than they run: all others are as they were the last time.

        What was refused, never ran, and is not there any more is forgotten.
        """
        before = self.seen.get(discoverer)
        self.seen[discoverer] = snapshot
        if before is None:
            return {*snapshot.artifacts, *self.active.from_place(discoverer)}
        told = self.refused.keys() | self.errors.keys()
        for name in told:
            if _has(before, name) and not _has(snapshot, name) and name not in self.active:
                self.refused.pop(name, None)
                self.errors.pop(name, None)
        return changed_names(before, snapshot) | self._unsettled[discoverer] | told | holds.keys()

    def take(
        self, generation: int, changes: Changes, versions: Mapping[str, Version], loaded: Mapping[str, LoadedScript]
    ) -> None:
        """Enter that these changes run now: ``versions`` of what is not deleted, and what scripts turned out to be."""
        self.generation = generation
        for name in changes:
            if name in versions:
                self.active.enter(versions[name])
            else:
                self.active.leave(name)
                self.loaded.pop(name, None)
            self.errors.pop(name, None)
            self.refused.pop(name, None)
            self.rolled_back.discard(name)
            self.broken.discard(name)
        for name in loaded:
            self.errors.pop(name, None)
            self.broken.discard(name)
        self.loaded.update(loaded)
        for discoverer, snapshot in self.seen.items():
            for name, content in changes.items():
                settled = snapshot.artifacts.get(name) is content
                (self._unsettled[discoverer].discard if settled else self._unsettled[discoverer].add)(name)

    def refuse(self, faults: Mapping[str, Fault], changes: Changes, not_taken: Mapping[str, Fault]) -> None:
        """Enter that changes were refused, with what could not even be taken."""
        self.errors.update(faults)
        self.refused |= {**not_taken, **{name: digest(content) for name, content in changes.items()}}


def _has(snapshot: Snapshot, name: str) -> bool:
    return name in snapshot.artifacts or name in snapshot.refused


def version_hash(version: Version | None) -> str | None:
    """Return the hash of a version; None for none."""
    return None if version is None else version.hash
