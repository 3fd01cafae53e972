"""The connections of one ``[resources.mongo.NAME]``."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextvars import copy_context
from typing import Any, TypeVar

import pymongo
from bson.codec_options import DatetimeConversion
from bson.errors import BSONError
from pymongo import MongoClient
from pymongo.collection import Collection
from pymongo.errors import ConfigurationError, InvalidName, PyMongoError

from trimtab.api import CallError, Resource, parse_duration
from trimtab.plugins.mongo.errors import call_error
from trimtab.plugins.mongo.options import MongoOptions, check_url

Client = MongoClient[dict[str, Any]]
Documents = Collection[dict[str, Any]]
Result = TypeVar("Result")

_CLOSING = 0.5
"""Seconds to tell the servers goodbye."""


class MongoResource(Resource):
    """A client of the driver's: one connection that is kept, and threads that watch the servers, begun with the first
    call. It is given up when anything but an error of the driver's comes out of a call: its state is not known then.
    """

    def __init__(self, options: MongoOptions, name: str) -> None:
        self._options, self._name = options, name
        self._timeout = parse_duration(options.timeout)
        try:
            check_url(options.url)
            self._client: Client | None = self._make_client()
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
        client, self._client = self._client, None
        if client is not None:
            _close(client)

    def run(self, work: Callable[[Client], Result]) -> Result:
        """Return what ``work`` returns for the client. Raises :class:`CallError` for an error of the driver's, and
        ``ValueError`` for a value that cannot be sent.
        """
        client = self._client = self._client or self._make_client()
        try:
            # A context of its own: a call that is broken off may leave its deadline behind there.
            return copy_context().run(_limited, self._timeout, work, client)
        except (BSONError, InvalidName, OverflowError, UnicodeEncodeError) as error:
            failure: Exception = ValueError(f"expected what MongoDB can hold, got {type(error).__name__}: {error}")
        except PyMongoError as error:
            failure = call_error(error, self._name, self._timeout, client.topology_description)
        except BaseException:
            self._abandon()
            raise
        raise failure

    def run_on(self, database: str | None, name: str, work: Callable[[Documents], Result]) -> Result:
        """Do as :meth:`run` with a collection; ``database`` None: the one that the configuration names."""
        database = database or self._default_database()
        return self.run(lambda client: work(client[database][name]))

    def _default_database(self) -> str:
        client = self._client = self._client or self._make_client()
        try:
            return self._options.database or client.get_default_database().name
        except ConfigurationError:
            problem = f"expected a database, got none: name it first, or set `database` of [resources.{self._name}]"
        raise ValueError(problem)

    def _make_client(self) -> Client:
        """Return a client that has not connected to anything, nor begun a thread."""
        milliseconds = max(1, round(self._timeout * 1000))
        login: dict[str, Any] = {"username": self._options.user, "password": self._options.password}
        return MongoClient(
            self._options.url,
            connect=False,
            appname="trimtab",
            maxPoolSize=2,  # calls come one at a time; the other is for what the driver does beside them
            serverMonitoringMode="poll",  # half the threads
            serverSelectionTimeoutMS=milliseconds,
            connectTimeoutMS=milliseconds,
            socketTimeoutMS=milliseconds,
            datetime_conversion=DatetimeConversion.DATETIME_MS,
            **{key: value for key, value in login.items() if value is not None},
        )

    def _abandon(self) -> None:
        """Let another thread close the client: that may wait for the servers, and nobody has time left for it."""
        client, self._client = self._client, None
        if client is not None:
            threading.Thread(target=_close, args=(client,), daemon=True).start()


def _limited(seconds: float, work: Callable[[Client], Result], client: Client) -> Result:
    with pymongo.timeout(seconds):
        return work(client)


def _close(client: Client) -> None:
    with pymongo.timeout(_CLOSING):
        client.close()
