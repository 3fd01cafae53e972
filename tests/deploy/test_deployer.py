"""The deployer with a real store: what is refused, what gets another chance, what a rollback holds back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import msgspec
import pytest

from trimtab.api import Discoverer, Fault, Notice, Snapshot
from trimtab.artifacts.store import ArtifactStore
from trimtab.deploy.deployer import Deployer
from trimtab.engine.engine import LoadedScript, Plan
from trimtab.errors import ChangeRefused, UsageError


class Folder(Discoverer):
    """A folder in memory."""

    name = "folder"

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.refused: dict[str, Fault] = {}
        self.writable = True

    async def scan(self) -> Snapshot:
        return Snapshot(dict(self.files), dict(self.refused))

    async def wait(self) -> None:
        raise NotImplementedError

    async def restore(self, name: str, content: bytes | None) -> bool:
        if self.writable and content is None:
            self.files.pop(name, None)
        elif self.writable and content is not None:
            self.files[name] = content
        return self.writable


class MemoryLanes:
    """Lanes for scripts of a few words: ``broken`` cannot be loaded, ``closed`` cannot be opened, ``needs W`` can only
    be loaded with the word W in the library ``_lib.py``.
    """

    def __init__(self) -> None:
        self.may_prepare = asyncio.Event()
        self.may_prepare.set()
        self.outage = False
        """What libraries need cannot be had."""

    async def check(self, plan: Plan) -> tuple[dict[str, LoadedScript], dict[str, Fault]]:
        library = b"" if self.outage else plan.upserts.get("_lib.py", b"")
        faults = {name: Fault("SyntaxError", "broken", name) for name in plan.reload if not _loads(plan, name, library)}
        used = {name: ["_lib.py"] if plan.upserts[name].startswith(b"needs") else [] for name in plan.reload}
        return {name: LoadedScript("v", [], used[name]) for name in plan.reload if name not in faults}, faults

    async def prepare(self, plan: Plan) -> None:
        await self.may_prepare.wait()
        faults = {name: Fault("ConnectionError", "closed", name) for name, c in plan.upserts.items() if b"closed" in c}
        if faults:
            raise ChangeRefused(faults)

    async def commit(self, plan: Plan) -> None:
        pass

    def unrestored(self) -> set[str]:
        return set()


def _loads(plan: Plan, name: str, library: bytes) -> bool:
    words = plan.upserts[name].split()
    return b"broken" not in words and (words[0] != b"needs" or words[1] in library.split())


class Host:
    """What a test drives: a folder, and the deployer of one start of the host after another."""

    def __init__(self, store: ArtifactStore) -> None:
        self._store = store
        self.folder = Folder()
        self.lanes = MemoryLanes()
        self.notices: list[tuple[str, Notice]] = []

    async def start(self) -> None:
        self.deployer = Deployer(
            self._store,
            self.lanes,
            lambda source, _name: msgspec.json.decode(source),
            lambda *told: self.notices.append(told),
        )
        await self.deployer.learn()
        await self.deployer.start([self.folder])

    async def save(self, **files: str | None) -> None:
        """Save files (``a`` is ``a.py``; None: delete) as one change set."""
        for stem, text in files.items():
            if text is None:
                del self.folder.files[f"{stem}.py"]
            else:
                self.folder.files[f"{stem}.py"] = text.encode()
        await self.deployer.offer(self.folder)

    async def rollback(self, name: str, to: str | None = None) -> None:
        await self.deployer.rollback(name, to, [self.folder])

    def running(self) -> dict[str, str]:
        return {name: self._store.content(version.hash).decode() for name, version in self._store.active().items()}


Drive = Callable[[Host], Coroutine[Any, Any, None]]


@pytest.fixture
def drive(tmp_path: Path) -> Callable[[Drive], None]:
    """Run a test's steps with a host that has started on an empty folder."""

    async def steps(test: Drive) -> None:
        with ArtifactStore(tmp_path / "artifacts.db") as store:
            host = Host(store)
            await host.start()
            await test(host)

    return lambda test: asyncio.run(steps(test))


def test_a_script_that_cannot_be_opened_keeps_no_later_one_from_being_taken(drive: Callable[[Drive], None]) -> None:
    async def test(host: Host) -> None:
        await host.save(a="1", b="1")
        await host.save(a="closed")
        await host.save(b="2")
        assert host.running() == {"a.py": "1", "b.py": "2"}
        assert host.deployer.book.errors["a.py"].name == "ConnectionError"
        await host.save(a="3")
        assert host.running() == {"a.py": "3", "b.py": "2"}
        assert host.deployer.book.errors == {}

    drive(test)


