"""A deployer with a folder and a table of rules, both in memory, and lanes that are told what they cannot take."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any

from trimtab.api import Discoverer, Fault, Notice, OutsideError, Snapshot
from trimtab.artifacts.store import ArtifactStore
from trimtab.deploy.deployer import Deployer
from trimtab.engine.engine import LoadedScript, Plan
from trimtab.errors import ChangeRefused, LaneDied


class Shelf(Discoverer):
    """A place in memory; what did not change is the same object again."""

    def __init__(self, name: str, *, alone: bool) -> None:
        self.name, self.alone = name, alone
        self.artifacts: dict[str, bytes] = {}
        self.refused: dict[str, Fault] = {}
        self.outage: OutsideError | None = None

    async def scan(self) -> Snapshot:
        if self.outage is not None:
            raise self.outage
        return Snapshot(dict(self.artifacts), dict(self.refused))

    async def wait(self) -> None:
        raise NotImplementedError

    async def restore(self, name: str, content: bytes | None) -> bool:
        if self.alone:
            return False
        if content is None:
            self.artifacts.pop(name, None)
        else:
            self.artifacts[name] = content
        return True


class PickyLanes:
    """Bytes with the word ``bad`` are refused at the check, with ``shut`` when they are prepared; those with ``deadly``
    take down the lane that prepares them. ``needs NAME`` is refused while there is no script of that name.
    """

    def __init__(self) -> None:
        self.checked: list[Plan] = []
        self.prepared: list[Plan] = []
        self.scripts: set[str] = set()

    async def check(self, plan: Plan) -> tuple[dict[str, LoadedScript], dict[str, Fault]]:
        self.checked.append(plan)
        faults = {name: fault for name in plan.reload if (fault := self._fault(plan.upserts[name], name)) is not None}
        return {name: LoadedScript("v", [], []) for name in plan.reload if name not in faults}, faults

    def _fault(self, content: bytes, name: str) -> Fault | None:
        if b"bad" in content:
            return Fault("RuleError", f"expected a good rule, got {content.decode()}", name)
        needed = content.partition(b"needs ")[2].decode()
        return Fault("UnknownScript", f"expected {needed}", name) if needed and needed not in self.scripts else None

    async def prepare(self, plan: Plan) -> None:
        self.prepared.append(plan)
        if any(b"deadly" in content for content in plan.upserts.values()):
            raise LaneDied("the lane was killed by signal 11")
        shut = {name: Fault("OpenError", "shut", name) for name, content in plan.upserts.items() if b"shut" in content}
        if shut:
            raise ChangeRefused(shut)

    async def commit(self, plan: Plan) -> None:
        self.scripts.update(name for name in plan.upserts if name.endswith(".py"))

    def unrestored(self) -> set[str]:
        return set()


class RowsHost:
    """What a test drives."""

    def __init__(self, store: ArtifactStore) -> None:
        self.store = store
        self.folder = Shelf("folder", alone=False)
        self.table = Shelf("discoverers.table", alone=True)
        self.lanes = PickyLanes()
        self.notices: list[tuple[str, Notice]] = []

    async def start(self) -> None:
        """Start the host, again with what the store has kept."""
        self.deployer = Deployer(
            self.store, self.lanes, lambda _source, _name: {}, lambda *told: self.notices.append(told)
        )
        await self.deployer.learn()
        await self.deployer.start([self.folder, self.table])

    async def rows(self, **rows: str | None) -> None:
        """Write some rows (``a`` is ``a.rule.json``; None: gone) and have them looked at."""
        await self._offer(self.table, {f"{name}.rule.json": text for name, text in rows.items()})

    async def save(self, files: Mapping[str, str | None]) -> None:
        """Save files as one change set."""
        await self._offer(self.folder, files)

    async def _offer(self, place: Shelf, contents: Mapping[str, str | None]) -> None:
        for name, text in contents.items():
            if text is None:
                place.artifacts.pop(name, None)
            else:
                place.artifacts[name] = text.encode()
        await self.deployer.offer(place)

    async def rollback(self, name: str, to: str | None = None) -> None:
        """Roll a rule back."""
        await self.deployer.rollback(f"{name}.rule.json", to, [self.folder, self.table])

    def running(self) -> dict[str, str]:
        """The rules that run: their text by id."""
        return {
            name.removesuffix(".rule.json"): self.store.content(version.hash).decode()
            for name, version in self.store.active().items()
            if name.endswith(".rule.json")
        }

    def refusals(self) -> dict[str, str]:
        """The faults that the book knows, by id."""
        return {name.removesuffix(".rule.json"): fault.name for name, fault in self.deployer.book.errors.items()}

    def generations(self) -> list[tuple[str, dict[str, str]]]:
        """Outcome and changes of each generation, oldest first."""
        return [
            (record.outcome, {name.removesuffix(".rule.json"): change.kind for name, change in record.changes.items()})
            for record in reversed(self.store.generations(1000))
        ]


def drive(folder: Path, test: Callable[[RowsHost], Coroutine[Any, Any, None]]) -> None:
    """Run a test's steps with a host that was not started yet."""

    async def steps() -> None:
        with ArtifactStore(folder / "artifacts.db") as store:
            await test(RowsHost(store))

    asyncio.run(steps())
