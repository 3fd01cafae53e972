"""The one road of every change: stage, check, prepare, commit."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Protocol

from trimtab.api import Notice
from trimtab.artifacts.names import artifact_name, is_loaded, is_settings
from trimtab.artifacts.records import Change, Reason, Version
from trimtab.artifacts.store import ArtifactStore
from trimtab.deploy.attempt import Attempt
from trimtab.deploy.book import Book
from trimtab.deploy.changeset import Changes, effect_of, explain
from trimtab.deploy.plans import Expand, is_file, lenient, resources_of, settings_of, strict
from trimtab.engine.engine import LoadedScript, Plan
from trimtab.errors import ChangeRefused, Fault, LaneDied

STAGED_AT_ONCE = 500
"""Versions that are stored in one piece; in between, the events go on."""

Loaded = dict[str, LoadedScript]
Faults = dict[str, Fault]


class Lanes(Protocol):
    """The lanes, and the scratch processes, as a deployment needs them."""

    async def check(self, plan: Plan) -> tuple[Loaded, Faults]:
        """Load what a plan loads where it can do no harm. Returns what could be loaded, and what could not."""

    async def prepare(self, plan: Plan) -> None:
        """Build the next generation in every lane. Raises :class:`ChangeRefused`; then no lane has it."""

    async def commit(self, plan: Plan) -> None:
        """Switch every lane at one cut in the order of the events, and wait until all have switched."""

    def unrestored(self) -> set[str]:
        """The artifacts that some lane could not restore when it was started anew."""


class Road:
    """Takes one attempt after another to its end. What becomes of each is in the store, in the book, and notified."""

    def __init__(
        self,
        store: ArtifactStore,
        book: Book,
        lanes: Lanes,
        expand: Expand,
        notify: Callable[[str, Notice], None],
    ) -> None:
        self._store, self._book, self._lanes = store, book, lanes
        self._expand = expand
        self._notify = notify

    # --- the first step ---

    async def stage(self, reason: Reason, changes: Changes, origins: Mapping[str, str]) -> Attempt:
        """Give the bytes of a change set their versions. ``origins``: the discoverer of each name."""
        staged: dict[str, Version] = {}
        contents = [(name, content) for name, content in changes.items() if content is not None]
        for start in range(0, len(contents), STAGED_AT_ONCE):
            some = contents[start : start + STAGED_AT_ONCE]
            for origin in {origins[name] for name, _ in some}:
                staged |= self._store.stage_all({n: c for n, c in some if origins[n] == origin}, origin)
            await asyncio.sleep(0)
        return self.attempt(reason, changes, staged)

    def attempt(self, reason: Reason, changes: Changes, staged: Mapping[str, Version]) -> Attempt:
        """Return the attempt to make some changes, whose bytes have these versions."""
        effect = effect_of(changes, self._book.active, self._book.loaded, filter(is_loaded, self._broken()))
        reloaded = {name: self._book.active[name] for name, kind in effect.kinds.items() if kind == "reloaded"}
        return Attempt(reason, changes, {**staged, **reloaded}, effect)

    # --- the rest of it ---

    async def deploy(self, attempt: Attempt, left_out: Mapping[str, Fault]) -> Notice:
        """Commit an attempt as a whole. Raises :class:`ChangeRefused`; then everything is as before.

        ``left_out``: what the generation is to say that it lacks, and why.
        """
        plan = self._plan(attempt)
        try:
            loaded, faults = await self._check(attempt, plan)
            if faults:
                raise ChangeRefused(faults)
            await self._prepare(attempt, plan)
        except LaneDied as error:
            raise ChangeRefused(_died(attempt, error)) from error
        return await self._commit(attempt, plan, loaded, left_out)

    async def deploy_each(self, attempt: Attempt) -> Faults:
        """Commit the changes of an attempt that can run, as one generation. Returns why the others cannot.

        All are checked together. Where a lane dies of some that passed, they are tried in halves, which are generations
        of their own, until the one is found.
        """
        try:
            return await self._deploy_what_can(attempt)
        except ChangeRefused as refusal:  # for something else than one of the changes
            return explain(attempt.changes, refusal)
        except LaneDied as error:
            if len(attempt.changes) == 1:
                return _died(attempt, error)
            first, second = attempt.halves()
            return {**await self.deploy_each(first), **await self.deploy_each(second)}

    async def _deploy_what_can(self, attempt: Attempt) -> Faults:
        """Raises :class:`LaneDied`, and :class:`ChangeRefused` for what is no fault of any of the changes."""
        plan = self._plan(attempt)
        loaded, faults = await self._check(attempt, plan)
        refused: Faults = {}
        while True:
            if not faults.keys() <= attempt.changes.keys():
                raise ChangeRefused(faults)
            refused |= faults
            if faults:
                attempt = attempt.without(faults)
                plan = self._plan(attempt)
            if not attempt.changes:
                return refused
            try:
                await self._prepare(attempt, plan)
            except ChangeRefused as refusal:
                faults = dict(refusal.faults)
            else:
                kept = {name: script for name, script in loaded.items() if name in attempt.effect.kinds}
                await self._commit(attempt, plan, kept, {})
                return refused

    def refuse(self, attempt: Attempt, faults: Mapping[str, Fault]) -> None:
        """Enter that an attempt was refused. ``faults`` may name more: what could not even be staged."""
        others = {name: fault for name, fault in faults.items() if name not in attempt.effect.kinds}
        records = attempt.records(faults) | self._left_out(others)
        number = self._store.record_refused(attempt.reason, records, attempt.seconds)
        self._book.refuse(faults, attempt.changes, others)
        kinds = {name: record.kind for name, record in records.items()}
        self._notify("trimtab_change_refused", Notice(number, attempt.reason, kinds, faults, attempt.seconds))

    def tell_taken(self, faults: Mapping[str, Fault]) -> None:
        """Enter that names of one place belong to another."""
        if faults:
            records = self._left_out(faults)
            number = self._store.record_refused("change", records, {})
            kinds = {name: record.kind for name, record in records.items()}
            self._notify("trimtab_change_refused", Notice(number, "change", kinds, dict(faults), {}))

    # --- steps ---

    async def _check(self, attempt: Attempt, plan: Plan) -> tuple[Loaded, Faults]:
        """Raises :class:`LaneDied`. What was broken before and is broken still is no fault, and not to be loaded."""
        with attempt.step("check"):
            if not plan.reload and not plan.resources:
                return {}, {}
            loaded, faults = await self._lanes.check(self._candidate(attempt, plan))
        still_broken = faults.keys() & (self._broken() - attempt.changes.keys())
        for name in still_broken & attempt.effect.kinds.keys():
            del attempt.effect.kinds[name]
            plan.reload.remove(name)
        return loaded, {name: fault for name, fault in faults.items() if name not in still_broken}

    async def _prepare(self, attempt: Attempt, plan: Plan) -> None:
        with attempt.step("prepare"):
            try:
                await self._lanes.prepare(plan)
            except LaneDied:
                if plan.reload:
                    raise
                await self._lanes.prepare(plan)  # it loads nothing that a lane could have died of

    async def _commit(self, attempt: Attempt, plan: Plan, loaded: Loaded, left_out: Mapping[str, Fault]) -> Notice:
        with attempt.step("commit"):
            records = attempt.records({}) | self._left_out(left_out)
            self._store.record_committed(attempt.reason, records, attempt.seconds)
            self._book.take(plan.generation, attempt.changes, attempt.versions, loaded)
            await self._lanes.commit(plan)
        self._book.errors.update(left_out)
        notice = Notice(plan.generation, attempt.reason, attempt.effect.kinds, dict(left_out), attempt.seconds)
        self._notify("trimtab_generation_committed", notice)
        return notice

    # --- plans ---

    def _plan(self, attempt: Attempt) -> Plan:
        """Raises :class:`ChangeRefused` for a part of the configuration that cannot be expanded."""
        changes, expand = attempt.changes, strict(self._expand)
        resources = resources_of(changes, expand)
        # At a start only what was refused before: the rest may come up later than the host.
        probed = {
            name: options
            for name, options in resources.items()
            if attempt.reason != "start" or artifact_name(name) in self._book.refused
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

    def _candidate(self, attempt: Attempt, plan: Plan) -> Plan:
        """The plan for a process in which nothing runs yet: with all libraries, and the whole configuration."""
        libraries = self._book.active.of_kind("library") - attempt.changes.keys()
        reloaded = [name for name in plan.reload if name not in attempt.changes]
        there = {name: self._store.content(self._book.active[name].hash) for name in [*libraries, *reloaded]}
        configured = self._configured(attempt.changes)
        return Plan(
            generation=plan.generation,
            upserts={**there, **plan.upserts},
            deletes=[],
            reload=plan.reload,
            settings=settings_of(configured, lenient(self._expand)),
            resources=resources_of(configured, lenient(self._expand)),
            probes=plan.probes,
        )

    def _configured(self, changes: Changes) -> Changes:
        """The settings and resources that there are with a change set."""
        names = self._book.active.of_kind("settings", "resource")
        running = {name: self._store.content(self._book.active[name].hash) for name in names}
        return {**running, **{name: content for name, content in changes.items() if not is_file(name)}}

    def _broken(self) -> set[str]:
        """What runs in name only: what could not be loaded at the start, and what some lane could not restore."""
        return self._book.broken | self._lanes.unrestored()

    def _left_out(self, faults: Mapping[str, Fault]) -> dict[str, Change]:
        """What the history keeps of artifacts that were not staged."""
        there = self._book.active
        return {n: Change("changed" if n in there else "added", None, fault) for n, fault in faults.items()}


def _died(attempt: Attempt, error: LaneDied) -> Faults:
    return {name: Fault("LaneDied", str(error), name) for name in attempt.effect.kinds}
