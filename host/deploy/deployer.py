"""Brings the running generation to what is discovered, and back: what belongs together, and what comes again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress

from trimtab.api import Discoverer, Notice
from trimtab.artifacts.records import Reason, Version
from trimtab.artifacts.store import ArtifactStore
from trimtab.deploy.book import Book, version_hash
from trimtab.deploy.changeset import Changes, digest, explain, may_help, may_help_each
from trimtab.deploy.plans import Expand, restore_plan
from trimtab.deploy.road import Lanes, Road
from trimtab.errors import ChangeRefused, Fault, OutsideError, UsageError


class Deployer:
    """Owns the running generation. Changes come one at a time; each is committed whole or leaves no trace.

    ``notify`` is told of each outcome: the name of a lifecycle hook and its notice.
    """

    def __init__(
        self,
        store: ArtifactStore,
        lanes: Lanes,
        expand: Expand,
        notify: Callable[[str, Notice], None],
    ) -> None:
        self.book = Book(store)
        self._store = store
        self._lanes = lanes
        self._expand = expand
        self._notify = notify
        self._road = Road(store, self.book, lanes, expand, notify)
        self._lock = asyncio.Lock()

    # --- start ---

    async def learn(self) -> None:
        """Find out what the scripts of the restored generation are. Those that fail now are listed as errors."""
        if self.book.active:
            self.book.loaded, faults = await self._lanes.check(
                restore_plan(self._store, self.book.generation, self._expand)
            )
            self.book.errors.update(faults)
            self.book.broken.update(faults)

    async def start(self, discoverers: Sequence[Discoverer]) -> None:
        """Take what the discoverers see as the change set of this start; what stands for itself comes after the rest.

        On a very first start, artifacts that are refused are left out alone, and the rest runs. A place that cannot
        be reached now is looked at later. Raises :class:`OutsideError` for one that can never be.
        """
        async with self._lock:
            changes: Changes = {}
            origins: dict[str, str] = {}
            unreadable: dict[str, Fault] = {}
            places = self.book.places
            self.book.remember_refusals()
            refused = set(self.book.refused)
            changes |= self._of_nobody(discoverers)
            await self._look_everywhere(discoverers)
            for name in places.within_reach():
                snapshot = places.own(name)
                found = self.book.differences(name, snapshot)
                if not places.alone(name):
                    unreadable |= self.book.unreadable(snapshot)
                    changes |= found
                    origins |= dict.fromkeys(found, name)
            self.book.forget_what_is_not_there()
            if not self.book.generation:
                await self._first(changes, origins, unreadable)
            elif changes or unreadable:
                fresh = self.book.fresh(changes, refused) or changes
                await self._bring("start", changes, fresh, origins, unreadable)
            for name in filter(places.alone, places.within_reach()):
                await self._bring_what_differs(name, "start", again=True)

    async def _look_everywhere(self, discoverers: Sequence[Discoverer]) -> None:
        """Scan all at once, because a place that does not answer takes its time."""

        async def scan(discoverer: Discoverer) -> None:
            try:
                await self.book.places.scan(discoverer)
            except OutsideError as error:
                if not error.retryable:
                    raise

        self.book.places.expect(discoverers)
        await asyncio.gather(*map(scan, discoverers))

    def _of_nobody(self, discoverers: Sequence[Discoverer]) -> Changes:
        """What runs and came from a discoverer that the configuration does not have any more: it goes too."""
        known = {discoverer.name for discoverer in discoverers}
        return {name: None for name, version in self.book.active.items() if version.origin not in known}

    async def _first(self, changes: Changes, origins: Mapping[str, str], left_out: dict[str, Fault]) -> None:
        """Commit as much of a change set as can run."""
        self.book.refused |= left_out
        while changes:
            attempt = await self._road.stage("start", changes, origins)
            try:
                await self._road.deploy(attempt, left_out)
                return
            except ChangeRefused as refusal:
                self.book.refuse({}, changes, {})
                culprits = {name: fault for name, fault in refusal.faults.items() if name in changes}
                left_out |= culprits or explain(changes, refusal)
                changes = {name: content for name, content in changes.items() if name not in left_out}
        if left_out:
            self._road.refuse(self._road.attempt("start", {}, {}), left_out)

    # --- changes ---

    async def offer(self, discoverer: Discoverer) -> None:
        """Bring the running generation to what a discoverer sees now, if that can run.

        Raises :class:`OutsideError` when it cannot see, and :class:`StateError`; then nothing has changed.
        """
        async with self._lock:  # also while it looks: what a rollback has just replaced must not be taken again
            await self.book.places.scan(discoverer)
            before = self.book.generation
            changes = await self._bring_what_differs(discoverer.name)
            if self.book.generation != before:
                await self._try_elsewhere(discoverer.name, changes)

    async def _try_elsewhere(self, discoverer: str, changes: Changes) -> None:
        """Try again what was refused in other places, where it may be good with what has changed in this one."""
        for other in self.book.places.within_reach():
            helps = may_help_each if self.book.places.alone(other) else may_help
            if other != discoverer and any(map(helps, changes.items())):
                await self._bring_what_differs(other, again=True)

    async def _bring_what_differs(self, discoverer: str, reason: Reason = "change", *, again: bool = False) -> Changes:
        """Try what a discoverer has seen and what does not run. ``again``: also what was refused before.

        Returns all that differed.
        """
        places = self.book.places
        refused, told = set(self.book.refused), places.taken.get(discoverer, {})
        snapshot, alone = places.own(discoverer), places.alone(discoverer)
        self._road.tell_taken({n: fault for n, fault in places.taken[discoverer].items() if told.get(n) != fault})
        unreadable = {} if again and not alone else self.book.unreadable(snapshot)
        changes = self.book.differences(discoverer, snapshot)
        fresh = changes if again else self.book.fresh(changes, refused)
        origins = dict.fromkeys(changes, discoverer)
        if fresh or unreadable:
            if alone:
                await self._bring_each(reason, fresh, origins, unreadable)
            else:
                await self._bring(reason, changes, fresh, origins, unreadable)
        return changes

    async def _bring_each(
        self, reason: Reason, changes: Changes, origins: Mapping[str, str], unreadable: Mapping[str, Fault]
    ) -> None:
        """Commit the changes that can run, and have the others refused, each for its own reason."""
        attempt = await self._road.stage(reason, changes, origins)
        faults = await self._road.deploy_each(attempt) if changes else {}
        news = {name: fault for name, fault in faults.items() if not self._is_known(name, changes[name], fault)}
        if news or unreadable:
            self._road.refuse(attempt.only(news), {**news, **unreadable})

    def _is_known(self, name: str, content: bytes | None, fault: Fault) -> bool:
        """Whether these bytes were refused before, and for the same reason: that need not be told again."""
        refused = self.book.refused
        return name in refused and refused[name] == digest(content) and self.book.errors.get(name) == fault

    async def _bring(
        self,
        reason: Reason,
        changes: Changes,
        fresh: Changes,
        origins: Mapping[str, str],
        unreadable: Mapping[str, Fault],
    ) -> None:
        """Commit all changes, or only the fresh ones, or have those refused.

        What was refused before may be good together with what came now, and must not keep it from being taken.
        """
        if len(fresh) < len(changes) and not unreadable:
            try:
                await self._road.deploy(await self._road.stage(reason, changes, origins), {})
                return
            except ChangeRefused as refusal:
                self.book.errors.update((n, f) for n, f in refusal.faults.items() if n in changes and n not in fresh)
        await self._try(reason, fresh, origins, unreadable)

    async def _try(
        self, reason: Reason, changes: Changes, origins: Mapping[str, str], unreadable: Mapping[str, Fault]
    ) -> None:
        """Commit a change set, or have it refused; ``unreadable`` belongs to it and refuses it as a whole."""
        attempt = await self._road.stage(reason, changes, origins)
        try:
            if unreadable:
                raise ChangeRefused(dict(unreadable))
            await self._road.deploy(attempt, {})
        except ChangeRefused as refusal:
            self._road.refuse(attempt, explain(changes, refusal))

    def at_rest(self) -> asyncio.Lock:
        """While it is held, no change is under way: ``async with deployer.at_rest():``."""
        return self._lock

    # --- rollbacks ---

    async def rollback(self, name: str, to: str | None, discoverers: Sequence[Discoverer]) -> Notice:
        """Run another version of one artifact; ``to`` None: the one that ran before.

        Raises :class:`UsageError` or :class:`ChangeRefused`.
        """
        async with self._lock:
            version = self._before(name) if to is None else self._store.resolve(name, to)
            running = self.book.active.get(name)
            if (version and version.hash) == (running and running.hash):
                what = f"version {running.hash[:12]}" if running else "nothing"
                raise UsageError(f"{name}: expected another version than the one that runs, got {what}, which runs")
            return await self._roll_back({name: version}, discoverers)

    def _before(self, name: str) -> Version:
        version = self._store.previous(name)
        if version is None:
            raise UsageError(
                f"{name}: expected a version that ran before, got none; name one with --to, or delete the file"
            )
        return version

    async def rollback_generation(self, number: int, discoverers: Sequence[Discoverer]) -> Notice:
        """Run everything as it was in a generation. Raises :class:`UsageError` or :class:`ChangeRefused`."""
        async with self._lock:
            then = self._store.generation_set(number)
            different = {
                name: then.get(name)
                for name in {*then, *self.book.active}
                if version_hash(then.get(name)) != version_hash(self.book.active.get(name))
            }
            if not different:
                raise UsageError(
                    f"expected a generation that differs from the running one, got {number}, which does not"
                )
            return await self._roll_back(different, discoverers)

    async def _roll_back(self, versions: Mapping[str, Version | None], discoverers: Sequence[Discoverer]) -> Notice:
        contents = {name: None if v is None else self._store.content(v.hash) for name, v in versions.items()}
        staged = {name: version for name, version in versions.items() if version is not None}
        attempt = self._road.attempt("rollback", contents, staged)
        for discoverer in discoverers:
            if discoverer.name not in {*self.book.seen, *self.book.places.outages}:  # no host runs
                with suppress(OutsideError):
                    await self.book.places.scan(discoverer)
                    self.book.seen[discoverer.name] = self.book.places.own(discoverer.name)
        # Held back before anything is recorded: a crash must not let the bad bytes in the folder come back.
        held = self._store.holds()
        self._store.hold_all({name: self.book.lying(name) for name in versions})
        try:
            notice = await self._road.deploy(attempt, {})
        except ChangeRefused as refusal:
            self._store.release(*versions)
            self._store.hold_all({name: held[name] for name in versions if name in held})
            self._road.refuse(attempt, refusal.faults)
            raise
        self.book.rolled_back.update(versions)
        restored = [
            name
            for name, content in contents.items()
            if await _restore(name, content, discoverers, self._origin(name, staged))
        ]
        self._store.release(*restored)
        self._notify("trimtab_rolled_back", notice)
        return notice

    def _origin(self, name: str, staged: Mapping[str, Version]) -> str | None:
        return staged[name].origin if name in staged else self._store.versions(name)[-1].origin


async def _restore(name: str, content: bytes | None, discoverers: Iterable[Discoverer], origin: str | None) -> bool:
    """Have the discoverer that the name comes from put the bytes back."""
    for discoverer in discoverers:
        if discoverer.name == origin:
            return await discoverer.restore(name, content)
    return False
