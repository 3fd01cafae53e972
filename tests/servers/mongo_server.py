"""A server that speaks MongoDB's protocol: SecantusDB, a package for tests, in a process of its own."""

from __future__ import annotations

import sys
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from pymongo import MongoClient
from pymongo.errors import PyMongoError

from tests.servers.programs import Server, free_port

HOST = "127.0.0.1"
USERNAME, PASSWORD = "trimtab", "p:/@%word"  # what must be escaped in an address


class MongoServer(Server):
    """One server on a free port, whose data stay in ``folder`` when it is stopped or killed.

    ``login``: it lets in nobody but ``USERNAME`` with ``PASSWORD``.
    """

    def __init__(self, folder: Path, *, login: bool = False) -> None:
        self.port = free_port()
        self.folder = folder / f"mongo-{self.port}"
        self.folder.mkdir(parents=True)
        self._login = login
        options = {"host": HOST, "port": str(self.port), "storage-path": str(self.folder / "data"), "cache-size": "64M"}
        self._plain = [sys.executable, "-m", "secantus", *(f"--{name}={value}" for name, value in options.items())]
        self._plain.append("--sync-on-commit")  # what was acknowledged is there after kill()
        command = [*self._plain, "--auth"] if login else self._plain
        super().__init__(command, self.folder / "log", self._answers)

    @property
    def address(self) -> str:
        """``127.0.0.1:PORT``"""
        return f"{HOST}:{self.port}"

    @property
    def url(self) -> str:
        """``mongodb://127.0.0.1:PORT/``, without the login."""
        return f"mongodb://{self.address}/"

    def start(self) -> None:
        """Start the process and wait until it answers."""
        if self._login and not (self.folder / "data").exists():
            self._add_user()
        super().start()

    def client(self) -> MongoClient[dict[str, Any]]:
        """Return a client with all rights. Close it, or use it as a context manager."""
        login: dict[str, Any] = {"username": USERNAME, "password": PASSWORD} if self._login else {}
        return self._connect(**login)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.kill()  # a clean end takes seconds

    def _connect(self, milliseconds: int = 10_000, **login: Any) -> MongoClient[dict[str, Any]]:
        return MongoClient(
            HOST, self.port, serverSelectionTimeoutMS=milliseconds, serverMonitoringMode="poll", tz_aware=True, **login
        )

    def _answers(self) -> bool:
        with self._connect(200) as client:
            try:
                client.admin.command("ping")
            except PyMongoError:
                return False
        return True

    def _add_user(self) -> None:
        """The first user can only be made while the server lets in everybody."""
        server = Server(self._plain, self.folder / "log", self._answers)
        server.start()
        try:
            with self._connect() as client:
                client.admin.command("createUser", USERNAME, pwd=PASSWORD, roles=["root"])
        finally:
            server.kill()
