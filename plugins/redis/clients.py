"""Clients of the driver for each form of a Redis. Importing this module imports the driver."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import redis
from redis import asyncio as aredis
from redis.asyncio import cluster as acluster
from redis.asyncio import retry as aretry
from redis.backoff import NoBackoff
from redis.cluster import ClusterNode
from redis.retry import Retry
from redis.sentinel import Sentinel

from trimtab.plugins.redis.address import Address, Form


def make_client(address: Address, timeout: float) -> Any:
    """Return a client that gives bytes and sends nothing twice. One for a cluster connects at once, others later.

    Raises the driver's errors.
    """
    options = _options(address, timeout) | {"retry": Retry(NoBackoff(), 0)}
    if address.form is Form.CLUSTER:
        nodes = [ClusterNode(host, port) for host, port in address.hosts]  # type: ignore[no-untyped-call]
        return redis.RedisCluster(startup_nodes=nodes, require_full_coverage=False, **options)
    if address.form is Form.SENTINEL:
        sentinel = Sentinel(  # type: ignore[no-untyped-call]
            address.hosts, sentinel_kwargs=_for_sentinels(options), **options
        )
        return sentinel.master_for(address.master, db=address.database)  # type: ignore[no-untyped-call]
    if address.form is Form.SOCKET:
        return redis.Redis(unix_socket_path=address.path, **options)
    [(host, port)] = address.hosts
    return redis.Redis(host, port, address.database, **options)


@asynccontextmanager
async def connected(address: Address, seconds: float) -> AsyncIterator[Any]:
    """Inside the block, there is a client for asyncio, as :func:`make_client` gives. Raises the driver's errors."""
    client = _make_async_client(address, seconds)
    try:
        yield client
    finally:
        await client.aclose()
        if address.form is Form.SENTINEL:  # the driver leaves these open
            for sentinel in client.connection_pool.sentinel_manager.sentinels:
                await sentinel.aclose()


def _make_async_client(address: Address, timeout: float) -> Any:
    options = _options(address, timeout) | {"retry": aretry.Retry(NoBackoff(), 0)}
    if address.form is Form.CLUSTER:
        nodes = [acluster.ClusterNode(host, port) for host, port in address.hosts]
        return aredis.RedisCluster(startup_nodes=nodes, require_full_coverage=False, **options)
    if address.form is Form.SENTINEL:
        sentinel = aredis.Sentinel(  # type: ignore[no-untyped-call]
            address.hosts, sentinel_kwargs=_for_sentinels(options), **options
        )
        return sentinel.master_for(address.master, db=address.database)
    if address.form is Form.SOCKET:
        return aredis.Redis(unix_socket_path=address.path, **options)
    [(host, port)] = address.hosts
    return aredis.Redis(host=host, port=port, db=address.database, **options)


def _options(address: Address, timeout: float) -> dict[str, Any]:
    """RESP2, because RESP3 lets servers send what nobody has asked for."""
    options = {"socket_timeout": timeout, "socket_connect_timeout": timeout, "protocol": 2, **_login(address)}
    return {**options, "ssl": True} if address.tls else options


def _login(address: Address) -> dict[str, str | None]:
    return {"username": address.username, "password": address.password}


def _for_sentinels(options: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if name not in {"username", "password"}}
