"""The deployer and what comes from the configuration: settings, resources, and places that may be out of reach."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import msgspec
import pytest

from trimtab.api import Discoverer, Fault, OutsideError, Snapshot
from trimtab.artifacts.store import ArtifactStore
from trimtab.deploy.deployer import Deployer
from trimtab.engine.engine import LoadedScript, Plan
from trimtab.errors import ChangeRefused


class Place(Discoverer):
    """A place in memory."""

    def __init__(self, name: str, **artifacts: Any) -> None:
        self.name = name
        self.artifacts = {key: msgspec.json.encode(value) for key, value in artifacts.items()}
        self.outage: OutsideError | None = None

    async def scan(self) -> Snapshot:
        if self.outage is not None:
            raise self.outage
        return Snapshot(dict(self.artifacts), {})

    async def wait(self) -> None:
        raise NotImplementedError

    async def restore(self, name: str, content: bytes | None) -> bool:
        return False

    def put(self, name: str, value: Any) -> None:
        self.artifacts[name] = msgspec.json.encode(value)


class RecordingLanes:
    """Keeps the plans. A resource whose url is "silent" gives no sign of life."""

    def __init__(self) -> None:
        self.checked: list[Plan] = []
        self.prepared: list[Plan] = []

    async def check(self, plan: Plan) -> tuple[dict[str, LoadedScript], dict[str, Fault]]:
        self.checked.append(plan)
        silent = [name for name in plan.probes if (plan.resources[name] or {}).get("url") == "silent"]
        faults = {f"resources.{name}": Fault("ConnectionError", "silent") for name in silent}
        return {name: LoadedScript("v", [], []) for name in plan.reload}, faults

    async def prepare(self, plan: Plan) -> None:
        self.prepared.append(plan)

    async def commit(self, plan: Plan) -> None:
        pass

    def unrestored(self) -> set[str]:
        return set()


class Host:
    """What a test drives: places, and the deployer of one start of the host after another."""

    def __init__(self, store: ArtifactStore) -> None:
        self._store = store
        self.configuration = Place("configuration", settings={"a": {"b": 1, "c": 2}})
        self.center = Place("discoverers.center")
        self.lanes = RecordingLanes()

    async def start(self) -> Deployer:
        self.deployer = Deployer(self._store, self.lanes, lambda source, _name: msgspec.json.decode(source), _nobody)
        await self.deployer.learn()
        await self.deployer.start([self.configuration, self.center])
        return self.deployer

    async def offer(self, place: Place) -> None:
        await self.deployer.offer(place)

    @property
    def plan(self) -> Plan:
        """The last one that reached the lanes."""
        return self.lanes.prepared[-1]


def _nobody(_hook: str, _notice: object) -> None:
    pass


Drive = Callable[[Host], Coroutine[Any, Any, None]]


@pytest.fixture
def drive(tmp_path: Path) -> Callable[[Drive], None]:
    """Run a test's steps with a host that was not started yet."""

    async def steps(test: Drive) -> None:
        with ArtifactStore(tmp_path / "artifacts.db") as store:
            await test(Host(store))

    return lambda test: asyncio.run(steps(test))


def test_settings_from_elsewhere_lie_over_those_of_the_file_table_by_table(drive: Callable[[Drive], None]) -> None:
    async def test(host: Host) -> None:
        host.center.put("settings:center", {"a": {"c": 3}, "d": 4})
        await host.start()
        assert host.plan.settings == {"a": {"b": 1, "c": 3}, "d": 4}
        host.configuration.put("settings", {"a": {"b": 5}})
        await host.offer(host.configuration)
        assert host.plan.settings == {"a": {"b": 5, "c": 3}, "d": 4}
        host.center.artifacts.clear()
        await host.offer(host.center)
        assert host.plan.settings == {"a": {"b": 5}}

    drive(test)


def test_a_changed_resource_is_asked_for_a_sign_of_life_and_one_without_refuses_the_change(
    drive: Callable[[Drive], None],
) -> None:
    async def test(host: Host) -> None:
        host.configuration.put("resources.sql.orders", {"url": "one"})
        await host.start()
        assert host.plan.resources == {"sql.orders": {"url": "one"}}
        assert host.plan.probes == []  # nothing older runs that could go on instead
        host.configuration.put("resources.sql.orders", {"url": "silent"})
        host.configuration.put("settings", {"saved": "together"})
        await host.offer(host.configuration)
        assert host.lanes.checked[-1].probes == ["sql.orders"]
        assert host.deployer.book.generation == 1
        assert host.deployer.book.errors["resources.sql.orders"].message == "silent"
        host.configuration.put("resources.sql.orders", {"url": "two"})
        await host.offer(host.configuration)
        assert host.plan.resources == {"sql.orders": {"url": "two"}}
        assert host.plan.settings == {"saved": "together"}
        assert host.deployer.book.errors == {}

    drive(test)


