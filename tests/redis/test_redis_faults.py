"""Servers that die, hang, come back or change places under a script."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.redis.conftest import AnyRedis
from tests.servers.programs import free_port, until
from tests.servers.redis_servers import RedisCluster, RedisSentinel, RedisServer
from trimtab.api import CallError
from trimtab.errors import ChangeRefused
from trimtab.plugins.redis.options import RedisOptions
from trimtab.plugins.redis.resource import RedisResource, create_resource
from trimtab.testing import Handled, ScriptRunner

COMMANDS = """
from trimtab import emit, handler, redis

@handler(timeout="{timeout}")
def send(event):
    try:
        emit("out", redis("cache").command(*event))
    except Exception as error:
        emit("out", [error.name, error.code, error.retryable, error.message])
"""


def commands(url: str, *, limit: str = "30s", **options: Any) -> ScriptRunner:
    """A script that sends each event as a command and emits the answer, or name, code, retryable and message."""
    runner = ScriptRunner({"redis.cache": {"url": url, **options}})
    runner.load(send__py=COMMANDS.format(timeout=limit))
    return runner


def answer(handled: Handled) -> Any:
    assert handled.faults == []
    return handled.emitted[0]


def resource(url: str, **options: Any) -> RedisResource:
    return create_resource(RedisOptions(url=url, **options), "redis.cache", Path())


class Broken(BaseException):
    """Strikes like the time limit."""


# --- servers that die ---


def test_where_nothing_listens_a_call_fails_and_says_where(tmp_path: Path) -> None:
    port = free_port()
    with commands(f"redis://:secret@127.0.0.1:{port}") as runner:
        name, code, retryable, message = answer(runner.handle(["GET", "k"]))
    assert (name, code, retryable) == ("ConnectionError", None, True)
    assert f"redis.cache (127.0.0.1:{port})" in message
    assert "[resources.redis.cache]" in message
    assert "secret" not in message


@pytest.mark.parametrize("scheme", ["redis+cluster", "redis+sentinel"])
def test_where_no_node_listens_a_call_fails_the_same_way(scheme: str) -> None:
    path = "/mymaster" if scheme == "redis+sentinel" else ""
    with commands(f"{scheme}://127.0.0.1:{free_port()},127.0.0.1:{free_port()}{path}") as runner:
        name, code, retryable, _message = answer(runner.handle(["GET", "k"]))
    assert (name, code, retryable) == ("ConnectionError", None, True)


def test_a_server_that_was_restarted_is_used_again_at_once(tmp_path: Path) -> None:
    with RedisServer(tmp_path) as server, commands(server.url) as runner:
        assert answer(runner.handle(["SET", "k", "v"])) is True
        server.kill()
        assert answer(runner.handle(["GET", "k"]))[:3] == ["ConnectionError", None, True]
        server.start()
        assert answer(runner.handle(["GET", "k"])) is None
        server.kill()
        server.start()
        assert answer(runner.handle(["PING"])) is True


def test_a_command_is_sent_once_however_it_ends(tmp_path: Path) -> None:
    with RedisServer(tmp_path) as server, commands(server.url, timeout="100ms") as runner:
        assert answer(runner.handle(["GET", "n"])) is None
        server.pause()
        assert answer(runner.handle(["INCR", "n"]))[:3] == ["TimeoutError", None, True]
        server.resume()
        until(lambda: server.ask("GET", "n") == "1", "the command to be done")
        assert answer(runner.handle(["INCR", "n"])) == 2


def test_a_server_that_has_become_a_replica_can_be_tried_again(tmp_path: Path) -> None:
    with RedisServer(tmp_path) as master, RedisServer(tmp_path) as replica, commands(replica.url) as runner:
        replica.ask("REPLICAOF", "127.0.0.1", master.port)
        assert answer(runner.handle(["SET", "k", "v"]))[:3] == ["RedisError", "READONLY", True]


# --- servers that do not answer ---


def test_no_answer_is_an_error_that_a_script_can_catch(any_redis: AnyRedis) -> None:
    with commands(any_redis.url, timeout="150ms") as runner:
        assert answer(runner.handle(["SET", "k", "v"])) is True
        for master in any_redis.masters():
            master.pause()
        try:
            name, _code, retryable, message = answer(runner.handle(["GET", "k"]))
        finally:
            _resume(any_redis)
        assert (name, retryable) == ("TimeoutError", True)
        assert "GET" in message
        until(lambda: answer(runner.handle(["GET", "k"])) == "v", "the server to be used again")


def test_the_time_limit_ends_a_call_and_the_next_gets_its_own_answer(any_redis: AnyRedis) -> None:
    with commands(any_redis.url, limit="150ms") as runner:
        for key in ("{x}a", "{x}b"):
            until(lambda key=key: answer(runner.handle(["SET", key, key])) is True, "a connection in time")  # type: ignore[misc]
        for master in any_redis.masters():
            master.pause()
        try:
            [fault] = runner.handle(["GET", "{x}a"]).faults
        finally:
            _resume(any_redis)
        assert fault.name == "TimeLimitExceeded"
        until(lambda: not runner.handle(["PING"]).faults, "a connection in time")
        assert answer(runner.handle(["GET", "{x}b"])) == "{x}b"
        assert answer(runner.handle(["GET", "{x}a"])) == "{x}a"


def test_a_call_broken_off_between_question_and_answer_leaves_no_answer_behind(any_redis: AnyRedis) -> None:
    used = resource(any_redis.url)
    used.use("SET", lambda client: client.set("{x}k", "v"))

    def half(client: Any) -> None:
        cluster = hasattr(client, "get_node_from_key")
        node = client.get_redis_connection(client.get_node_from_key("{x}k")) if cluster else client
        connection = node.connection_pool.get_connection()
        connection.send_command("BLPOP", "{x}list", "0.2")  # the answer comes later: nothing
        node.connection_pool.release(connection)
        raise Broken

    with pytest.raises(Broken):
        used.use("BLPOP", half)
    assert used.use("GET", lambda client: client.get("{x}k")) == b"v"
    used.close()


def _resume(redis: AnyRedis) -> None:
    for server in getattr(redis, "nodes", None) or getattr(redis, "servers", None) or [redis]:
        server.resume()
    if isinstance(redis, RedisCluster):
        redis.until_whole()


# --- servers that change places ---


def test_after_a_failover_of_a_cluster_the_script_goes_on(tmp_path: Path) -> None:
    with RedisCluster(tmp_path, node_timeout_ms=500) as cluster, commands(cluster.url) as runner:
        assert answer(runner.handle(["SET", "k", "v"])) is True
        assert answer(runner.handle(["WAIT", 1, 1000])) is not None
        master = cluster.master_of("k")
        master.kill()
        seen = []

        def works() -> bool:
            seen.append(answer(runner.handle(["GET", "k"])))
            return bool(seen[-1] == "v")

        until(works, "another node to take over")
        assert len(seen) > 1
        assert {(name, retryable) for name, _code, retryable, _message in seen[:-1]} <= {
            ("ConnectionError", True),
            ("TimeoutError", True),
            ("RedisError", True),
        }
        master.start()
        cluster.until_whole()
        assert answer(runner.handle(["SET", "k", "w"])) is True


def test_after_a_failover_of_sentinels_the_script_goes_on(tmp_path: Path) -> None:
    with RedisSentinel(tmp_path) as sentinel, commands(sentinel.url) as runner:
        assert answer(runner.handle(["SET", "k", "v"])) is True
        first = sentinel.master()
        until(lambda: bool(answer(runner.handle(["WAIT", 1, 1000]))), "the replica to have it")
        first.kill()
        assert answer(runner.handle(["GET", "k"]))[:3] == ["ConnectionError", None, True]
        until(lambda: answer(runner.handle(["SET", "k", "w"])) is True, "the replica to take over")
        assert sentinel.master() is not first


def test_a_key_that_moves_to_another_node_is_found_there(redis_cluster: RedisCluster) -> None:
    used = resource(redis_cluster.url)
    used.use("SET", lambda client: client.set("{m}k", "v"))
    source = redis_cluster.master_of("{m}k")
    target = next(node for node in redis_cluster.masters() if node is not source)
    slot = source.ask("CLUSTER KEYSLOT", "{m}k")
    _move(redis_cluster, slot, source, target)
    try:
        assert used.use("GET", lambda client: client.get("{m}k")) == b"v"
    finally:
        _move(redis_cluster, slot, target, source)
        used.close()


def test_a_transaction_follows_its_keys_to_another_node(redis_cluster: RedisCluster) -> None:
    with commands(redis_cluster.url) as runner:
        runner.load(
            send__py="from trimtab import emit, redis\n"
            "def handle(event):\n"
            "    emit('out', redis('cache').pipeline(lambda p: (p.set('{m}k', event), p.get('{m}k'))))\n"
        )
        assert answer(runner.handle("v")) == [True, "v"]
        source = redis_cluster.master_of("{m}k")
        target = next(node for node in redis_cluster.masters() if node is not source)
        slot = source.ask("CLUSTER KEYSLOT", "{m}k")
        _move(redis_cluster, slot, source, target)
        try:
            assert answer(runner.handle("w")) == [True, "w"]
        finally:
            _move(redis_cluster, slot, target, source)


def _move(cluster: RedisCluster, slot: int, source: RedisServer, target: RedisServer) -> None:
    """Move a slot with its keys."""
    there, here = target.ask("CLUSTER MYID"), source.ask("CLUSTER MYID")
    target.ask("CLUSTER SETSLOT", slot, "IMPORTING", here)
    source.ask("CLUSTER SETSLOT", slot, "MIGRATING", there)
    for key in source.ask("CLUSTER GETKEYSINSLOT", slot, 100):
        source.ask("MIGRATE", "127.0.0.1", target.port, key, 0, 5000, "REPLACE")
    for node in (target, source, *cluster.masters()):
        node.ask("CLUSTER SETSLOT", slot, "NODE", there)


# --- who may come in ---


def test_credentials_come_from_options_or_from_the_address(tmp_path: Path) -> None:
    with RedisServer(tmp_path, {"requirepass": "s3cret"}) as server:
        place = server.address
        for url, options in [
            (f"redis://{place}", {"password": "s3cret"}),
            (f"redis://:s3cret@{place}/1", {}),
            (f"redis://default:other@{place}", {"password": "s3cret"}),
            (server.socket_url, {"password": "s3cret"}),
        ]:
            with commands(url, **options) as runner:
                assert answer(runner.handle(["PING"])) is True
        with commands(f"redis://{place}", password="wr0ng") as runner:
            name, _code, retryable, message = answer(runner.handle(["PING"]))
        assert (name, retryable) == ("AuthenticationError", False)
        assert "wr0ng" not in message
        with commands(f"redis://{place}") as runner:
            assert answer(runner.handle(["PING"]))[:3] == ["AuthenticationError", "NOAUTH", False]


def test_a_cluster_with_a_password_is_reached(tmp_path: Path) -> None:
    with RedisCluster(tmp_path, {"requirepass": "s3cret", "masterauth": "s3cret"}) as cluster:
        with commands(cluster.url, password="s3cret") as runner:
            assert answer(runner.handle(["SET", "k", "v"])) is True
        with commands(cluster.url, password="wr0ng") as runner:
            assert answer(runner.handle(["SET", "k", "v"]))[:3] == ["AuthenticationError", "WRONGPASS", False]


# --- checks ---


def test_a_check_passes_where_redis_works(any_redis: AnyRedis) -> None:
    used = resource(any_redis.url)
    used.check()
    used.close()


def test_a_check_refuses_what_cannot_be_reached() -> None:
    with pytest.raises(CallError, match=r"redis\.cache \(127\.0\.0\.1:\d+\)"):
        resource(f"redis://127.0.0.1:{free_port()}").check()


def test_a_check_refuses_a_cluster_that_does_not_serve_all_slots(tmp_path: Path) -> None:
    options = {"cluster-enabled": "yes", "cluster-port": str(free_port())}
    with RedisServer(tmp_path, options) as lone, pytest.raises(CallError) as caught:
        resource(f"redis+cluster://{lone.address}").check()
    assert (caught.value.name, caught.value.code) == ("RedisError", "CLUSTERDOWN")


def test_a_check_refuses_a_cluster_with_a_gap(tmp_path: Path) -> None:
    options = {"cluster-enabled": "yes", "cluster-port": str(free_port())}
    with RedisServer(tmp_path, options) as lone:
        lone.ask("CLUSTER ADDSLOTSRANGE", 0, 100)
        used = resource(f"redis+cluster://{lone.address}")
        with pytest.raises(CallError, match=r"expected redis\.cache .* to serve all slots, got the state 'fail'"):
            used.check()
        used.close()


def test_a_check_refuses_one_server_that_is_called_a_cluster(redis_server: RedisServer) -> None:
    with pytest.raises(CallError, match="use redis://") as caught:
        resource(f"redis+cluster://{redis_server.address}").check()
    assert not caught.value.retryable


def test_an_address_that_cannot_be_meant_refuses_the_change() -> None:
    with pytest.raises(ChangeRefused, match=r"resources\.redis\.cache"):
        commands("redis://h1:6379,h2:6379")


def test_a_resource_may_be_closed_unused_and_twice() -> None:
    used = resource("redis://127.0.0.1:1")
    used.close()
    used.close()


def test_nothing_connects_before_the_first_call(tmp_path: Path) -> None:
    with RedisServer(tmp_path) as server:
        before = server.info("stats")["total_connections_received"]
        with commands(server.url) as runner:
            after = server.info("stats")["total_connections_received"]
            runner.handle(["PING"])
            used = server.info("stats")["total_connections_received"]
        assert (after - before, used - after) == (1, 2)  # one is the question's own
