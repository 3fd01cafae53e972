"""Every implementation of a binding: its real server, its resource's options, and the same few calls of each."""

from __future__ import annotations

import shutil
import socket
import sqlite3
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote

from tests.servers import mongo_server, sql_servers
from tests.servers.mongo_server import MongoServer
from tests.servers.programs import Server, free_port, missing, until
from tests.servers.redis_servers import RedisCluster, RedisSentinel, RedisServer
from tests.servers.sql_servers import MariaDbServer, PostgresServer
from tests.sql.asking import JAR

HOST = "127.0.0.1"
REDIS_PASSWORD = "s3cret@:/pass"  # what must be escaped in an address


class Process(Protocol):
    """What a server, or several that belong together, can suffer. Starts with what it held, or empty."""

    def start(self) -> None: ...
    def kill(self) -> None: ...
    def pause(self) -> None: ...
    def resume(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Together:
    """Servers that suffer the same. ``is_whole``: they work together again."""

    servers: Sequence[Server]
    is_whole: Callable[[], bool]

    def start(self) -> None:
        for server in self.servers:
            server.start()
        until(self.is_whole, "the servers to work together")

    def kill(self) -> None:
        for server in self.servers:
            server.kill()

    def pause(self) -> None:
        for server in self.servers:
            server.pause()

    def resume(self) -> None:
        for server in self.servers:
            server.resume()


@dataclass(frozen=True, slots=True)
class Login:
    """Who comes in."""

    user: str
    password: str

    def __str__(self) -> str:
        return f"{quote(self.user, safe='')}:{quote(self.password, safe='')}@"


@dataclass(frozen=True, slots=True)
class Place:
    """A running server. ``ports``: where it takes connections."""

    address: str
    ports: frozenset[int]
    process: Process


@dataclass(frozen=True, slots=True)
class Extra:
    """A call of one kind alone: a pipeline, a transaction, an iterator. Gives ``answer`` for the marker ``m``."""

    name: str
    python: str
    javascript: str
    answer: Any


Start = Callable[[Path], AbstractContextManager[Place]]
Options = Callable[[str, Login | None], dict[str, Any]]


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """One implementation. Its calls are expressions with ``it``, the resource, and ``n``, a marker: a text.

    They are the same in both languages. ``write`` keeps a marker; ``read`` gives ``kept(marker)``, or nothing where it
    was not written; ``refused`` fails with the other side's own error: ``name`` and ``code``.
    """

    name: str
    kind: str
    start: Start
    options: Options
    """Of a resource at an address."""
    write: str
    read: str
    refused: str
    error: tuple[str, str | int]
    kept: Callable[[str], Any] = str
    extras: tuple[Extra, ...] = ()
    login: Login | None = None
    connections: int = 1
    """The most that one resource holds open, for single calls."""
    errors_after_restart: int = 0
    """The most calls that fail because the driver does not notice, before it sends one, that the server was restarted."""

    def __str__(self) -> str:
        return self.name

    def at(self, place: Place, **more: Any) -> dict[str, Any]:
        """The options of a resource at a running server."""
        return {**self.options(place.address, self.login), "timeout": "10s", **more}

    def nowhere(self, login: Login | None = None, **more: Any) -> dict[str, Any]:
        """The options of a resource where nothing listens."""
        return {**self.options(f"{HOST}:{free_port()}", login), "timeout": "500ms", **more}


# --- http ---


@contextmanager
def _http(folder: Path) -> Iterator[Place]:
    port = free_port()
    command = [sys.executable, str(Path(__file__).parent / "keeping_http.py"), str(port)]
    server = Server(command, folder / "log", lambda: _listens(port))
    with _started(server):
        yield Place(f"{HOST}:{port}", frozenset({port}), server)


# --- redis ---


@contextmanager
def _redis(folder: Path) -> Iterator[Place]:
    with RedisServer(folder, {"requirepass": REDIS_PASSWORD}) as server:
        yield Place(server.address, frozenset({server.port}), server)


@contextmanager
def _cluster(folder: Path) -> Iterator[Place]:
    login = {"requirepass": REDIS_PASSWORD, "masterauth": REDIS_PASSWORD}
    with RedisCluster(folder, login, node_timeout_ms=15_000) as cluster:  # no failover while it is paused

        def is_whole() -> bool:
            cluster.until_whole()
            return True

        ports = frozenset(node.port for node in cluster.nodes)
        yield Place(",".join(cluster.addresses), ports, Together(cluster.nodes, is_whole))


@contextmanager
def _sentinel(folder: Path) -> Iterator[Place]:
    with RedisSentinel(folder, down_after_ms=15_000) as sentinel:
        servers = [*sentinel.servers, sentinel.sentinel]
        together = Together(servers, lambda: sentinel.master().ask("PING") is True)
        yield Place(sentinel.sentinel.address, frozenset(server.port for server in servers), together)


_REDIS_EXTRAS = (
    Extra(
        "pipeline",
        "it.pipeline(lambda p: (p.set(n, n), p.get(n)))",
        "it.pipeline((p) => { p.set(n, n); p.get(n); })",
        [True, "m"],
    ),
    Extra(
        "scan", "[it.set(n, n), *it.scan_iter(match=n)]", "[it.set(n, n), ...it.scanIter({ match: n })]", [True, "m"]
    ),
)


def _redis_case(name: str, start: Start, url: str, login: Login | None, connections: int) -> Case:
    return Case(
        name,
        "redis",
        start,
        _by_url(url),
        write="it.set(n, n)",
        read="it.get(n)",
        refused="[it.set(n, n), it.hgetall(n)]",
        error=("RedisError", "WRONGTYPE"),
        extras=_REDIS_EXTRAS,
        login=login,
        connections=connections,
    )


# --- mongo ---


@contextmanager
def _mongo(folder: Path) -> Iterator[Place]:
    with MongoServer(folder, login=True) as server:
        yield Place(server.address, frozenset({server.port}), server)


# --- sql ---

_TABLE = "create table kept (marker varchar(60) primary key)"


@contextmanager
def _postgres(_folder: Path) -> Iterator[Place]:
    server = PostgresServer()
    try:
        server.start()
        server.run(_TABLE)
        yield Place(f"{HOST}:{server.port}", frozenset({server.port}), server)
    finally:
        server.remove()


@contextmanager
def _mariadb(_folder: Path) -> Iterator[Place]:
    server = MariaDbServer()
    try:
        server.start()
        server.run(_TABLE)
        yield Place(f"{HOST}:{server.port}", frozenset({server.port}), server)
    finally:
        server.remove()


@contextmanager
def _java(folder: Path) -> Iterator[Place]:
    if not JAR.exists() or shutil.which("java") is None:
        missing("Java with PostgreSQL's driver", "default-jre-headless libpostgresql-jdbc-java")
    with _postgres(folder) as place:
        yield place


@contextmanager
def _sqlite(folder: Path) -> Iterator[Place]:
    file = folder / "app.db"
    with sqlite3.connect(file) as connection:
        connection.execute(_TABLE)
    connection.close()
    yield Place(str(file), frozenset(), Together((), lambda: True))


def _java_options(address: str, login: Login | None) -> dict[str, Any]:
    given = {"url": f"jdbc:postgresql://{address}/app", "driver": "org.postgresql.Driver", "jar": str(JAR)}
    return {**given, "user": login.user, "password": login.password} if login else given


_CLEAN = 'it.execute("delete from kept")'
_INSERT = 't.execute("insert into kept values (?)", [n])'
_PAGES = '"select marker from kept where marker = ?", [n]'
_SQL_EXTRAS = (
    Extra(
        "transaction",
        f"[{_CLEAN}, it.transaction(lambda t: {_INSERT})][1]",
        f"[{_CLEAN}, it.transaction((t) => {_INSERT})][1]",
        1,
    ),
    Extra(
        "iterator",
        f"[{_CLEAN}, i{_INSERT}, list(it.iterate({_PAGES}, page=1))][2]",
        f"[{_CLEAN}, i{_INSERT}, [...it.iterate({_PAGES}, {{ page: 1 }})]][2]",
        [{"marker": "m"}],
    ),
)
_SQL_LOGIN = Login(sql_servers.USER, sql_servers.PASSWORD)


def _sql_case(name: str, start: Start, options: Options, code: str | int, **more: Any) -> Case:
    return Case(
        name,
        "sql",
        start,
        options,
        write='it.execute("insert into kept values (?)", [n])',
        read='it.queryOne("select marker from kept where marker = ?", [n])',
        refused='it.query("select marker from nowhere")',
        error=("SqlError", code),
        kept=lambda marker: {"marker": marker},
        extras=_SQL_EXTRAS,
        **more,
    )


def _by_url(form: str, key: str = "url") -> Options:
    return lambda address, login: {key: form.format(address=address, login=login or "")}


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((HOST, port)) == 0


@contextmanager
def _started(server: Server) -> Iterator[None]:
    server.start()
    try:
        yield
    finally:
        server.kill()


# --- all ---

_KEPT = 'it.collection("contract", "kept")'
_REDIS_LOGIN = Login("default", REDIS_PASSWORD)

SERVED = [
    Case(
        "http",
        "http",
        _http,
        _by_url("http://{login}{address}", "base_url"),
        write='it.put("/kept/" + n).status',
        read='it.get("/kept/" + n).json()',
        refused='it.get("/broken").json()',
        error=("HttpError", 500),
    ),
    _redis_case("redis", _redis, "redis://{login}{address}", _REDIS_LOGIN, 1),
    _redis_case("redis-cluster", _cluster, "redis+cluster://{login}{address}", _REDIS_LOGIN, 6),
    _redis_case("redis-sentinel", _sentinel, "redis+sentinel://{login}{address}/mymaster", None, 2),
    Case(
        "mongo",
        "mongo",
        _mongo,
        _by_url("mongodb://{login}{address}/"),
        write=f'{_KEPT}.insert({{"_id": n}})',
        read=f'{_KEPT}.findOne({{"_id": n}})',
        refused=f'{_KEPT}.findOne({{"$nonsense": n}})',
        error=("MongoError", 2),
        kept=lambda marker: {"_id": marker},
        extras=(
            Extra(
                "iterator",
                f'[{_KEPT}.delete({{}}), {_KEPT}.insert({{"_id": n}}), *{_KEPT}.find(batch=1)][2:]',
                f'[{_KEPT}.delete({{}}), {_KEPT}.insert({{"_id": n}}), ...{_KEPT}.find({{}}, {{ batch: 1 }})].slice(2)',
                [{"_id": "m"}],
            ),
        ),
        login=Login(mongo_server.USERNAME, mongo_server.PASSWORD),
        connections=3,  # one of them watches the server
    ),
    _sql_case("postgresql", _postgres, _by_url("postgresql://{login}{address}/app"), "42P01", login=_SQL_LOGIN),
    _sql_case("mariadb", _mariadb, _by_url("mariadb://{login}{address}/app"), 1146, login=_SQL_LOGIN),
    _sql_case("java", _java, _java_options, "42P01", login=_SQL_LOGIN, errors_after_restart=1),
]
"""There is a server, which can fail."""
CASES = [*SERVED, _sql_case("sqlite", _sqlite, _by_url("sqlite:///{address}"), "SQLITE_ERROR")]
