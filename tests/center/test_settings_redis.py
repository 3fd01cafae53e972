"""Settings in a Redis hash: what is taken, what is refused, and what is heard."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.center.center_kit import CONTEXT, heard, recovered, refusal, settings_of
from tests.servers.redis_servers import RedisCluster, RedisSentinel, RedisServer
from trimtab.api import Discoverer
from trimtab.plugins.center import create_redis
from trimtab.plugins.center.options import RedisHashOptions


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with RedisServer(tmp_path_factory.mktemp("redis"), {"notify-keyspace-events": "Kh"}) as server:
        yield server


@pytest.fixture
def server(running: RedisServer) -> RedisServer:
    running.ask("FLUSHALL")
    return running


def discoverer(url: str, **options: Any) -> Discoverer:
    given: dict[str, Any] = {"url": url, "key": "settings", "interval": "1h", "timeout": "5s", **options}
    return create_redis(RedisHashOptions(**given), "central", CONTEXT)


def test_fields_are_dotted_paths_and_hold_json_or_text(server: RedisServer) -> None:
    server.ask("HSET", "settings", "limits.speed", "80", "limits.towns", '["Bremen"]', "greeting", "hello ${USER}")
    assert settings_of(discoverer(server.url)) == {
        "limits": {"speed": 80, "towns": ["Bremen"]},
        "greeting": "hello ${USER}",
    }


def test_a_hash_that_is_not_there_is_no_hash_without_settings(server: RedisServer) -> None:
    """A server that has lost its data must not take the settings away."""
    said = refusal(discoverer(server.url))
    assert f"discoverers.central: expected Redis ({server.address}) to have the hash settings, got no such key" in said


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (["SET", "settings", "1"], "to answer HGETALL settings, got WRONGTYPE"),
        (
            ["HSET", "settings", "a", "1", "a.b", "2"],
            "settings: expected a to be a value or a table, got both a and a.b",
        ),
        (["HSET", "settings", "a", "9223372036854775808"], "settings: a: expected a whole number of 64 bits"),
        (["EVAL", r"return redis.call('HSET', 'settings', 'a', '\255')", "0"], "settings: 'utf-8' codec can't decode"),
    ],
)
def test_what_cannot_be_settings_is_refused(server: RedisServer, command: list[str], message: str) -> None:
    server.ask(*command)
    assert message in refusal(discoverer(server.url))


MESSAGES = "redis.call('HSET', 'settings', 'speed', ARGV[1]); for _ = 1, 3 do redis.call('PUBLISH', 'changes', '') end"


def test_messages_on_the_channel_are_heard_at_once_and_together(server: RedisServer) -> None:
    server.ask("HSET", "settings", "speed", "1")
    found = discoverer(server.url, channel="changes")
    seen = heard(found, *(lambda value=value: server.ask("EVAL", MESSAGES, "0", value) for value in (2, 3, 4)))
    assert seen == [{"speed": 2}, {"speed": 3}, {"speed": 4}]


def test_a_change_of_the_hash_itself_can_be_heard(server: RedisServer) -> None:
    server.ask("HSET", "settings", "speed", "1")
    found = discoverer(server.url, channel="__keyspace@0__:settings")
    assert heard(found, lambda: server.ask("HSET", "settings", "speed", "2")) == [{"speed": 2}]


def test_a_channel_that_may_not_be_heard_is_told(server: RedisServer) -> None:
    server.ask("HSET", "settings", "speed", "1")
    server.ask("ACL SETUSER", "deaf", "on", ">secret", "~*", "+@all", "resetchannels")
    said = refusal(discoverer(server.url, user="deaf", password="secret", channel="changes"))
    assert "to let us listen to changes, got " in said
    assert "NOPERM" in said or "permission" in said


def test_a_server_that_was_away_is_heard_again(server: RedisServer) -> None:
    server.ask("HSET", "settings", "speed", "1")

    def mend() -> None:
        server.start()
        server.ask("HSET", "settings", "speed", "2")

    assert recovered(discoverer(server.url, channel="changes"), server.kill, mend) == {"speed": 2}


def test_settings_come_from_a_cluster_and_from_the_master_that_sentinels_know(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    with RedisCluster(tmp_path_factory.mktemp("cluster")) as cluster:
        master = cluster.master_of("settings")
        master.ask("HSET", "settings", "speed", "1")
        found = discoverer(cluster.url.replace("://", "://127.0.0.1:1,"), channel="changes")

        def change() -> None:
            master.ask("HSET", "settings", "speed", "2")
            cluster.nodes[-1].ask("PUBLISH", "changes", "look")

        assert heard(found, change) == [{"speed": 2}]
    with RedisSentinel(tmp_path_factory.mktemp("sentinel")) as watched:
        watched.master().ask("HSET", "settings", "speed", "1")
        assert settings_of(discoverer(watched.url, channel="changes")) == {"speed": 1}
