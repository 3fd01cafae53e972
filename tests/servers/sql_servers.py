"""SQL servers for tests: empty databases in folders of their own, started on free ports of loopback."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from tests.servers.programs import Server, free_port, program, until

USER, DATABASE = "trimtab", "app"
PASSWORD = "s3cret@:/pass"  # as bad as it may be in a URL
QUOTED_PASSWORD = "s3cret%40%3A%2Fpass"
NOBODY = ("setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", "--")
"""Database servers refuse to run as root."""

_POSTGRES_PROGRAMS = ("/usr/lib/postgresql/*/bin",)


class PostgresServer(Server):
    """PostgreSQL with the database ``app`` of the user ``trimtab``. What it holds outlives :meth:`kill` and a start.

    :meth:`remove` it in the end.
    """

    def __init__(self) -> None:
        self.folder = _server_folder("postgres")
        self.port = free_port()
        self._initialise()
        settings = ["fsync=off", "full_page_writes=off", "shared_buffers=16MB", "unix_socket_directories="]
        super().__init__(
            [
                *_as_nobody(_postgres_program("postgres")),
                *("-D", str(self.folder / "data"), "-h", "127.0.0.1", "-p", str(self.port)),
                *(part for setting in settings for part in ("-c", setting)),
            ],
            self.folder / "log",
            lambda: _accepts(self.port) and self._is_up(),
        )

    @property
    def url(self) -> str:
        """Its address as SQLAlchemy writes it, with user and password."""
        return f"postgresql://{USER}:{QUOTED_PASSWORD}@127.0.0.1:{self.port}/{DATABASE}"

    @property
    def jdbc_url(self) -> str:
        """Its address as JDBC writes it, without user and password."""
        return f"jdbc:postgresql://127.0.0.1:{self.port}/{DATABASE}"

    def kill(self) -> None:
        """See :meth:`Server.kill`."""
        super().signal(signal.SIGSTOP)  # or it starts a new child for one that has ended
        children = self._children()
        self.signal(signal.SIGKILL)
        super().kill()
        until(lambda: all(map(_has_ended, children)), "the processes of PostgreSQL to end")

    def signal(self, number: signal.Signals) -> None:
        """See :meth:`Server.signal`. The processes of PostgreSQL, one a connection, are no process group."""
        for child in self._children():
            with suppress(ProcessLookupError):
                os.kill(child, number)
        super().signal(number)

    def _children(self) -> list[int]:
        if self._process is None:
            return []
        pid = self._process.pid
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]

    def run(self, *statements: str) -> str:
        """Run statements, each in a transaction of its own, and return what the last one shows."""
        shown = ""
        for statement in statements:
            shown = self._psql(DATABASE, statement)
        return shown

    def remove(self) -> None:
        """Stop it and delete what it holds."""
        self.kill()
        shutil.rmtree(self.folder)

    def _initialise(self) -> None:
        password = self.folder / "password"
        password.write_text(PASSWORD)
        how = ["-U", USER, f"--pwfile={password}", "-A", "scram-sha-256", "-E", "UTF8", "--locale=C.UTF-8", "-N"]
        _done([*_as_nobody(_postgres_program("initdb")), "-D", str(self.folder / "data"), *how])
        start = [_postgres_program("postgres"), "--single", "-D", str(self.folder / "data"), "postgres"]
        _done(_as_nobody(*start), given=f"create database {DATABASE}\n")

    def _is_up(self) -> bool:
        with suppress(RuntimeError):
            return self._psql(DATABASE, "select 1") == "1"
        return False

    def _psql(self, database: str, statement: str) -> str:
        address = ["-h", "127.0.0.1", "-p", str(self.port), "-U", USER, "-d", database]
        return _done([_postgres_program("psql"), *address, "-XAtqc", statement], PGPASSWORD=PASSWORD)


class MariaDbServer(Server):
    """MariaDB with the database ``app`` and the user ``trimtab``. What it holds outlives :meth:`kill` and a start.

    :meth:`remove` it in the end.
    """

    def __init__(self) -> None:
        self.folder = _server_folder("mariadb")
        self.port = free_port()
        data, socket_path = self.folder / "data", self.folder / "socket"
        install = program("mariadb-install-db", "mariadb-server")
        how = ["--auth-root-authentication-method=normal", "--skip-test-db", "--innodb-log-file-size=4M"]
        _done([*_as_nobody(install), "--no-defaults", f"--datadir={data}", *how])
        first = self.folder / "first.sql"
        first.write_text(
            f"create database if not exists {DATABASE};\n"
            f"create user if not exists {USER}@'%' identified by '{PASSWORD}';\ngrant all on *.* to {USER}@'%';\n"
        )
        fast = ["--innodb-flush-log-at-trx-commit=0", "--innodb-log-file-size=4M", "--innodb-buffer-pool-size=16M"]
        here = [
            f"--datadir={data}",
            f"--socket={socket_path}",
            "--bind-address=127.0.0.1",
            f"--port={self.port}",
            "--character-set-server=utf8mb4",
        ]
        command = [*_as_nobody(program("mariadbd", "mariadb-server")), "--no-defaults", *here, *fast]
        super().__init__([*command, f"--init-file={first}"], self.folder / "log", lambda: _accepts(self.port))

    @property
    def url(self) -> str:
        """Its address as SQLAlchemy writes it, with user and password."""
        return f"mariadb://{USER}:{QUOTED_PASSWORD}@127.0.0.1:{self.port}/{DATABASE}"

    @property
    def jdbc_url(self) -> str:
        """Its address as JDBC writes it, without user and password."""
        return f"jdbc:mariadb://127.0.0.1:{self.port}/{DATABASE}"

    def run(self, *statements: str) -> str:
        """Run statements and return what the last one shows."""
        shown = ""
        for statement in statements:
            address = ["-h", "127.0.0.1", "-P", str(self.port), "-u", USER, DATABASE]
            client = [program("mariadb", "mariadb-client"), "--no-defaults", *address]
            shown = _done([*client, "-Nrse", statement], MYSQL_PWD=PASSWORD)
        return shown

    def remove(self) -> None:
        """Stop it and delete what it holds."""
        self.kill()
        shutil.rmtree(self.folder)


def _postgres_program(name: str) -> str:
    # Debian keeps the server's programs out of PATH, by version, so that several fit on a machine.
    found = program("initdb", "postgresql", also_in=_POSTGRES_PROGRAMS)
    return str(Path(found).resolve().parent / name)


def _server_folder(kind: str) -> Path:
    """Make a folder with an empty folder ``data`` in it, which ``nobody`` can use; pytest's are for root alone."""
    folder = Path(tempfile.mkdtemp(prefix=f"trimtab-{kind}-", dir="/tmp"))
    (folder / "data").mkdir(mode=0o700)
    if os.geteuid() == 0:
        shutil.chown(folder, "nobody", "nogroup")
        shutil.chown(folder / "data", "nobody", "nogroup")
    return folder


def _as_nobody(*command: str) -> list[str]:
    return [*NOBODY, *command] if os.geteuid() == 0 else [*command]


def _has_ended(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def _accepts(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


def _done(command: Sequence[str], given: str = "", **environment: str) -> str:
    """Run a program to its end and return what it printed. Raises ``RuntimeError`` if it fails."""
    done = subprocess.run(
        command,
        cwd="/",
        env={**os.environ, **environment},
        input=given,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(f"{command} failed: {done.stdout}{done.stderr}")
    return done.stdout.strip()
