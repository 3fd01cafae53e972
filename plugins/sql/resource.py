"""The resource ``sql``: one database."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from sqlalchemy import URL
from sqlalchemy.exc import NoSuchModuleError

from trimtab.api import CallError, Resource, parse_duration
from trimtab.plugins.sql.connections import Connections
from trimtab.plugins.sql.deadline import Deadline
from trimtab.plugins.sql.flavors import Flavor
from trimtab.plugins.sql.options import DatabaseOptions, SqlOptions
from trimtab.plugins.sql.session import Session, Stream
from trimtab.plugins.sql.statements import Params
from trimtab.plugins.sql.urls import read_url

Result = TypeVar("Result")

_EXTRAS = {"mariadb": "mysql", "mysql": "mysql", "postgresql": "postgresql"}


class SqlResource(Resource):
    """A database behind its connections. Statements run each for itself, or in a transaction."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    def run(self, work: Callable[[Session], Result]) -> Result:
        """Run ``work`` on a connection where every statement is committed at once. Raises :class:`CallError`."""
        session = self.connect()
        try:
            return work(session)
        finally:
            session.close()

    def connect(self) -> Session:
        """Return a connection where every statement is committed at once, to be kept. Raises :class:`CallError`."""
        return Session(self._connections, autocommit=True)

    def begin(self) -> Session:
        """Return a connection with a transaction. Raises :class:`CallError`."""
        session = Session(self._connections, autocommit=False)
        try:
            session.begin()
        except BaseException:
            session.close()
            raise
        return session

    def atomically(self, work: Callable[[Session], Result]) -> Result:
        """Run ``work`` in a transaction. Raises :class:`CallError`."""
        session = self.begin()
        try:
            result = work(session)
        except BaseException:
            session.rollback_and_close()
            raise
        session.commit_and_close()
        return result

    def stream(self, sql: str, params: Params, page: int) -> Stream:
        """Run a statement whose rows are to be read page by page. Raises :class:`CallError`."""
        session = Session(self._connections, autocommit=False)
        try:
            return session.stream(sql, params, page)
        except BaseException:
            session.abandon()
            raise

    def check(self) -> None:
        """See :class:`Resource`."""
        probe = self._connections.flavor.probe
        self.run(lambda session: session.query(probe))

    def close(self) -> None:
        """See :class:`Resource`."""
        self._connections.close()


def create_resource(options: SqlOptions, name: str, folder: Path) -> SqlResource:
    """Make the resource. Raises :class:`CallError` for options that cannot be meant, and for a missing driver."""
    if options.driver is None and options.jar is None:
        return open_database(options, name, folder, options.connections)
    with _refusing(name):
        return SqlResource(Connections(_java_flavor(options, folder), name, options.connections))


def open_database(options: DatabaseOptions, name: str, folder: Path, connections: int = 1) -> SqlResource:
    """Make the resource for a database behind SQLAlchemy; connects to nothing. Raises as :func:`create_resource`."""
    with _refusing(name):
        url = read_url(options.url, folder, options.user, options.password)
        try:
            flavor = _flavor_type(url)(url, Deadline(parse_duration(options.timeout)))
            return SqlResource(Connections(flavor, name, connections))
        except (ImportError, NoSuchModuleError) as error:
            raise ValueError(_missing(url, error)) from None


@contextmanager
def _refusing(name: str) -> Iterator[None]:
    try:
        yield
    except ValueError as error:
        raise CallError("SqlError", f"{name}: {error}") from None
    except ImportError as error:
        raise CallError(
            "SqlError", f"{name}: expected what Java needs, got {error}; pip install 'trimtab[jdbc]'"
        ) from None


def _flavor_type(url: URL) -> type[Flavor]:
    match url.drivername:
        case "postgresql+psycopg":
            from trimtab.plugins.sql.postgresql import PostgresFlavor

            return PostgresFlavor
        case "mysql+pymysql" | "mariadb+pymysql":
            from trimtab.plugins.sql.mysql import MySqlFlavor

            return MySqlFlavor
        case "sqlite" | "sqlite+pysqlite":
            from trimtab.plugins.sql.sqlite import SqliteFlavor

            return SqliteFlavor
    if url.get_dialect().is_async:
        raise ValueError(f"expected a driver that blocks, got {url.drivername}")
    return Flavor


def _java_flavor(options: SqlOptions, folder: Path) -> Flavor:
    from trimtab.plugins.sql.jdbc import JavaOptions, JdbcFlavor

    if options.driver is None or options.jar is None or not options.url.startswith("jdbc:"):
        raise ValueError('expected url = "jdbc:...", driver and jar together, got only some; add the missing ones')
    jars = [options.jar] if isinstance(options.jar, str) else options.jar
    paths = tuple(folder / jar for jar in jars)
    for path in paths:
        if not path.is_file():
            raise ValueError(f"jar: expected a file, got none at {path}")
    java = JavaOptions(options.url, options.driver, paths, options.user, options.password)
    return JdbcFlavor(java, Deadline(parse_duration(options.timeout)))


def _missing(url: URL, error: Exception) -> str:
    extra = _EXTRAS.get(url.get_backend_name())
    if extra is not None:
        return f"expected the driver of {url.get_backend_name()}, got {error}; pip install 'trimtab[{extra}]'"
    return f"expected a driver for {url.drivername}, got {error}; install the package that SQLAlchemy names for it"
