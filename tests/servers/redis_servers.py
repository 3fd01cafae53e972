"""Redis for tests: one server, a server watched by a Sentinel, a cluster of six nodes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import redis

from tests.servers.programs import Server, free_port, program, until

HOST = "127.0.0.1"


class RedisServer(Server):
    """One redis-server on a free port. Keeps nothing on disk, unless ``options`` (of redis.conf) say so."""

    def __init__(self, folder: Path, options: Mapping[str, str] | None = None, *, port: int | None = None) -> None:
        self.port = port or free_port()
        self.folder = folder / f"redis-{self.port}"
        self.folder.mkdir(parents=True)
        self.password = (options or {}).get("requirepass")
        settings = {
            "port": str(self.port),
            "bind": HOST,
            "dir": str(self.folder),
            "unixsocket": str(self.folder / "socket"),
            "save": "",
            "appendonly": "no",
            "repl-diskless-sync-delay": "0",  # else each replica waits 5 s for others that may want the same copy
            **(options or {}),
        }
        command = [program("redis-server", "redis-server"), *_arguments(settings)]
        super().__init__(command, self.folder / "log", self._answers)

    @property
    def address(self) -> str:
        """``127.0.0.1:PORT``"""
        return f"{HOST}:{self.port}"

    @property
    def url(self) -> str:
        """``redis://127.0.0.1:PORT/0``, without the password."""
        return f"redis://{self.address}/0"

    @property
    def socket_url(self) -> str:
        """Of its Unix socket."""
        return f"unix://{self.folder}/socket"

    def masters(self) -> list[RedisServer]:
        """Return the servers that hold data: itself."""
        return [self]

    def master_of(self, _key: str) -> RedisServer:
        """Return the server that holds a key: itself."""
        return self

    def client(self) -> Any:
        """Return a client with text in and out. Close it, or use it as a context manager."""
        return redis.Redis(
            HOST, self.port, password=self.password, decode_responses=True, socket_timeout=10, protocol=2
        )

    def ask(self, *command: str | float) -> Any:
        """Send one command on a connection of its own. Raises the driver's errors."""
        with self.client() as client:
            return client.execute_command(*command)

    def info(self, section: str) -> dict[str, Any]:
        """Return a section of INFO."""
        answer: dict[str, Any] = self.ask("INFO", section)
        return answer

    def _answers(self) -> bool:
        try:
            return self.ask("PING") is True
        except redis.RedisError:
            return False

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.resume()  # a process that stands still does not hear SIGTERM
        self.stop()


class RedisCluster:
    """Six nodes: three masters with one replica each. Use it as a context manager."""

    def __init__(self, folder: Path, options: Mapping[str, str] | None = None, *, node_timeout_ms: int = 2000) -> None:
        self.nodes = [_cluster_node(folder, options or {}, node_timeout_ms) for _ in range(6)]

    @property
    def addresses(self) -> list[str]:
        """``127.0.0.1:PORT`` of every node."""
        return [node.address for node in self.nodes]

    @property
    def url(self) -> str:
        """``redis+cluster://HOST:PORT,HOST:PORT,...`` with every node, without the password."""
        return f"redis+cluster://{','.join(self.addresses)}"

    def start(self) -> None:
        """Start the nodes, form the cluster and wait until every node knows that it works."""
        for node in self.nodes:
            node.start()
        masters, replicas = self.nodes[:3], self.nodes[3:]
        for node, (first, last) in zip(masters, [(0, 5460), (5461, 10922), (10923, 16383)], strict=True):
            node.ask("CLUSTER ADDSLOTSRANGE", first, last)
        for epoch, node in enumerate(self.nodes, 1):
            node.ask("CLUSTER SET-CONFIG-EPOCH", epoch)
            self.nodes[0].ask("CLUSTER MEET", HOST, node.port, _bus_port(node))
        until(lambda: all(self._knows_all(node) for node in self.nodes), "the cluster's nodes to know each other")
        for replica, master in zip(replicas, masters, strict=True):
            replica.ask("CLUSTER REPLICATE", master.ask("CLUSTER MYID"))
        self.until_whole()

    def until_whole(self) -> None:
        """Wait until all nodes run, every slot is served and every replica follows its master."""
        until(lambda: all(map(_is_well, self.nodes)) and len(self.masters()) == 3, "the cluster to be whole")

    def masters(self) -> list[RedisServer]:
        """Return the nodes that run as masters, and have slots, as they see it themselves."""
        return [node for node in self.nodes if _role(node) == "master" and _has_slots(node)]

    def master_of(self, key: str) -> RedisServer:
        """Return the master that holds a key. Raises ``LookupError`` while there is none."""
        for node in self.masters():
            slot = node.ask("CLUSTER KEYSLOT", key)
            if any(first <= slot <= last for first, last in _slots(node)):
                return node
        raise LookupError(f"no running master has the slot of {key!r}")

    def stop(self) -> None:
        """Stop every node."""
        for node in self.nodes:
            node.resume()
            node.stop()

    def _knows_all(self, node: RedisServer) -> bool:
        return str(node.ask("CLUSTER INFO")["cluster_known_nodes"]) == str(len(self.nodes))

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.stop()