def test_what_was_refused_may_become_good_together_with_what_comes_next(drive: Callable[[Drive], None]) -> None:
    async def test(host: Host) -> None:
        await host.save(_lib="one", a="needs one")
        await host.save(_lib="two")
        assert host.running() == {"_lib.py": "one", "a.py": "needs one"}
        await host.save(a="needs two")
        assert host.running() == {"_lib.py": "two", "a.py": "needs two"}

    drive(test)


@pytest.mark.parametrize("before", [None, "1"], ids=["deleted again", "back to what runs"])
def test_the_company_of_a_refused_file_is_taken_once_that_file_is_gone(
    drive: Callable[[Drive], None], before: str | None
) -> None:
    async def test(host: Host) -> None:
        if before is not None:
            await host.save(bad=before)
        await host.save(other="broken")
        await host.save(bad="broken", good="2")
        assert "good.py" not in host.running()
        await host.save(other="broken still")
        assert "good.py" not in host.running()
        await host.save(bad=before)
        assert host.running().get("good.py") == "2"
        assert set(host.deployer.book.errors) == {"other.py"}

    drive(test)


def test_a_refused_rollback_leaves_what_an_earlier_one_holds_back(drive: Callable[[Drive], None]) -> None:
    async def test(host: Host) -> None:
        await host.save(a="closed")
        await host.save(a="1")
        await host.save(a="2")
        host.folder.writable = False
        await host.rollback("a.py")
        with pytest.raises(ChangeRefused):
            await host.rollback("a.py", "#1")
        await host.save(b="1")
        assert host.running() == {"a.py": "1", "b.py": "1"}
        await host.start()
        assert host.running() == {"a.py": "1", "b.py": "1"}

    drive(test)


def test_a_change_found_during_a_rollback_does_not_bring_the_bad_bytes_back(drive: Callable[[Drive], None]) -> None:
    async def test(host: Host) -> None:
        await host.save(a="1")
        await host.save(a="2")
        host.lanes.may_prepare.clear()
        rollback = asyncio.create_task(host.rollback("a.py"))
        await asyncio.sleep(0)
        offer = asyncio.create_task(host.save(b="1"))
        await asyncio.sleep(0)
        host.lanes.may_prepare.set()
        await asyncio.gather(rollback, offer)
        assert host.running() == {"a.py": "1", "b.py": "1"}
        committed = [notice.changes for hook, notice in host.notices if hook == "trimtab_generation_committed"]
        assert committed[2:] == [{"a.py": "changed"}, {"b.py": "added"}]

    drive(test)


def test_a_script_that_loads_no_more_says_so_and_comes_back_with_its_library(drive: Callable[[Drive], None]) -> None:
    async def test(host: Host) -> None:
        await host.save(_lib="one", a="needs one", b="1")
        host.lanes.outage = True
        await host.start()
        assert host.deployer.book.errors["a.py"].name == "SyntaxError"
        host.lanes.outage = False
        await host.save(_lib="other")
        assert host.running()["_lib.py"] == "other"
        assert "a.py" in host.deployer.book.errors
        await host.save(_lib="one again")
        assert host.deployer.book.errors == {}
        assert host.notices[-1][1].changes == {"_lib.py": "changed", "a.py": "reloaded"}

    drive(test)


def test_a_refused_file_that_is_gone_at_the_next_start_is_not_rejected_any_more(drive: Callable[[Drive], None]) -> None:
    async def test(host: Host) -> None:
        await host.save(a="1", b="broken")
        await host.save(b="broken 2")
        assert "b.py" in host.deployer.book.errors
        del host.folder.files["b.py"]
        await host.start()
        assert "b.py" not in host.deployer.book.errors

    drive(test)


def test_a_name_with_one_version_cannot_be_rolled_back_to_nothing(drive: Callable[[Drive], None]) -> None:
    async def test(host: Host) -> None:
        await host.save(a="1")
        with pytest.raises(UsageError, match="expected a version that ran before, got none"):
            await host.rollback("a.py")
        assert host.running() == {"a.py": "1"}

    drive(test)
