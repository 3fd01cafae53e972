"""Problem 2: alarms by SMS or mail, as each user chooses."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.project import running
from tests.http.http_servers import Site
from tests.scenarios.fleet import Fleet, Traffic, assert_one_run, vehicle_of
from tests.servers.sql_servers import PostgresServer

BY_SMS = {"vehicle_id": "v1", "channel": "sms", "address": "+49 30 901820"}
BY_MAIL = {"vehicle_id": "v1", "channel": "mail", "address": "ann@example.com"}


class Messages:
    """What came to the files of the demo, or to the gateways of production."""

    def __init__(self, fleet: Fleet, gateways: Site | None) -> None:
        self.fleet = fleet
        self._gateways = gateways

    def by(self, channel: str) -> list[dict[str, Any]]:
        if self._gateways is None:
            return self.fleet.written(channel)
        visits = [visit for visit in self._gateways.visits if visit.path == f"/{channel}"]
        return [message for visit in visits for message in json.loads(visit.body)]

    def numbers(self, channel: str, address: object) -> list[int]:
        return [message["at"] for message in self.by(channel) if message["to"] == address]


@contextmanager
def in_production(folder: Path, server: PostgresServer) -> Iterator[Messages]:
    gateways = Site()
    with gateways.serving() as url:
        sinks = {name: f'[sinks.{name}]\ntype = "http"\nurl = "{url}/{name}"\n' for name in ("sms", "mail")}
        yield Messages(Fleet(folder, database=f'url = "{server.url}"', replaced=sinks), gateways)


def of_v1(first: int, last: int) -> list[int]:
    return [number for number in range(first, last) if vehicle_of(number) == "v1"]


@pytest.fixture(params=["embedded", "production"])
def messages(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Messages]:
    if request.param == "embedded":
        yield Messages(Fleet(tmp_path), None)
    else:
        with in_production(tmp_path, request.getfixturevalue("postgres")) as there:
            yield there


def test_a_choice_holds_from_the_next_alarm_on(messages: Messages) -> None:
    fleet = messages.fleet
    with running(fleet), Traffic(fleet, fuel=5) as traffic:
        fleet.tell("contacts", BY_SMS)
        first = traffic.go_on()
        last = traffic.sent
        fleet.tell("contacts", BY_MAIL)
        second = traffic.go_on()
        handled = traffic.handled()
        sms, mail = messages.numbers("sms", BY_SMS["address"]), messages.numbers("mail", BY_MAIL["address"])
        assert_one_run(sms, of_v1(first, last))
        assert_one_run(mail, of_v1(second, traffic.sent))
        assert_one_run(sms + mail, of_v1(first, traffic.sent))
        assert sorted(fleet.alarms("fuel")) == list(range(traffic.sent)), "no alarm is lost"
        assert {vehicle_of(number) for number in sms + mail} == {"v1"}, "nobody is told who has not asked for it"
        assert set(handled.values()) == {1}, "no script is reloaded for it"


def test_a_channel_that_there_is_not_is_a_dead_letter_and_the_choice_before_holds_on(fleet: Fleet) -> None:
    with running(fleet), Traffic(fleet, fuel=5) as traffic:
        fleet.tell("contacts", BY_MAIL)
        fleet.tell("contacts", {**BY_MAIL, "channel": "fax"})
        first = traffic.go_on()
        (letter,) = fleet.letters()
        assert (letter["script"], letter["fault"]["name"]) == ("contacts.js", "SqlError")
        fleet.trimtab("dead-letters", "purge", "--all")
        traffic.handled()
        assert_one_run([row["at"] for row in fleet.written("mail")], of_v1(first, traffic.sent))
