"""Any database with a JDBC driver, through Java."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import jpype
import jpype.dbapi2
from sqlalchemy import Dialect, Engine, NullPool, make_url
from sqlalchemy.engine.default import DefaultDialect

from trimtab.plugins.sql.deadline import Deadline
from trimtab.plugins.sql.flavors import Flavor
from trimtab.plugins.sql.java_values import Getter, Setter
from trimtab.plugins.sql.patience import Patience
from trimtab.plugins.sql.placeholders import MYSQL, POSTGRESQL, SQLITE, SQLSERVER, STANDARD
from trimtab.plugins.sql.statements import Binder
from trimtab.plugins.sql.trouble import Trouble, connection_lost, of_state, timed_out

JVM_OPTIONS = (
    "-Xrs",  # signals are the host's
    "-Xmx64m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-XX:ReservedCodeCacheSize=16m",
)
"""Small and quick to start: what a lane may use of memory, it uses for drivers alone."""
GRACE = 0.25
"""Seconds that the server has to say that a statement took too long before the connection is given up."""

_WAITING = frozenset(
    {"execute", "executeBatch", "executeQuery", "executeUpdate", "getMetaData", "getParameterMetaData"}
)
"""Methods of a statement that ask the server."""
_PASSWORD = re.compile(r"[?&;]password=([^&;]+)", re.IGNORECASE)
_SYNTAXES = {"mariadb": MYSQL, "mysql": MYSQL, "postgresql": POSTGRESQL, "sqlite": SQLITE, "sqlserver": SQLSERVER}


@dataclass(frozen=True, slots=True)
class JavaOptions:
    """Where the driver is, and what it is told."""

    url: str
    driver: str
    jars: tuple[Path, ...]
    user: str | None
    password: str | None

    @property
    def kind(self) -> str:
        """What the URL says behind ``jdbc:``."""
        return self.url.split(":")[1]


class JdbcFlavor(Flavor):
    """Java's drivers block without looking at signals, so they do that in a thread: see :class:`Patience`."""

    def __init__(self, options: JavaOptions, deadline: Deadline) -> None:
        super().__init__(make_url("jdbc://").set(password=options.password or _password_in(options.url)), deadline)
        self._options = options

    def make_engine(self) -> Engine:
        """See :class:`Flavor`. Starts Java where it does not run yet. Raises ``ValueError`` where there is none."""
        start_java()
        driver = JavaDriver(self._options, self.deadline.seconds)
        dialect = JdbcDialect(dbapi=jpype.dbapi2)
        return Engine(NullPool(driver.connect, dialect=dialect), dialect, self.url)

    def binder(self, dialect: Dialect) -> Binder:  # noqa: ARG002 - Java's drivers have one style
        """See :class:`Flavor`."""
        question = "??" if self._options.kind == "postgresql" else "?"
        return Binder(_SYNTAXES.get(self._options.kind, STANDARD), "qmark", question=question)

    def trouble(self, error: BaseException) -> Trouble:
        """See :class:`Flavor`."""
        thrown = _thrown(error)
        if thrown is None:
            return super().trouble(error)
        message = str(thrown.getMessage()).partition("\n")[0]  # further lines tell values
        state = None if thrown.getSQLState() is None else str(thrown.getSQLState())
        trouble = of_state(state, message)
        if isinstance(thrown, jpype.JClass("java.sql.SQLRecoverableException")):
            trouble = connection_lost(message, state)
        is_late = trouble.lost and self.deadline.has_passed()
        if is_late or isinstance(thrown, jpype.JClass("java.sql.SQLTimeoutException")):
            return timed_out(self.deadline.seconds)
        return trouble

    @property
    def probe(self) -> str:
        """See :class:`Flavor`."""
        return "select 1 from dual" if self._options.kind == "oracle" else "select 1"


class JdbcDialect(DefaultDialect):
    """What SQLAlchemy must know of a connection through Java."""

    name = "jdbc"
    driver = "jpype"
    default_paramstyle = "qmark"
    supports_statement_cache = False

    def initialize(self, connection: Any) -> None:
        """Ask nothing: statements go to the database as they stand."""

    def get_isolation_level_values(self, dbapi_conn: Any) -> list[Any]:  # noqa: ARG002 - as SQLAlchemy has it
        """Return the levels that can be set."""
        return ["AUTOCOMMIT"]

    def set_isolation_level(self, dbapi_connection: Any, level: str) -> None:
        """Have every statement committed at once, or not."""
        dbapi_connection.autocommit = level == "AUTOCOMMIT"

    def is_disconnect(self, e: Exception, connection: Any, cursor: Any) -> bool:  # noqa: ARG002 - see above
        """Whether a connection is of no use after an error."""
        driver = getattr(connection, "dbapi_connection", connection)
        return driver is not None and bool(driver.connection.isClosed())

    def do_terminate(self, dbapi_connection: Any) -> None:
        """Close a connection on which something may be under way."""
        dbapi_connection.connection.abort(_executor())

    def do_ping(self, dbapi_connection: Any) -> bool:
        """Ask the server for a sign of life."""
        return bool(dbapi_connection.connection.isValid(1))


