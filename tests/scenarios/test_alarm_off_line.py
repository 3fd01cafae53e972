"""Problem 5: a type of alarm is taken off line, and comes back."""

from __future__ import annotations

from tests.e2e.project import running
from tests.scenarios.fleet import Fleet, Traffic


def test_an_alarm_whose_script_is_removed_ends_at_one_point_and_a_rollback_brings_it_back(fleet: Fleet) -> None:
    with running(fleet), Traffic(fleet, fuel=5, speed=120) as traffic:
        content = (fleet.scripts / "low_fuel.py").read_bytes()
        (fleet.scripts / "low_fuel.py").unlink()
        off = fleet.change("low_fuel.py")
        traffic.go_on()
        assert fleet.script("low_fuel.py") == {}
        fleet.trimtab("rollback", "low_fuel.py")
        on = fleet.change("low_fuel.py", 2)
        traffic.go_on()
        assert (fleet.scripts / "low_fuel.py").read_bytes() == content
        assert fleet.script("low_fuel.py")["state"] == "rolled-back"
        handled = traffic.handled()
        reports = [number for number, generation in handled.items() if not off <= generation < on]
        assert sorted(fleet.alarms("fuel")) == sorted(reports)
        assert sorted(fleet.alarms("overspeed")) == list(range(traffic.sent)), "no other alarm is lost"
