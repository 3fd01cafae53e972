"""Problem 4: the database moves to another address."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.e2e.project import eventually, running
from tests.scenarios.fleet import Fleet, Traffic, assert_one_run
from tests.servers.programs import free_port
from tests.servers.sql_servers import PostgresServer

TOWN = {"name": "town", "lat": 52.52, "lon": 13.40, "radius_km": 5}
HARBOUR = {**TOWN, "name": "harbour"}
RESOURCE = "resources.sql.fleet"


def copy(old: PostgresServer, new: PostgresServer) -> None:
    """Copy the database as its administrator would."""
    pipe = 'set -o pipefail; pg_dump "$0" | psql --quiet --set ON_ERROR_STOP=1 "$1"'
    subprocess.run(["bash", "-c", pipe, old.url, new.url], stdout=subprocess.DEVNULL, check=True)


def move(fleet: Fleet, old: int, new: int) -> None:
    fleet.edit(f":{old}/", f":{new}/")


def error(fleet: Fleet) -> str | None:
    said: str | None = fleet.status()["resources"]["sql.fleet"]["error"]
    return said


def test_it_moves_at_one_point_and_the_old_server_can_go(
    tmp_path: Path, postgres: PostgresServer, second_postgres: PostgresServer
) -> None:
    fleet = Fleet(tmp_path, database=f'url = "{postgres.url}"')
    with running(fleet), Traffic(fleet) as traffic:
        fleet.tell("fences", TOWN)
        first = traffic.go_on()
        copy(postgres, second_postgres)
        move(fleet, postgres.port, nobody := free_port())
        assert str(nobody) in eventually(lambda: error(fleet), "an address where nobody answers is refused")
        move(fleet, nobody, second_postgres.port)
        moved = fleet.change(RESOURCE)
        postgres.stop()
        try:
            fleet.tell("fences", HARBOUR)
            second = traffic.go_on()
            refused = fleet.trimtab("rollback", RESOURCE, check=False)
            assert refused.returncode == 1, "nobody answers there any more"
            last = traffic.go_on()
        finally:
            postgres.start()
        fleet.trimtab("rollback", RESOURCE)
        back = fleet.change(RESOURCE, 2)
        traffic.go_on()
        handled = traffic.handled()
    assert_one_run(fleet.alarms("geofence", fence="town"), range(first, traffic.sent))  # what was copied is found
    in_harbour = fleet.alarms("geofence", fence="harbour")
    assert_one_run(in_harbour, range(second, last))
    assert {moved <= handled[number] < back for number in in_harbour} == {True}, "what is new is in the new one"
