"""``RedisCluster``: a Redis Cluster, or one Redis that is none."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from trimtab.api import CallError, Resource
from trimtab.plugins.lofka.jedis import command_of
from trimtab.plugins.lofka.own import Connection, Connections
from trimtab.plugins.lofka.reach import REDIS
from trimtab.plugins.lofka.servers import server
from trimtab.plugins.redis.options import RedisOptions
from trimtab.plugins.redis.rehearsal import rehearsed
from trimtab.plugins.redis.resource import RedisResource, create_resource
from trimtab.plugins.redis.values import plain

Result = TypeVar("Result")

_PORT = 6379
_PASSING = frozenset({"ConnectionError", "TimeoutError"})


class OwnRedis(Resource):
    """What answers at some addresses. Which of the two it is, the first one that answers tells."""

    def __init__(self, hosts: Sequence[str], name: str, timeout: float) -> None:
        self._hosts, self._name, self._timeout = hosts, name, timeout
        self._found: RedisResource | None = None

    def use(self, command: str, work: Callable[[Any], Result]) -> Result:
        """Return what ``work`` returns for the driver's client. Raises :class:`CallError`."""
        if self._found is None:
            self._found = self._find()
        return self._found.use(command, work)

    def check(self) -> None:
        """See :class:`Resource`."""
        self.use("PING", lambda client: client.ping())

    def close(self) -> None:
        """See :class:`Resource`."""
        found, self._found = self._found, None
        if found is not None:
            found.close()

    def _find(self) -> RedisResource:
        *others, last = self._hosts
        for host in others:
            try:
                return self._asked(host)
            except CallError as error:
                if error.name not in _PASSING:
                    raise
        return self._asked(last)

    def _asked(self, host: str) -> RedisResource:
        """Ask one server what it is. Raises :class:`CallError`."""
        single = self._resource(f"redis://{host}")
        try:
            is_cluster = single.use("INFO", _is_cluster)
        except BaseException:
            single.close()
            raise
        if not is_cluster:
            return single
        single.close()
        return self._resource(_cluster_url(self._hosts))

    def _resource(self, url: str) -> RedisResource:
        return create_resource(RedisOptions(url=url, timeout=self._timeout), self._name, Path())


class RedisConnection(Connection):
    """What a script's ``RedisCluster`` holds. Connects at once, as Lofka's does."""

    methods = frozenset({"command", "close"})
    outside = frozenset({"command"})

    def __init__(self, connections: Connections, hosts: Sequence[str], timeout: float) -> None:
        addresses = [server(host, _PORT) for host in hosts]
        if not addresses:
            raise ValueError("RedisCluster: expected addresses as host:port, got none")
        name = f"redis.{addresses[0]}"
        connections.reach.require(REDIS, RedisOptions(url=_cluster_url(addresses)))
        super().__init__(connections, OwnRedis(addresses, name, timeout), "redis", name)
        try:
            self._caller.call("connect", tuple(addresses), lambda resource: resource.check(), None)
        except BaseException:
            self.close()
            raise

    def command(self, method: str, arguments: list[Any]) -> Any:
        """Run a method by the name that Jedis has for it."""
        command = command_of(method, arguments)

        def work(resource: OwnRedis) -> Any:
            reply = resource.use(command.name, lambda client: client.execute_command(command.name, *command.words))
            return command.reply(plain(reply, as_bytes=False, name=self._name))

        return self._opened().call(method, tuple(arguments), work, command.reply(rehearsed(command.name)))


def _cluster_url(hosts: Sequence[str]) -> str:
    return f"redis+cluster://{','.join(hosts)}"


def _is_cluster(client: Any) -> bool:
    return bool(client.info("cluster").get("cluster_enabled"))
