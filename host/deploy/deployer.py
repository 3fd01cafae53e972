"""The one road of every change: stage, check, prepare, commit, drain. A rollback is the same road with older bytes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

from trimtab.api import Discoverer, Notice, Snapshot
from trimtab.artifacts.names import is_library
from trimtab.artifacts.records import Change, Reason, Version
from trimtab.artifacts.store import ArtifactStore
from trimtab.deploy.changeset import SETTINGS, Changes, Effect, company_of, digest, effect_of, explain
from trimtab.deploy.plans import ExpandSettings, restore_plan
from trimtab.engine.engine import LoadedScript, Plan
from trimtab.errors import ChangeRefused, ConfigurationError, Fault, LaneDied, UsageError


class Lanes(Protocol):
    """The lanes, and the scratch processes, as a deployment needs them."""

    async def check(self, plan: Plan) -> tuple[dict[str, LoadedScript], dict[str, Fault]]:
        """Load what a plan loads where it can do no harm. Returns what could be loaded, and what could not."""

    async def prepare(self, plan: Plan) -> None:
        """Build the next generation in every lane. Raises :class:`ChangeRefused`; then no lane has it."""

    async def commit(self, plan: Plan) -> None:
        """Switch every lane at one cut in the order of the events, and wait until all have switched."""


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
        expand_settings: ExpandSettings,
        notify: Callable[[str, Notice], None],
    ) -> None:
        self.generation = store.latest_number()
        self.active = store.active()
        self.loaded: dict[str, LoadedScript] = {}
        """The running scripts."""
        self.errors: dict[str, Fault] = {}
        """Why newer bytes than the running ones were refused."""
        self.rolled_back = store.rolled_back()
        self._store = store
        self._lanes = lanes
        self._expand = expand_settings
        self._notify = notify
        self._lock = asyncio.Lock()
        self._refused: dict[str, str | Fault | None] = {}
        """What was refused (a digest; None: absence; a fault: bytes that could not be taken), and is not tried again
        until it, or something else, changes."""
        self._broken: set[str] = set()
        """Running scripts that could not be loaded when the host started: lanes fail their events."""
        self._seen: dict[str, Snapshot] = {}
        """What each discoverer has seen last."""

    # --- start ---

    async def learn(self) -> None:
        """Find out what the scripts of the restored generation are. Those that fail now are listed as errors."""
        if self.active:
            self.loaded, faults = await self._lanes.check(restore_plan(self._store, self.generation, self._expand))
            self.errors.update(faults)
            self._broken.update(faults)

    async def start(self, discoverers: Sequence[Discoverer]) -> None:
        """Take what the discoverers see as the change set of this start.

        On a very first start, artifacts that are refused are left out alone, and the rest runs.
        """
        async with self._lock:
            changes: Changes = {}
            origins: dict[str, str] = {}
            unreadable: dict[str, Fault] = {}
            self._remember_refusals()
            refused = set(self._refused)
            for discoverer in discoverers:
                snapshot = await discoverer.scan()
                unreadable |= self._unreadable(snapshot)
                found = self._differences(discoverer, snapshot)
                changes |= found
                origins |= dict.fromkeys(found, discoverer.name)
            self._forget_what_is_not_there()
            if not self.generation:
                await self._first(changes, origins, unreadable)
            elif changes or unreadable:
                fresh = self._fresh(changes, refused) or changes
                await self._bring("start", changes, fresh, origins, unreadable)

    def _remember_refusals(self) -> None:
        for name, change in self._store.refused().items():
            taken = change.version is not None or change.kind == "deleted"
            self._refused[name] = change.version if taken else change.fault
            self.errors.setdefault(name, change.fault)

    def _forget_what_is_not_there(self) -> None:
        there = {name for snapshot in self._seen.values() for name in _names(snapshot)}
        for name in self._refused.keys() - there - self.active.keys():
            del self._refused[name]
            self.errors.pop(name, None)

    async def _first(self, changes: Changes, origins: Mapping[str, str], left_out: dict[str, Fault]) -> None:
        """Commit as much of a change set as can run."""
        self._refused |= left_out
        while changes:
            attempt = self._stage("start", changes, origins)
            try:
                await self._deploy(attempt, left_out)
                return
            except ChangeRefused as refusal:
                self._refused |= _digests(changes)
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
            snapshot = await discoverer.scan()
            refused = set(self._refused)
            unreadable = self._unreadable(snapshot)
            changes = self._differences(discoverer, snapshot)
            fresh = self._fresh(changes, refused)
            if fresh or unreadable:
                origins = dict.fromkeys(changes, discoverer.name)
                await self._bring("change", changes, fresh, origins, unreadable)

    def _fresh(self, changes: Changes, before: set[str]) -> Changes:
        """Leave out what was refused already. ``before``: all that was refused when the discoverer looked.

        What was refused only for being saved together with something that is gone by now gets another chance.
        """
        gone = before - self._refused.keys()
        return {
            name: content
            for name, content in changes.items()
            if name not in self._refused
            or self._refused[name] != digest(content)
            or (name in self.errors and company_of(self.errors[name]) in gone)
        }

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
                self.errors.update((n, f) for n, f in refusal.faults.items() if n in changes and n not in fresh)
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
            running = self.active.get(name)
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
                for name in {*then, *self.active}
                if _hash(then.get(name)) != _hash(self.active.get(name))
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
            if discoverer.name not in self._seen:  # no host runs
                self._seen[discoverer.name] = await discoverer.scan()
        # Held back before anything is recorded: a crash must not let the bad bytes in the folder come back.
        held = self._store.holds()
        for name in versions:
            self._store.hold(name, digest(self._lying(name)))
        try:
            notice = await self._deploy(attempt, {})
        except ChangeRefused as refusal:
            for name in versions:
                self._store.release(name)
                if name in held:
                    self._store.hold(name, held[name])
            self._refuse(attempt, refusal.faults)
            raise
        self.rolled_back.update(versions)
        for name, content in contents.items():
            if await _restore(name, content, discoverers, self._origin(name, staged)):
                self._store.release(name)
        self._notify("trimtab_rolled_back", notice)
        return notice

    def _lying(self, name: str) -> bytes | None:
        """The bytes of a name that a discoverer has seen last."""
        return next((seen.artifacts[name] for seen in self._seen.values() if name in seen.artifacts), None)

    def _origin(self, name: str, staged: Mapping[str, Version]) -> str | None:
        return staged[name].origin if name in staged else self._store.versions(name)[-1].origin

    def _unreadable(self, snapshot: Snapshot) -> dict[str, Fault]:
        """What a discoverer could not take, and has not said before."""
        return {name: fault for name, fault in snapshot.refused.items() if self._refused.get(name) != fault}

    def _differences(self, discoverer: Discoverer, snapshot: Snapshot) -> Changes:
        """What a discoverer sees that does not run, without what a rollback holds back."""
        self._forget_gone(discoverer, snapshot)
        holds = self._store.holds()
        mine = {name for name, version in self.active.items() if version.origin == discoverer.name}
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
            if seen == _hash(self.active.get(name)):
                self._refused.pop(name, None)
                running.append(name)
            else:
                changes[name] = content
        for name in running:
            # An error that came from a library stays as long as the library is refused.
            libraries = self.loaded[name].libraries if name in self.loaded else ()
            if name not in self._broken and self._refused.keys().isdisjoint(libraries):
                self.errors.pop(name, None)
        return changes

    def _forget_gone(self, discoverer: Discoverer, snapshot: Snapshot) -> None:
        """Forget what was refused, never ran, and is not there any more."""
        before = self._seen.get(discoverer.name, Snapshot({}, {}))
        for name in _names(before) - _names(snapshot) - self.active.keys():
            self._refused.pop(name, None)
            self.errors.pop(name, None)
        self._seen[discoverer.name] = snapshot

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
        effect = effect_of(changes, self.active, self.loaded, self._broken)
        reloaded = {name: self.active[name] for name, kind in effect.kinds.items() if kind == "reloaded"}
        return _Attempt(reason, changes, {**staged, **reloaded}, effect)

    async def _deploy(self, attempt: _Attempt, left_out: Mapping[str, Fault]) -> Notice:
        """Check, prepare, commit. Raises :class:`ChangeRefused`; then everything is as before."""
        loaded, plan = await self._check(attempt)
        with attempt.step("prepare"):
            try:
                await self._lanes.prepare(plan)
            except LaneDied as error:
                raise _died(plan, error) from error
        with attempt.step("commit"):
            records = attempt.records({}) | self._left_out(left_out)
            self._store.record_committed(attempt.reason, records, attempt.seconds)
            self._take(attempt, loaded, plan.generation)
            await self._lanes.commit(plan)
        self.errors.update(left_out)
        notice = Notice(plan.generation, attempt.reason, attempt.effect.kinds, dict(left_out), attempt.seconds)
        self._notify("trimtab_generation_committed", notice)
        return notice

    async def _check(self, attempt: _Attempt) -> tuple[dict[str, LoadedScript], Plan]:
        plan = self._plan(attempt)
        with attempt.step("check"):
            if not plan.reload:
                return {}, plan
            libraries = [name for name in self.active if is_library(name) and name not in attempt.changes]
            reloaded = [name for name in plan.reload if name not in attempt.changes]
            there = {name: self._store.content(self.active[name].hash) for name in [*libraries, *reloaded]}
            candidate = Plan(plan.generation, {**there, **plan.upserts}, [], plan.reload, plan.settings)
            try:
                loaded, faults = await self._lanes.check(candidate)
            except LaneDied as error:
                raise _died(plan, error) from error
        still_broken = faults.keys() & (self._broken - attempt.changes.keys())
        if faults.keys() - still_broken:
            raise ChangeRefused(faults)
        for name in still_broken:
            del attempt.effect.kinds[name]
            plan.reload.remove(name)
        return loaded, plan

    def _plan(self, attempt: _Attempt) -> Plan:
        changes = attempt.changes
        settings = changes.get(SETTINGS)
        try:
            tree = self._expand(settings) if settings is not None else ({} if SETTINGS in changes else None)
        except ConfigurationError as error:
            raise ChangeRefused({SETTINGS: Fault("ConfigurationError", str(error))}) from error
        return Plan(
            generation=self._store.next_number(),
            upserts={n: c for n, c in changes.items() if c is not None and n != SETTINGS},
            deletes=[n for n, c in changes.items() if c is None and n != SETTINGS],
            reload=attempt.effect.reload,
            settings=tree,
        )

    def _take(self, attempt: _Attempt, loaded: Mapping[str, LoadedScript], generation: int) -> None:
        """Make the attempt the running generation, in the books."""
        self.generation = generation
        for name in attempt.changes:
            if name in attempt.versions:
                self.active[name] = attempt.versions[name]
            else:
                self.active.pop(name, None)
                self.loaded.pop(name, None)
            self.errors.pop(name, None)
            self._refused.pop(name, None)
            self.rolled_back.discard(name)
            self._broken.discard(name)
        for name in loaded:
            self.errors.pop(name, None)
            self._broken.discard(name)
        self.loaded.update(loaded)

    def _refuse(self, attempt: _Attempt, faults: Mapping[str, Fault]) -> None:
        others = {name: fault for name, fault in faults.items() if name not in attempt.effect.kinds}
        records = attempt.records(faults) | self._left_out(others)
        number = self._store.record_refused(attempt.reason, records, attempt.seconds)
        self.errors.update(faults)
        self._refused |= {**others, **_digests(attempt.changes)}
        kinds = {name: record.kind for name, record in records.items()}
        self._notify("trimtab_change_refused", Notice(number, attempt.reason, kinds, faults, attempt.seconds))

    def _left_out(self, faults: Mapping[str, Fault]) -> dict[str, Change]:
        """What the history keeps of artifacts that were not staged."""
        return {n: Change("changed" if n in self.active else "added", None, fault) for n, fault in faults.items()}


def _died(plan: Plan, error: LaneDied) -> ChangeRefused:
    return ChangeRefused({name: Fault("LaneDied", str(error), name) for name in plan.reload})


def _digests(changes: Changes) -> dict[str, str | None]:
    return {name: digest(content) for name, content in changes.items()}


def _hash(version: Version | None) -> str | None:
    return None if version is None else version.hash


def _names(snapshot: Snapshot) -> set[str]:
    return {*snapshot.artifacts, *snapshot.refused}


async def _restore(name: str, content: bytes | None, discoverers: Iterable[Discoverer], origin: str | None) -> bool:
    """Have the discoverer that the name comes from put the bytes back."""
    for discoverer in discoverers:
        if discoverer.name == origin:
            return await discoverer.restore(name, content)
    return False
