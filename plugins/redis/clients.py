"""Clients of the driver for each form of a Redis. Importing this module imports the driver."""

from __future__ import annotations

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
        nodes = [ClusterNode(host, port) for host, port in address.hosts]
        return redis.RedisCluster(startup_nodes=nodes, require_full_coverage=False, **options)
    if address.form is Form.SENTINEL:
        sentinel = Sentinel(address.hosts, sentinel_kwargs=_for_sentinels(options), **options)
        return sentinel.master_for(address.master, db=address.database, **_login(address))
    if address.form is Form.SOCKET:
        return redis.Redis(unix_socket_path=address.path, **options)
    [(host, port)] = address.hosts
    return redis.Redis(host, port, address.database, **options)


def make_async_client(address: Address, timeout: float) -> Any:
    """Return a client for asyncio, as :func:`make_client` does. None connects at once."""
    options = _options(address, timeout) | {"retry": aretry.Retry(NoBackoff(), 0)}
    if address.form is Form.CLUSTER:
        nodes = [acluster.ClusterNode(host, port) for host, port in address.hosts]
        return aredis.RedisCluster(startup_nodes=nodes, require_full_coverage=False, **options)
    if address.form is Form.SENTINEL:
        sentinel = aredis.Sentinel(address.hosts, sentinel_kwargs=_for_sentinels(options), **options)
        return sentinel.master_for(address.master, db=address.database, **_login(address))
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
