"""The one road of every change: stage, check, prepare, commit, drain. A rollback is the same road with older bytes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Protocol

from trimtab.api import Discoverer, Notice
from trimtab.artifacts.names import artifact_name, is_library, is_script, is_settings
from trimtab.artifacts.records import Change, Reason, Version
from trimtab.artifacts.store import ArtifactStore
from trimtab.deploy.book import Book, version_hash
from trimtab.deploy.changeset import Changes, Effect, effect_of, explain, may_help
from trimtab.deploy.plans import Expand, is_file, lenient, resources_of, restore_plan, settings_of, strict
from trimtab.engine.engine import LoadedScript, Plan
from trimtab.errors import ChangeRefused, Fault, LaneDied, OutsideError, UsageError


class Lanes(Protocol):
    """The lanes, and the scratch processes, as a deployment needs them."""

    async def check(self, plan: Plan) -> tuple[dict[str, LoadedScript], dict[str, Fault]]:
        """Load what a plan loads where it can do no harm. Returns what could be loaded, and what could not."""

    async def prepare(self, plan: Plan) -> None:
        """Build the next generation in every lane. Raises :class:`ChangeRefused`; then no lane has it."""

    async def commit(self, plan: Plan) -> None:
        """Switch every lane at one cut in the order of the events, and wait until all have switched."""

    def unrestored(self) -> set[str]:
        """The artifacts that some lane could not restore when it was started anew."""


@dataclass(slots=True)
class _Attempt:
    """One change set on its way."""

    reason: Reason
    changes: Changes
    versions: dict[str, Version]
    """Of what is changed, and of what is reloaded."""
    effect: Effect
    seconds: dict[str, float] = field(default_factory=dict)

    def records(self, faults: Mapping[str, Fault]) -> dict[str, Change]:
        """What the history keeps of it."""
        return {
            name: Change(kind, self.versions[name].seq if name in self.versions else None, faults.get(name))
            for name, kind in self.effect.kinds.items()
        }

    @contextmanager
    def step(self, name: str) -> Any:
        """Measure one step."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = round(time.perf_counter() - started, 6)


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
        """Take what the discoverers see as the change set of this start.

        On a very first start, artifacts that are refused are left out alone, and the rest runs. A place that cannot
        be reached now is looked at later. Raises :class:`OutsideError` for one that can never be.
        """
        async with self._lock:
            changes: Changes = {}
            origins: dict[str, str] = {}
            unreadable: dict[str, Fault] = {}
            self.book.remember_refusals()
            refused = set(self.book.refused)
            changes |= self._of_nobody(discoverers)
            await self._look_everywhere(discoverers)
            for name in self.book.within_reach():
                snapshot = self.book.own(name)
                unreadable |= self.book.unreadable(snapshot)
                found = self.book.differences(name, snapshot)
                changes |= found
                origins |= dict.fromkeys(found, name)
            self.book.forget_what_is_not_there()
            if not self.book.generation:
                await self._first(changes, origins, unreadable)
            elif changes or unreadable:
                fresh = self.book.fresh(changes, refused) or changes
                await self._bring("start", changes, fresh, origins, unreadable)

    async def _look_everywhere(self, discoverers: Sequence[Discoverer]) -> None:
        """Scan all at once, because a place that does not answer takes its time."""

        async def scan(discoverer: Discoverer) -> None:
            try:
                await self.book.scan(discoverer)
            except OutsideError as error:
                if not error.retryable:
                    raise

        self.book.expect(discoverer.name for discoverer in discoverers)
        await asyncio.gather(*map(scan, discoverers))

    def _of_nobody(self, discoverers: Sequence[Discoverer]) -> Changes:
        """What runs and came from a discoverer that the configuration does not have any more: it goes too."""
        known = {discoverer.name for discoverer in discoverers}
        return {name: None for name, version in self.book.active.items() if version.origin not in known}

    async def _first(self, changes: Changes, origins: Mapping[str, str], left_out: dict[str, Fault]) -> None:
        """Commit as much of a change set as can run."""
        self.book.refused |= left_out
        while changes:
            attempt = self._stage("start", changes, origins)
            try:
                await self._deploy(attempt, left_out)
                return
            except ChangeRefused as refusal:
                self.book.refuse({}, changes, {})
                culprits = {name: fault for name, fault in refusal.faults.items() if name in changes}
                left_out |= culprits or explain(changes, refusal)
                changes = {name: content for name, content in changes.items() if name not in left_out}
        if left_out:
            attempt = self._stage("start", {}, origins)
            self._refuse(attempt, left_out)

    # --- changes ---

    async def offer(self, discoverer: Discoverer) -> None:
        """Bring the running generation to what a discoverer sees now, if that can run.

        Raises :class:`OutsideError` when it cannot see, and :class:`StateError`; then nothing has changed.
        """
        async with self._lock:  # also while it looks: what a rollback has just replaced must not be taken again
            await self.book.scan(discoverer)
            before = self.book.generation
            changes = await self._bring_what_differs(discoverer.name)
            if self.book.generation != before and any(map(may_help, changes.items())):
                for other in self.book.within_reach():
                    if other != discoverer.name:
                        await self._bring_what_differs(other, again=True)

    async def _bring_what_differs(self, discoverer: str, *, again: bool = False) -> Changes:
        """Try what a discoverer has seen and what does not run. ``again``: also what was refused before.

        Returns all that differed.
        """
        refused, told = set(self.book.refused), self.book.taken.get(discoverer, {})
        snapshot = self.book.own(discoverer)
        self._tell_taken({n: fault for n, fault in self.book.taken[discoverer].items() if told.get(n) != fault})
        unreadable = {} if again else self.book.unreadable(snapshot)
        changes = self.book.differences(discoverer, snapshot)
        fresh = changes if again else self.book.fresh(changes, refused)
        if fresh or unreadable:
            await self._bring("change", changes, fresh, dict.fromkeys(changes, discoverer), unreadable)
        return changes

    def _tell_taken(self, faults: Mapping[str, Fault]) -> None:
        """Keep in the history that names of one place belong to another."""
        if faults:
            records = self._left_out(faults)
            number = self._store.record_refused("change", records, {})
            kinds = {name: record.kind for name, record in records.items()}
            self._notify("trimtab_change_refused", Notice(number, "change", kinds, dict(faults), {}))

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
                await self._deploy(self._stage(reason, changes, origins), {})
                return
            except ChangeRefused as refusal:
                self.book.errors.update((n, f) for n, f in refusal.faults.items() if n in changes and n not in fresh)
        await self._try(reason, fresh, origins, unreadable)

    def at_rest(self) -> asyncio.Lock:
        """While it is held, no change is under way: ``async with deployer.at_rest():``."""
        return self._lock

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
        attempt = self._attempt("rollback", contents, staged)
        for discoverer in discoverers:
            if discoverer.name not in {*self.book.seen, *self.book.outages}:  # no host runs
                with suppress(OutsideError):
                    await self.book.scan(discoverer)
                    self.book.seen[discoverer.name] = self.book.own(discoverer.name)
        # Held back before anything is recorded: a crash must not let the bad bytes in the folder come back.
        held = self._store.holds()
        for name in versions:
            self._store.hold(name, self.book.lying(name))
        try:
            notice = await self._deploy(attempt, {})
        except ChangeRefused as refusal:
            for name in versions:
                self._store.release(name)
                if name in held:
                    self._store.hold(name, held[name])
            self._refuse(attempt, refusal.faults)
            raise
        self.book.rolled_back.update(versions)
        for name, content in contents.items():
            if await _restore(name, content, discoverers, self._origin(name, staged)):
                self._store.release(name)
        self._notify("trimtab_rolled_back", notice)
        return notice

    def _origin(self, name: str, staged: Mapping[str, Version]) -> str | None:
        return staged[name].origin if name in staged else self._store.versions(name)[-1].origin

    async def _try(
        self, reason: Reason, changes: Changes, origins: Mapping[str, str], unreadable: Mapping[str, Fault]
    ) -> None:
        """Commit a change set, or have it refused; ``unreadable`` belongs to it and refuses it as a whole."""
        attempt = self._stage(reason, changes, origins)
        try:
            if unreadable:
                raise ChangeRefused(dict(unreadable))
            await self._deploy(attempt, {})
        except ChangeRefused as refusal:
            self._refuse(attempt, explain(changes, refusal))

    # --- the road ---

    def _stage(self, reason: Reason, changes: Changes, origins: Mapping[str, str]) -> _Attempt:
        staged: dict[str, Version] = {}
        for origin in set(origins.values()):
            contents = {n: c for n, c in changes.items() if c is not None and origins[n] == origin}
            staged |= self._store.stage_all(contents, origin)
        return self._attempt(reason, changes, staged)

    def _attempt(self, reason: Reason, changes: Changes, staged: Mapping[str, Version]) -> _Attempt:
        effect = effect_of(changes, self.book.active, self.book.loaded, filter(is_script, self._broken()))
        reloaded = {name: self.book.active[name] for name, kind in effect.kinds.items() if kind == "reloaded"}
        return _Attempt(reason, changes, {**staged, **reloaded}, effect)

    async def _deploy(self, attempt: _Attempt, left_out: Mapping[str, Fault]) -> Notice:
        """Check, prepare, commit. Raises :class:`ChangeRefused`; then everything is as before."""
        loaded, plan = await self._check(attempt)
        with attempt.step("prepare"):
            try:
                await self._prepare(plan)
            except LaneDied as error:
                raise _died(attempt, error) from error
        with attempt.step("commit"):
            records = attempt.records({}) | self._left_out(left_out)
            self._store.record_committed(attempt.reason, records, attempt.seconds)
            self.book.take(plan.generation, attempt.changes, attempt.versions, loaded)
            await self._lanes.commit(plan)
        self.book.errors.update(left_out)
        notice = Notice(plan.generation, attempt.reason, attempt.effect.kinds, dict(left_out), attempt.seconds)
        self._notify("trimtab_generation_committed", notice)
        return notice

    async def _prepare(self, plan: Plan) -> None:
        try:
            await self._lanes.prepare(plan)
        except LaneDied:
            if plan.reload:
                raise
            await self._lanes.prepare(plan)  # it loads nothing that a lane could have died of

    async def _check(self, attempt: _Attempt) -> tuple[dict[str, LoadedScript], Plan]:
        plan = self._plan(attempt)
        with attempt.step("check"):
            if not plan.reload and not plan.resources:
                return {}, plan
            libraries = [name for name in self.book.active if is_library(name) and name not in attempt.changes]
            reloaded = [name for name in plan.reload if name not in attempt.changes]
            there = {name: self._store.content(self.book.active[name].hash) for name in [*libraries, *reloaded]}
            candidate = Plan(
                generation=plan.generation,
                upserts={**there, **plan.upserts},
                deletes=[],
                reload=plan.reload,
                settings=settings_of(self._configured(attempt.changes), lenient(self._expand)),
                resources=resources_of(self._configured(attempt.changes), lenient(self._expand)),
                probes=plan.probes,
            )
            try:
                loaded, faults = await self._lanes.check(candidate)
            except LaneDied as error:
                raise _died(attempt, error) from error
        still_broken = faults.keys() & (self._broken() - attempt.changes.keys())
        if faults.keys() - still_broken:
            raise ChangeRefused({name: fault for name, fault in faults.items() if name not in still_broken})
        for name in still_broken & attempt.effect.kinds.keys():
            del attempt.effect.kinds[name]
            plan.reload.remove(name)
        return loaded, plan

    def _broken(self) -> set[str]:
        """What runs in name only: what could not be loaded at the start, and what some lane could not restore."""
        return self.book.broken | self._lanes.unrestored()

    def _plan(self, attempt: _Attempt) -> Plan:
        """Raises :class:`ChangeRefused` for a part of the configuration that cannot be expanded."""
        changes, expand = attempt.changes, strict(self._expand)
        resources = resources_of(changes, expand)
        # At a start only what was refused before: the rest may come up later than the host.
        probed = {
            name: options
            for name, options in resources.items()
            if attempt.reason != "start" or artifact_name(name) in self.book.refused
        }
        return Plan(
            generation=self._store.next_number(),
            upserts={n: c for n, c in changes.items() if c is not None and is_file(n)},
            deletes=[n for n, c in changes.items() if c is None and is_file(n)],
            reload=attempt.effect.reload,
            settings=settings_of(self._configured(changes), expand) if any(map(is_settings, changes)) else None,
            resources=resources,
            probes=sorted(name for name, options in probed.items() if options is not None),
            keeps_state=attempt.reason == "rollback",
        )

    def _configured(self, changes: Changes) -> Changes:
        """The settings and resources that there are with a change set."""
        running = {name: self._store.content(v.hash) for name, v in self.book.active.items() if not is_file(name)}
        return {**running, **{name: content for name, content in changes.items() if not is_file(name)}}

    def _refuse(self, attempt: _Attempt, faults: Mapping[str, Fault]) -> None:
        others = {name: fault for name, fault in faults.items() if name not in attempt.effect.kinds}
        records = attempt.records(faults) | self._left_out(others)
        number = self._store.record_refused(attempt.reason, records, attempt.seconds)
        self.book.refuse(faults, attempt.changes, others)
        kinds = {name: record.kind for name, record in records.items()}
        self._notify("trimtab_change_refused", Notice(number, attempt.reason, kinds, faults, attempt.seconds))

    def _left_out(self, faults: Mapping[str, Fault]) -> dict[str, Change]:
        """What the history keeps of artifacts that were not staged."""
        return {n: Change("changed" if n in self.book.active else "added", None, fault) for n, fault in faults.items()}


def _died(attempt: _Attempt, error: LaneDied) -> ChangeRefused:
    return ChangeRefused({name: Fault("LaneDied", str(error), name) for name in attempt.effect.kinds})


async def _restore(name: str, content: bytes | None, discoverers: Iterable[Discoverer], origin: str | None) -> bool:
    """Have the discoverer that the name comes from put the bytes back."""
    for discoverer in discoverers:
        if discoverer.name == origin:
            return await discoverer.restore(name, content)
    return False
