"""The connections of one ``[resources.mongo.NAME]``."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import copy_context
from dataclasses import dataclass
from threading import Lock, Thread
from typing import Any, TypeVar

import pymongo
from bson.codec_options import DatetimeConversion
from bson.errors import BSONError
from pymongo import MongoClient
from pymongo.collection import Collection
from pymongo.errors import ConfigurationError, InvalidName, PyMongoError

from trimtab.api import CallError, Resource, parse_duration
from trimtab.plugins.mongo.errors import call_error
from trimtab.plugins.mongo.options import MongoPlace, check_url

Client = MongoClient[dict[str, Any]]
Documents = Collection[dict[str, Any]]
Result = TypeVar("Result")

_CLOSING = 0.5
"""Seconds to tell the servers goodbye."""


@dataclass(slots=True, eq=False)
class _Shared:
    """A client of the driver's, which any number of threads may call, and how many calls are under way."""

    client: Client
    users: int = 0
    given_up: bool = False


class MongoResource(Resource):
    """A client of the driver's: up to ``connections`` of them, kept, and threads that watch the servers, begun with the
    first call. It is given up when anything but an error of the driver's comes out of a call: its state is not known
    then. It is closed when its other calls are over.
    """

    def __init__(self, options: MongoPlace, name: str, connections: int = 1) -> None:
        self._options, self._name, self._connections = options, name, connections
        self._timeout = parse_duration(options.timeout)
        self._lock = Lock()
        try:
            check_url(options.url)
            self._shared: _Shared | None = _Shared(self._make_client())
            self._database = options.database or _database_of(self._shared.client)
        except (PyMongoError, TypeError, ValueError) as error:
            problem = str(error)
        else:
            return
        raise CallError("MongoError", f"{name}: {problem}")

    def check(self) -> None:
        """See :class:`Resource`."""
        self.run(lambda client: client.admin.command("ping"))

    def close(self) -> None:
        """See :class:`Resource`."""
        with self._lock:
            shared, self._shared = self._shared, None
        if shared is not None:
            _close(shared.client)

    def run(self, work: Callable[[Client], Result]) -> Result:
        """Return what ``work`` returns for the client. Raises :class:`CallError` for an error of the driver's, and
        ``ValueError`` for a value that cannot be sent.
        """
        shared = self._enter()
        try:
            # A context of its own: a call that is broken off may leave its deadline behind there.
            return copy_context().run(_limited, self._timeout, work, shared.client)
        except (BSONError, InvalidName, OverflowError, UnicodeEncodeError) as error:
            failure: Exception = ValueError(f"expected what MongoDB can hold, got {type(error).__name__}: {error}")
        except PyMongoError as error:
            failure = call_error(error, self._name, self._timeout, shared.client.topology_description)
        except BaseException:
            self._give_up(shared)
            raise
        finally:
            self._leave(shared)
        raise failure

    def run_on(self, database: str | None, name: str, work: Callable[[Documents], Result]) -> Result:
        """Do as :meth:`run` with a collection; ``database`` None: the one that the configuration names."""
        named = database or self._database
        if named is None:
            problem = f"expected a database, got none: name it first, or set `database` of [resources.{self._name}]"
            raise ValueError(problem)
        return self.run(lambda client: work(client[named][name]))

    def _make_client(self) -> Client:
        """Return a client that has not connected to anything, nor begun a thread."""
        milliseconds = max(1, round(self._timeout * 1000))
        login: dict[str, Any] = {"username": self._options.user, "password": self._options.password}
        return MongoClient(
            self._options.url,
            connect=False,
            appname="trimtab",
            maxPoolSize=self._connections + 1,  # one is for what the driver does beside the calls
            serverMonitoringMode="poll",  # half the threads
            serverSelectionTimeoutMS=milliseconds,
            connectTimeoutMS=milliseconds,
            socketTimeoutMS=milliseconds,
            datetime_conversion=DatetimeConversion.DATETIME_MS,
            **{key: value for key, value in login.items() if value is not None},
        )

    def _enter(self) -> _Shared:
        with self._lock:
            shared = self._shared = self._shared or _Shared(self._make_client())
            shared.users += 1
        return shared

    def _give_up(self, shared: _Shared) -> None:
        """Have further calls made with another client."""
        with self._lock:
            shared.given_up = True
            if self._shared is shared:
                self._shared = None

    def _leave(self, shared: _Shared) -> None:
        """A call is over. A client that was given up is closed after its last call, in a thread of its own: that may
        wait for the servers, and nobody has time left for it.
        """
        with self._lock:
            shared.users -= 1
            unused = shared.given_up and not shared.users
        if unused:
            Thread(target=_close, args=(shared.client,), daemon=True).start()


def _database_of(client: Client) -> str | None:
    try:
        return client.get_default_database().name
    except ConfigurationError:
        return None


def _limited(seconds: float, work: Callable[[Client], Result], client: Client) -> Result:
    with pymongo.timeout(seconds):
        return work(client)


def _close(client: Client) -> None:
    with pymongo.timeout(_CLOSING):
        client.close()
