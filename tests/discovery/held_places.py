"""Real places of every kind that a discoverer looks at, driven in the same way."""

from __future__ import annotations

import json
import shutil
import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from typing import Any, TypeVar

import redis

from tests.discovery.web_shelf import Shelf
from tests.servers.redis_servers import RedisServer
from tests.servers.sql_servers import MariaDbServer, PostgresServer
from trimtab.api import Discoverer, DiscovererContext
from trimtab.plugins import center, manifest
from trimtab.plugins.center.options import RedisHashOptions, SqlTableOptions
from trimtab.plugins.folder.discoverer import FolderDiscoverer
from trimtab.plugins.manifest.options import DocumentOptions

Database = TypeVar("Database", PostgresServer, MariaDbServer)

INTERVAL, TIMEOUT = "0.1s", "0.5s"


def context(folder: Path) -> DiscovererContext:
    """What the host would give a discoverer."""
    return DiscovererContext(folder, (folder / "scripts",), folder / "state", frozenset((".js", ".py")))


class HeldPlace(ABC):
    """A place that holds a few values by key: scripts ``KEY.py``, or settings. All calls come to an end at once."""

    @abstractmethod
    def make(self) -> Discoverer:
        """Make a discoverer that looks at the place."""

    @abstractmethod
    def hold(self, content: Mapping[str, str]) -> None:
        """Have the place hold this and nothing else."""

    def artifacts(self, content: Mapping[str, str]) -> dict[str, bytes]:
        """What a scan must see of this content."""
        return {
            "settings:place": json.dumps(
                {key: int(value) for key, value in content.items()}, sort_keys=True, separators=(",", ":")
            ).encode()
        }

    @abstractmethod
    def stop(self) -> None:
        """Make the place unreachable."""

    @abstractmethod
    def start(self) -> None:
        """Make the place reachable, if it is not."""

    def pause(self) -> None:
        """Have the place accept questions and answer none. Only those on a server can."""
        raise NotImplementedError

    def resume(self) -> None:
        """Let it go on."""
        raise NotImplementedError


class _Folder(HeldPlace):
    def __init__(self, folder: Path) -> None:
        self._folder, self._scripts = folder, folder / "scripts"
        self._scripts.mkdir()

    def make(self) -> Discoverer:
        return FolderDiscoverer(context(self._folder))

    def hold(self, content: Mapping[str, str]) -> None:
        for path in self._scripts.iterdir():
            if path.stem not in content:
                path.unlink()
        for key, value in content.items():
            temporary = self._scripts / f"..{key}"
            temporary.write_text(value)
            temporary.rename(self._scripts / f"{key}.py")

    def artifacts(self, content: Mapping[str, str]) -> dict[str, bytes]:
        return {f"{key}.py": value.encode() for key, value in content.items()}

    def stop(self) -> None:
        shutil.move(self._scripts, self._folder / "away")

    def start(self) -> None:
        if not self._scripts.exists():
            shutil.move(self._folder / "away", self._scripts)


class OnTheWeb(HeldPlace):
    """A document on a web server."""

    def __init__(self, shelf: Shelf) -> None:
        self.shelf = shelf
        self._stopped = False
        self.options = DocumentOptions(
            url=shelf.url("/place.json").replace("//", "//me:secret@"), interval=INTERVAL, timeout=TIMEOUT
        )

    def stop(self) -> None:
        self.shelf.stop()
        self._stopped = True

    def start(self) -> None:
        if self._stopped:
            self.shelf.start()
            self._stopped = False

    def pause(self) -> None:
        self.shelf.pause()

    def resume(self) -> None:
        self.shelf.resume()


class _Manifest(OnTheWeb):
    def make(self) -> Discoverer:
        return manifest.create(self.options, "place", context(Path("/")))

    def hold(self, content: Mapping[str, str]) -> None:
        scripts = {f"/v{value}/{key}.py": value.encode() for key, value in content.items()}
        # One assignment: a look between two would see a change in half.
        self.shelf.documents = {"/place.json": json.dumps([*scripts]).encode(), **self.shelf.documents, **scripts}
        self.shelf.documents["/place.json"] = json.dumps([*scripts]).encode()

    def artifacts(self, content: Mapping[str, str]) -> dict[str, bytes]:
        return {f"{key}.py": value.encode() for key, value in content.items()}


class _Document(OnTheWeb):
    def make(self) -> Discoverer:
        return center.create_http(self.options, "place", context(Path("/")))

    def hold(self, content: Mapping[str, str]) -> None:
        self.shelf.documents["/place.json"] = json.dumps({key: int(value) for key, value in content.items()}).encode()


class OnServer(HeldPlace):
    """A place in a server program."""

    def __init__(self, server: Any) -> None:
        self.server = server
        self._stopped = False

    def stop(self) -> None:
        self.server.stop()
        self._stopped = True

    def start(self) -> None:
        self.server.resume()
        if self._stopped:
            self.server.start()
            self._stopped = False

    def pause(self) -> None:
        self.server.pause()

    def resume(self) -> None:
        self.server.resume()


