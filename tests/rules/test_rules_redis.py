"""Rules in a Redis hash: what a field may hold, what is refused alone, and what is heard."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.discovery.held_places import context
from tests.rules.rules_kit import Looks, documents, looking, outage_of, rules_of, snapshot_of
from tests.servers.redis_servers import RedisServer
from trimtab.api import Discoverer
from trimtab.plugins.rules import create_redis
from trimtab.plugins.rules.options import RedisRulesOptions

BARE: dict[str, Any] = {"nodes": [], "edges": []}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with RedisServer(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture
def server(running: RedisServer) -> RedisServer:
    running.ask("FLUSHALL")
    return running


def discoverer(server: RedisServer, **options: Any) -> Discoverer:
    given: dict[str, Any] = {"url": server.url, "poll": "1h", "timeout": "5s", **options}
    return create_redis(RedisRulesOptions(**given), "central", context(Path("/")))


def test_a_field_is_an_id_and_holds_a_document_or_the_pattern_alone(server: RedisServer) -> None:
    document = {"version": 3, "pattern": json.dumps(BARE), "function": "emit:out", "parameters": {"limit": 5}}
    server.ask("HSET", "detection", "heating", json.dumps(document), "racks/7", json.dumps(BARE))
    assert rules_of(discoverer(server, key="detection")) == {
        "heating.rule.json": {**document, "id": "heating", "pattern": BARE},
        "racks%2F7.rule.json": {"id": "racks/7", "pattern": BARE},
    }


def test_a_document_may_say_that_it_is_deleted_and_a_field_that_is_gone_is_too(server: RedisServer) -> None:
    gone = json.dumps({"version": 3, "pattern": BARE, "is_deleted": True})
    server.ask("HSET", "rules", "a", json.dumps(BARE), "b", gone, "c", json.dumps(BARE))

    async def work(looks: Looks) -> None:
        assert set(await looks.rules()) == {"a.rule.json", "c.rule.json"}
        server.ask("HDEL", "rules", "c")
        assert set(await looks.rules()) == {"a.rule.json"}

    looking(discoverer(server), work)


def test_a_bad_field_is_handed_on_for_its_reason_to_be_told_and_keeps_no_other_one_back(server: RedisServer) -> None:
    other = json.dumps({"id": "b", "pattern": BARE})
    server.ask("HSET", "rules", "good", json.dumps(BARE), "text", "{nodes", "list", "[1]", "other", other)
    server.ask("EVAL", r"return redis.call('HSET', 'rules', 'bytes', '\255')", "0")
    found = snapshot_of(discoverer(server))
    assert documents(found) == {
        "good.rule.json": {"id": "good", "pattern": BARE},
        "text.rule.json": {"id": "text", "pattern": "{nodes"},
        "list.rule.json": {"id": "list", "pattern": [1]},
        "bytes.rule.json": {"id": "bytes", "pattern": "\\xff"},
    }
    assert {name: fault.message for name, fault in found.refused.items()} == {
        "other.rule.json": "$.id: expected 'other', by which the place knows it, got 'b'"
    }


def test_a_hash_that_is_not_there_is_no_hash_without_rules(server: RedisServer) -> None:
    """A server that has lost its data must not take the rules away."""
    server.ask("HSET", "rules", "a", json.dumps(BARE))

    async def work(looks: Looks) -> None:
        await looks.rules()
        server.ask("FLUSHALL")
        said = await looks.outage()
        assert f"discoverers.central: expected Redis ({server.address}) to have the hash rules, got no such key" in said

    looking(discoverer(server), work)


def test_a_key_that_is_no_hash_is_an_outage(server: RedisServer) -> None:
    server.ask("SET", "rules", "1")
    assert "to answer HGETALL rules, got WRONGTYPE" in outage_of(discoverer(server))


def test_a_field_that_has_not_changed_is_the_same_object(server: RedisServer) -> None:
    server.ask("HSET", "rules", "a", json.dumps(BARE), "b", json.dumps(BARE))

    async def work(looks: Looks) -> None:
        before = (await looks.snapshot()).artifacts
        assert (await looks.snapshot()).artifacts is before
        server.ask("HSET", "rules", "b", json.dumps({"version": 2, "pattern": BARE}))
        after = (await looks.snapshot()).artifacts
        assert after["a.rule.json"] is before["a.rule.json"]

    looking(discoverer(server), work)


def test_a_message_on_the_channel_is_heard_at_once(server: RedisServer) -> None:
    server.ask("HSET", "rules", "a", json.dumps(BARE))
    change = "redis.call('HSET', 'rules', 'b', '{}'); redis.call('PUBLISH', 'changes', '')"

    async def work(looks: Looks) -> None:
        await looks.rules()
        assert set(await looks.told(partial(server.ask, "EVAL", change, "0"))) == {"a.rule.json", "b.rule.json"}

    looking(discoverer(server, channel="changes"), work)
