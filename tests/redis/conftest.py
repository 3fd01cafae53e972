"""Redis in its three forms, started once a test process."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.servers.redis_servers import RedisCluster, RedisSentinel, RedisServer

AnyRedis = RedisServer | RedisCluster | RedisSentinel


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with RedisServer(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture(scope="session")
def redis_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisCluster]:
    with RedisCluster(tmp_path_factory.mktemp("redis")) as cluster:
        yield cluster


@pytest.fixture(scope="session")
def redis_sentinel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisSentinel]:
    with RedisSentinel(tmp_path_factory.mktemp("redis")) as sentinel:
        yield sentinel


@pytest.fixture(scope="session", params=["server", "cluster", "sentinel"])
def any_redis(request: pytest.FixtureRequest) -> AnyRedis:
    """Each form of a Redis in turn."""
    found: AnyRedis = request.getfixturevalue(f"redis_{request.param}")
    return found


@pytest.fixture
def empty_redis(any_redis: AnyRedis) -> AnyRedis:
    """Each form of a Redis in turn, without data."""
    for master in any_redis.masters():
        master.ask("FLUSHALL")
    return any_redis


@pytest.fixture
def server(redis_server: RedisServer) -> RedisServer:
    """One server, without data."""
    redis_server.ask("FLUSHALL")
    return redis_server