class _RedisHash(OnServer):
    def __init__(self, server: RedisServer, channel: str | None) -> None:
        super().__init__(server)
        self._channel = channel

    def make(self) -> Discoverer:
        options = RedisHashOptions(
            url=self.server.url,
            password="secret",
            key="settings",
            interval=INTERVAL if self._channel is None else "1s",
            channel=self._channel,
            timeout=TIMEOUT,
        )
        return center.create_redis(options, "place", context(Path("/")))

    def hold(self, content: Mapping[str, str]) -> None:
        with redis.Redis(port=self.server.port, password="secret") as client, client.pipeline() as pipeline:
            pipeline.delete("settings")
            pipeline.hset("settings", mapping=dict(content))
            if self._channel is not None:
                pipeline.publish(self._channel, "changed")
            pipeline.execute()


_TABLE = "create table settings (name varchar(99) primary key, value text)"


def _statements(content: Mapping[str, str]) -> list[str]:
    inserts = [f"insert into settings values ('{key}', '{value}')" for key, value in content.items()]
    return ["begin", "delete from settings", *inserts, "commit"]


class _SqlTable(OnServer):
    """In a database server."""

    def __init__(self, server: PostgresServer | MariaDbServer, channel: str | None) -> None:
        super().__init__(server)
        self._channel = channel
        server.run(_TABLE)

    def make(self) -> Discoverer:
        interval = INTERVAL if self._channel is None else "1s"
        options = SqlTableOptions(url=self.server.url, interval=interval, channel=self._channel, timeout=TIMEOUT)
        return center.create_sql(options, "place", context(Path("/")))

    def hold(self, content: Mapping[str, str]) -> None:
        notify = [f"notify {self._channel}"] if self._channel is not None else []
        self.server.run("; ".join([*_statements(content), *notify]))

    def stop(self) -> None:
        self.server.kill()  # asked to end, PostgreSQL waits for those who are connected
        self._stopped = True


class _SqliteTable(HeldPlace):
    def __init__(self, folder: Path) -> None:
        self._folder, self._file = folder, folder / "data" / "settings.db"
        self._file.parent.mkdir()
        self._run(_TABLE)

    def make(self) -> Discoverer:
        options = SqlTableOptions(url="sqlite:///data/settings.db", interval=INTERVAL, timeout=TIMEOUT)
        return center.create_sql(options, "place", context(self._folder))

    def hold(self, content: Mapping[str, str]) -> None:
        self._run(*_statements(content))

    def _run(self, *statements: str) -> None:
        with closing(sqlite3.connect(self._file, isolation_level=None)) as connection:
            for statement in statements:
                connection.execute(statement)

    def stop(self) -> None:
        shutil.move(self._file.parent, self._folder / "away")

    def start(self) -> None:
        if not self._file.parent.exists():
            shutil.move(self._folder / "away", self._file.parent)


@contextmanager
def folder(path: Path) -> Iterator[HeldPlace]:
    yield _Folder(path)


@contextmanager
def manifest_list(_path: Path) -> Iterator[HeldPlace]:
    with Shelf() as shelf:
        yield _Manifest(shelf)


@contextmanager
def http_document(_path: Path) -> Iterator[HeldPlace]:
    with Shelf() as shelf:
        yield _Document(shelf)


@contextmanager
def redis_hash(path: Path) -> Iterator[HeldPlace]:
    with RedisServer(path, {"requirepass": "secret"}) as server:
        yield _RedisHash(server, None)


@contextmanager
def redis_hash_with_channel(path: Path) -> Iterator[HeldPlace]:
    with RedisServer(path, {"requirepass": "secret"}) as server:
        yield _RedisHash(server, "changes")


@contextmanager
def sqlite_table(path: Path) -> Iterator[HeldPlace]:
    yield _SqliteTable(path)


@contextmanager
def postgres_table(_path: Path) -> Iterator[HeldPlace]:
    with server_running(PostgresServer()) as server:
        yield _SqlTable(server, None)


@contextmanager
def postgres_table_with_channel(_path: Path) -> Iterator[HeldPlace]:
    with server_running(PostgresServer()) as server:
        yield _SqlTable(server, "changes")


@contextmanager
def mariadb_table(_path: Path) -> Iterator[HeldPlace]:
    with server_running(MariaDbServer()) as server:
        yield _SqlTable(server, None)


@contextmanager
def server_running(server: Database) -> Iterator[Database]:
    """Run a server for a while."""
    try:
        server.start()
        yield server
    finally:
        server.remove()


Kinds = tuple[Callable[[Path], AbstractContextManager[HeldPlace]], ...]

ON_SERVERS: Kinds = (
    manifest_list,
    http_document,
    redis_hash,
    redis_hash_with_channel,
    postgres_table,
    postgres_table_with_channel,
    mariadb_table,
)
KINDS: Kinds = (folder, sqlite_table, *ON_SERVERS)
