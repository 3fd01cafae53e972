"""Lofka scripts make their own connections; held to the configuration, only to what it declares."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from tests.lofka.lofka_http import EchoServer
from tests.servers.redis_servers import RedisServer
from trimtab.errors import ChangeRefused
from trimtab.testing.scripts import ScriptRunner

CONNECTIONS = {
    "redis": 'new RedisCluster(["h2:7001", "h1"])',
    "sql": 'new SQLConnection({uri: "jdbc:postgresql://db/orders?user=u&password=s3cr3t"})',
    "mongo": 'new MongoClient({servers: "h2:27018,h1", auth: "u:s3cr3t@admin"})',
}
DECLARED: dict[str, dict[str, Any]] = {
    "redis.cache": {"url": "redis+cluster://h1:6379,h2:7001,h3:7001"},
    "sql.orders": {"url": "postgresql+psycopg://db:5432/other"},
    "mongo.logs": {"url": "mongodb://h1,h2:27018,h3/"},
}


def outcome(code: str, declared: Mapping[str, dict[str, Any]], *, confined: bool | None) -> str:
    """The name of the error that the code ends with at the top level, and its message."""
    source = f"var e = '';\ntry {{ {code} }} catch (error) {{ e = error.name + ': ' + error.message }}\nfunction processing_data() {{ print(e) }}"
    with ScriptRunner(resources=declared, confined=confined, rehearsed=[]) as runner:
        runner.load(a__js=source)
        runner.handle(1)
        return runner.logged[-1].message


@pytest.mark.parametrize("kind", CONNECTIONS)
@pytest.mark.parametrize("confined", [None, False])
def test_any_address_will_do_unless_scripts_are_held_to_the_configuration(kind: str, confined: bool | None) -> None:
    assert outcome(CONNECTIONS[kind], {}, confined=confined) == ""


@pytest.mark.parametrize("kind", CONNECTIONS)
def test_an_address_that_a_resource_of_the_kind_has_will_do(kind: str) -> None:
    assert outcome(CONNECTIONS[kind], DECLARED, confined=True) == ""


@pytest.mark.parametrize("kind", CONNECTIONS)
def test_another_address_is_refused_with_the_configuration_that_would_allow_it(kind: str) -> None:
    others = {name: options for name, options in DECLARED.items() if not name.startswith(kind)}
    message = outcome(CONNECTIONS[kind], others, confined=True)
    assert message.startswith("PolicyError: ")
    assert f"to allow it: [resources.{kind}.NAME] url = " in message
    assert "s3cr3t" not in message


def test_one_address_too_many_is_named() -> None:
    message = outcome('new RedisCluster(["h1", "other:1"])', DECLARED, confined=True)
    assert "got other:1; " in message


def test_requests_follow_the_list_of_allowed_hosts(http_server: EchoServer) -> None:
    source = f'var t = syncHttp.get("{http_server.url}/get", {{}}, String);\nfunction processing_data() {{ print(t) }}'
    with ScriptRunner(confined=True) as runner:
        with pytest.raises(ChangeRefused, match=r"PolicyError.*allow = "):
            runner.load(a__js=source)
        runner.declare(http__default={"allow": [http_server.address]})
        runner.load(a__js=source)
        assert runner.handle(1).faults == []


def test_load_follows_it_too(http_server: EchoServer) -> None:
    with ScriptRunner(confined=True) as runner, pytest.raises(ChangeRefused, match=r"PolicyError.*allow = "):
        runner.load(a__js=f'load("{http_server.url}/lib.js");\nfunction processing_data() {{}}')
    assert http_server.asked == []


def test_a_declared_address_is_used_with_what_the_script_says(redis_server: RedisServer) -> None:
    source = f'var r = new RedisCluster(["{redis_server.address}"]);\nfunction processing_data() {{ r.get("a") }}'
    with ScriptRunner(resources={"redis.any": {"url": redis_server.url}}, confined=True) as runner:
        runner.load(a__js=source)
        assert runner.handle(1).faults == []