class RedisSentinel:
    """A master, a replica and one Sentinel that alone decides that the master is down. Use it as a context manager."""

    def __init__(self, folder: Path, *, master_name: str = "mymaster", down_after_ms: int = 500) -> None:
        self.master_name = master_name
        self.servers = [RedisServer(folder), RedisServer(folder)]
        self.sentinel = _Sentinel(folder, self.servers[0], master_name, down_after_ms)

    @property
    def url(self) -> str:
        """``redis+sentinel://HOST:PORT/NAME/0``"""
        return f"redis+sentinel://{self.sentinel.address}/{self.master_name}/0"

    def start(self) -> None:
        """Start all three and wait until the replica follows and the Sentinel knows it."""
        first, second = self.servers
        first.start()
        second.start()
        second.ask("REPLICAOF", HOST, first.port)
        until(lambda: _is_well(second), "the replica to follow")
        self.sentinel.start()
        until(self._knows_replica, "the Sentinel to know the replica")

    def masters(self) -> list[RedisServer]:
        """Return the servers that hold data: the one that the Sentinel calls the master."""
        return [self.master()]

    def master_of(self, _key: str) -> RedisServer:
        """Return the server that holds a key: the one that the Sentinel calls the master."""
        return self.master()

    def master(self) -> RedisServer:
        """Return the server that the Sentinel calls the master."""
        _host, port = self.sentinel.ask("SENTINEL GET-MASTER-ADDR-BY-NAME", self.master_name)
        return next(server for server in self.servers if server.port == int(port))

    def stop(self) -> None:
        """Stop all."""
        for server in (self.sentinel, *self.servers):
            server.resume()
            server.stop()

    def _knows_replica(self) -> bool:
        with self.sentinel.client() as client:
            return [replica["flags"] for replica in client.sentinel_slaves(self.master_name)] == ["slave"]

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.stop()


class _Sentinel(RedisServer):
    """The Sentinel process. It writes its configuration file, so it cannot be told all by arguments."""

    def __init__(self, folder: Path, master: RedisServer, name: str, down_after_ms: int) -> None:
        super().__init__(folder)
        configuration = self.folder / "sentinel.conf"
        configuration.write_text(
            f"port {self.port}\nbind {HOST}\ndir {self.folder}\n"
            f"sentinel monitor {name} {HOST} {master.port} 1\n"
            f"sentinel down-after-milliseconds {name} {down_after_ms}\n"
            f"sentinel failover-timeout {name} 3000\n"
        )
        self._command = [program("redis-sentinel", "redis-sentinel"), str(configuration)]


def _cluster_node(folder: Path, options: Mapping[str, str], timeout_ms: int) -> RedisServer:
    cluster = {
        "cluster-enabled": "yes",
        "cluster-port": str(free_port()),  # else it is the port + 10000, which may not exist
        "cluster-node-timeout": str(timeout_ms),
        "cluster-replica-validity-factor": "0",  # a replica takes over however long it has heard nothing
    }
    return RedisServer(folder, {**cluster, **options})


def _bus_port(node: RedisServer) -> int:
    return int(node.ask("CONFIG GET", "cluster-port")["cluster-port"])


def _role(node: RedisServer) -> str | None:
    """``master`` or ``slave``; None for a node that does not answer."""
    try:
        return str(node.ask("ROLE")[0])
    except redis.RedisError:
        return None


def _is_well(node: RedisServer) -> bool:
    """Whether a node runs, follows its master if it is a replica, and sees the whole cluster if it is in one."""
    try:
        role = node.ask("ROLE")
        state: dict[str, str] = node.ask("CLUSTER INFO") if node.ask("INFO", "cluster")["cluster_enabled"] else {}
    except redis.RedisError:
        return False
    return bool(role[0] == "master" or role[3] == "connected") and state.get("cluster_state", "ok") == "ok"


def _slots(node: RedisServer) -> list[tuple[int, int]]:
    """The ranges of slots that a master has, in its own opinion."""
    nodes = node.ask("CLUSTER NODES")
    mine = next(known["slots"] for known in nodes.values() if "myself" in known["flags"])
    return [(int(slots[0]), int(slots[-1])) for slots in mine]


def _has_slots(node: RedisServer) -> bool:
    return bool(_slots(node))


def _arguments(settings: Mapping[str, str]) -> list[str]:
    return [word for name, value in settings.items() for word in (f"--{name}", value)]