class JavaDriver:
    """A driver in a class loader of its own, so that each resource may have another version."""

    def __init__(self, options: JavaOptions, seconds: float) -> None:
        self._options = options
        self._seconds = seconds
        urls = [jpype.JClass("java.io.File")(str(jar)).toURI().toURL() for jar in options.jars]
        loader = jpype.JClass("java.net.URLClassLoader")(jpype.JArray(jpype.JClass("java.net.URL"))(urls))
        try:
            found = jpype.JClass("java.lang.Class").forName(options.driver, True, loader)
        except jpype.JClass("java.lang.ClassNotFoundException"):
            raise ValueError(f"expected a class in the jar, got no {options.driver}; look at driver and jar") from None
        self._driver = found.getDeclaredConstructor().newInstance()
        self._patience = Patience()
        self._setter, self._getter = Setter(), Getter()

    def connect(self) -> Any:
        """Return a new connection, as PEP 249 has it."""
        jpype.JClass("java.sql.DriverManager").setLoginTimeout(math.ceil(self._seconds))
        java = self._patience.call(lambda: self._driver.connect(self._options.url, self._properties()))
        if java is None:
            raise ValueError(f"expected a URL that {self._options.driver} knows, got jdbc:{self._options.kind}:...")
        milliseconds = round((self._seconds + GRACE) * 1000)
        java.setNetworkTimeout(_executor(), milliseconds)
        limited = _LimitedConnection(java, max(1, math.floor(self._seconds)), self._patience)
        return jpype.dbapi2.Connection(
            limited, {}, {}, lambda *_what: self._setter, lambda _connection, meta, index: self._getter.of(meta, index)
        )

    def _properties(self) -> Any:
        properties = jpype.JClass("java.util.Properties")()
        given = {"user": self._options.user, "password": self._options.password}
        if self._options.kind == "postgresql":  # as it is without Java; the driver prefers what its URL says
            # The driver does not look at the login timeout that Java has for all of them.
            given |= {"stringtype": "unspecified", "prepareThreshold": "0", "loginTimeout": str(self._seconds)}
        for name, value in given.items():
            if value is not None:
                properties.setProperty(name, value)
        return properties


class _LimitedConnection:
    """A Java connection whose statements have a time limit and send their rows in pieces."""

    def __init__(self, java: Any, seconds: int, patience: Patience) -> None:
        self._java = java
        self._seconds = seconds
        self._patience = patience

    def prepareStatement(self, *arguments: Any) -> Any:  # noqa: N802 - Java's name
        statement = self._patience.call(lambda: self._java.prepareStatement(*arguments))
        statement.setQueryTimeout(self._seconds)
        statement.setFetchSize(500)
        return _LimitedStatement(statement, self._patience)

    def commit(self) -> None:
        self._patience.call(self._java.commit)

    def rollback(self, *savepoint: Any) -> None:
        self._patience.call(lambda: self._java.rollback(*savepoint))

    def isValid(self, seconds: int) -> bool:  # noqa: N802 - Java's name
        return bool(self._patience.call(lambda: self._java.isValid(seconds)))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._java, name)


class _LimitedStatement:
    """A Java statement that is waited for with patience."""

    def __init__(self, java: Any, patience: Patience) -> None:
        self._java, self._patience = java, patience

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._java, name)
        if name not in _WAITING:
            return found
        return lambda *arguments: self._patience.call(lambda: found(*arguments))


def start_java() -> None:
    """Start the JVM of this process, if it does not run. Raises ``ValueError`` where there is no Java."""
    if jpype.isJVMStarted():
        return
    try:
        jpype.startJVM(*JVM_OPTIONS, convertStrings=False)
    except (jpype.JVMNotFoundException, OSError) as error:
        raise ValueError(f"expected Java for a JDBC driver, got none ({error}); install a Java runtime") from None


def _password_in(url: str) -> str | None:
    found = _PASSWORD.search(url)
    return found and unquote(found[1])


def _executor() -> Any:
    """What Java's drivers do chores with: at once."""
    return jpype.JProxy("java.util.concurrent.Executor", dict={"execute": _run})


def _run(command: Any) -> None:
    command.run()


def _thrown(error: BaseException) -> Any:
    """Return Java's exception behind an error of the driver."""
    kind = jpype.JClass("java.sql.SQLException")
    for candidate in (error, error.__cause__, error.__context__):
        if isinstance(candidate, kind):
            following = candidate.getNextException()  # a batch says only there what went wrong
            return candidate if following is None else following
    return None
