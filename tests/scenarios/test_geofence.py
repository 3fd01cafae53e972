"""Problem 1: fences that users draw into a database."""

from __future__ import annotations

from tests.e2e.project import running
from tests.scenarios.fleet import Fleet, Traffic, assert_one_run

DEPOT = {"name": "depot", "lat": 52.52, "lon": 13.40, "radius_km": 5}


def test_a_fence_that_a_user_draws_holds_from_the_next_report_on_until_it_is_moved(fleet_on_each: Fleet) -> None:
    fleet = fleet_on_each
    with running(fleet), Traffic(fleet) as traffic:
        before = {number for number, _ in fleet.emitted()}
        fleet.tell("fences", DEPOT)
        first = traffic.go_on()
        last = traffic.sent
        fleet.tell("fences", {**DEPOT, "lat": 48.14, "lon": 11.58})
        after = traffic.go_on()
        handled = traffic.handled()
        fenced = fleet.alarms("geofence", fence="depot")
        assert_one_run(fenced, range(first, last))
        assert before.isdisjoint(fenced)
        assert max(fenced) < after
        assert set(handled.values()) == {1}, "no script is reloaded for it"


def test_a_fence_that_is_not_complete_is_a_dead_letter_and_harms_no_report(fleet: Fleet) -> None:
    with running(fleet), Traffic(fleet) as traffic:
        fleet.tell("fences", {"name": "nowhere"})
        fleet.tell("fences", DEPOT)
        first = traffic.go_on()
        last = traffic.sent
        (letter,) = fleet.letters()
        assert (letter["script"], letter["source"]) == ("fences.js", "fences")
        fleet.trimtab("dead-letters", "purge", "--all")
        traffic.handled()
        assert_one_run(fleet.alarms("geofence"), range(first, last))