def test_a_resource_that_is_taken_out_of_the_file_is_dropped_and_comes_back_by_rollback(
    drive: Callable[[Drive], None],
) -> None:
    async def test(host: Host) -> None:
        host.configuration.put("resources.sql.orders", {"url": "one"})
        await host.start()
        del host.configuration.artifacts["resources.sql.orders"]
        await host.offer(host.configuration)
        assert host.plan.resources == {"sql.orders": None}
        await host.deployer.rollback("resources.sql.orders", None, [host.configuration, host.center])
        assert host.plan.resources == {"sql.orders": {"url": "one"}}
        await host.offer(host.configuration)  # held back: it is still not in the file
        assert "resources.sql.orders" in host.deployer.book.active

    drive(test)


def test_a_rollback_to_an_address_that_does_not_answer_any_more_is_refused(drive: Callable[[Drive], None]) -> None:
    async def test(host: Host) -> None:
        host.configuration.put("resources.sql.orders", {"url": "silent"})
        await host.start()
        host.configuration.put("resources.sql.orders", {"url": "two"})
        await host.offer(host.configuration)
        with pytest.raises(ChangeRefused):
            await host.deployer.rollback("resources.sql.orders", None, [host.configuration])
        assert host.deployer.book.active["resources.sql.orders"].seq == 2

    drive(test)


def test_scripts_are_checked_with_the_settings_and_resources_that_there_will_be(
    drive: Callable[[Drive], None],
) -> None:
    async def test(host: Host) -> None:
        host.configuration.put("resources.sql.orders", {"url": "one"})
        await host.start()
        host.center.put("new.py", "def handle(): ...")
        await host.offer(host.center)
        checked = host.lanes.checked[-1]
        assert checked.resources == {"sql.orders": {"url": "one"}}
        assert checked.settings == {"a": {"b": 1, "c": 2}}
        assert (host.plan.resources, host.plan.settings) == ({}, None)

    drive(test)


def test_a_place_out_of_reach_keeps_the_last_good_and_says_so(drive: Callable[[Drive], None]) -> None:
    async def test(host: Host) -> None:
        host.center.put("settings:center", {"x": 1})
        await host.start()
        host.center.outage = OutsideError("center: refused", retryable=True)
        with pytest.raises(OutsideError):
            await host.offer(host.center)
        assert host.deployer.book.places.outages == {"discoverers.center": "center: refused"}
        again = await host.start()
        assert again.book.places.outages == {"discoverers.center": "center: refused"}
        assert "settings:center" in again.book.active
        host.center.outage = None
        await host.offer(host.center)
        assert again.book.places.outages == {}
        assert again.book.generation == 1

    drive(test)


def test_a_place_that_can_never_be_read_refuses_the_start(drive: Callable[[Drive], None]) -> None:
    async def test(host: Host) -> None:
        host.center.outage = OutsideError("center: too many", retryable=False)
        with pytest.raises(OutsideError, match="too many"):
            await host.start()

    drive(test)


def test_a_name_that_another_place_has_is_refused_and_the_first_one_stays(drive: Callable[[Drive], None]) -> None:
    async def test(host: Host) -> None:
        host.configuration.put("same.py", "one")
        await host.start()
        host.center.put("same.py", "two")
        await host.offer(host.center)
        assert host.deployer.book.active["same.py"].origin == "configuration"
        error = host.deployer.book.error("same.py")
        assert str(error) == (
            "NameTaken: expected a name of its own, got same.py, which configuration has too; rename one of them"
        )

    drive(test)


def test_a_rollback_holds_back_what_a_place_out_of_reach_still_has(drive: Callable[[Drive], None]) -> None:
    async def test(host: Host) -> None:
        host.center.put("settings:center", {"x": 1})
        await host.start()
        host.center.put("settings:center", {"x": 2})
        await host.offer(host.center)
        host.center.outage = OutsideError("center: refused", retryable=True)
        await host.start()
        await host.deployer.rollback("settings:center", None, [host.configuration, host.center])
        host.center.outage = None
        await host.offer(host.center)
        assert host.deployer.book.active["settings:center"].seq == 1

    drive(test)
