"""Problem 3: a new way to tell people, a push into an app, is added while the host runs."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.e2e.project import eventually, running
from tests.http.http_servers import Reply, Site
from tests.scenarios.fleet import Fleet, Traffic


@pytest.fixture
def service() -> Iterator[Site]:
    """The push service."""
    site = Site()
    with site.serving():
        yield site


def declare(fleet: Fleet, url: str) -> None:
    with fleet.config.open("a") as file:
        file.write(f'\n[resources.http.push]\nbase_url = "{url}"\n')


def drop_in(fleet: Fleet) -> None:
    fleet.save("push.ts", (fleet.scripts / "_drafts" / "push.ts").read_bytes())


def test_what_is_dropped_in_pushes_each_report_of_its_generations_once(fleet: Fleet, service: Site) -> None:
    with running(fleet), Traffic(fleet, speed=120) as traffic:
        declare(fleet, service.url)
        fleet.change("resources.http.push")
        drop_in(fleet)
        added = fleet.change("push.ts")
        traffic.go_on()
        (fleet.scripts / "push.ts").unlink()
        taken_away = fleet.change("push.ts", 2)
        traffic.go_on()
        handled = traffic.handled()
        pushed = [json.loads(visit.body)["at"] for visit in service.visits]
        of_its_generations = [number for number, generation in handled.items() if added <= generation < taken_away]
        assert sorted(pushed) == sorted(of_its_generations)
        assert len({visit.headers["idempotency-key"] for visit in service.visits}) == len(pushed)
        assert {visit.path for visit in service.visits} == {"/app"}


def test_without_its_resource_it_is_refused_and_pushes_nothing(fleet: Fleet) -> None:
    with running(fleet), Traffic(fleet, speed=120) as traffic:
        drop_in(fleet)
        error = eventually(lambda: fleet.script("push.ts").get("error"), "it is refused")
        assert "[resources.http.push]" in error
        traffic.go_on()
        assert set(traffic.handled().values()) == {1}


def test_what_a_service_has_refused_is_pushed_again_by_a_replay(fleet: Fleet, service: Site) -> None:
    service.answer = lambda _visit: Reply(500)
    with running(fleet), Traffic(fleet, speed=120) as traffic:
        declare(fleet, service.url)
        fleet.change("resources.http.push")
        drop_in(fleet)
        added = fleet.change("push.ts")
        eventually(fleet.letters, "a push fails")
        service.answer = lambda _visit: Reply(200)
        traffic.end()
        fleet.trimtab("dead-letters", "replay", "--script", "push.ts")
        handled = traffic.handled()
        pushed = {json.loads(visit.body)["at"] for visit in service.visits}
        assert pushed == {number for number, generation in handled.items() if generation >= added}
