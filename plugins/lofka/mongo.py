"""``MongoClient``: documents cross as extended JSON text, as Lofka's MongoDB driver reads and writes it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from trimtab.api import ScriptObject
from trimtab.plugins.lofka.own import Connection, Connections
from trimtab.plugins.lofka.reach import MONGO
from trimtab.plugins.lofka.servers import server
from trimtab.plugins.mongo.options import MongoOptions

if TYPE_CHECKING:
    from trimtab.plugins.mongo.resource import Documents

Result = TypeVar("Result")

_PORT = 27017


def servers_of(setting: Mapping[str, Any]) -> list[str]:
    """Return ``host:port`` of every server that Lofka's setting names. Raises ``ValueError``."""
    servers = setting.get("servers") or setting.get("mongodb.servers") or "localhost"
    return [server(each, _PORT) for each in str(servers).split(",")]


def options_of(setting: Mapping[str, Any], timeout: float) -> MongoOptions:
    """Return the options for Lofka's setting. Raises ``ValueError`` for an ``auth`` that cannot be read."""
    from urllib.parse import quote

    url = f"mongodb://{','.join(servers_of(setting))}/"
    auth = setting.get("auth") or setting.get("mongodb.auth")
    if not auth:
        return MongoOptions(url=url, timeout=timeout)
    login, _, database = str(auth).rpartition("@")
    user, _, password = login.partition(":")
    if not user or not database:
        raise ValueError("MongoClient: expected auth as user:password@database, got another form")
    source = f"{url}?authSource={quote(database, safe='')}"
    return MongoOptions(url=source, user=user, password=password, timeout=timeout)


class MongoConnection(Connection):
    """What a script's ``MongoClient`` holds. Connects when it is first used."""

    methods = frozenset({"collection", "close"})

    def __init__(self, connections: Connections, setting: Mapping[str, Any], timeout: float) -> None:
        from trimtab.plugins.mongo.resource import MongoResource

        name = f"mongo.{servers_of(setting)[0]}"
        options = options_of(setting, timeout)
        connections.reach.require(MONGO, options)
        super().__init__(connections, MongoResource(options, name), "mongo", name)
        self._collections: dict[tuple[str, str], MongoCollection] = {}

    def collection(self, database: str, name: str) -> MongoCollection:
        """Return what talks to a collection; it lasts as long as the connection."""
        place = database, name
        if place not in self._collections:
            self._collections[place] = MongoCollection(self, database, name)
        return self._collections[place]

    def run(
        self, place: tuple[str, str], method: str, texts: tuple[str, ...], work: Callable[..., Result], empty: Result
    ) -> Result:
        """Call ``work`` with the driver's collection and the values of the texts; ``empty`` is of an empty database."""
        values = [_read(text) for text in texts]

        def ask(resource: Any) -> Result:
            result: Result = resource.run_on(*place, lambda collection: work(collection, *values))
            return result

        return self._opened().call(method, (*place, *values), ask, empty)


class MongoCollection(ScriptObject):
    """What a script's collection holds. Every argument and every document that is returned is extended JSON text."""

    methods = frozenset({"find", "count", "aggregate", "insert", "remove", "upsert_one"})
    outside = methods

    def __init__(self, connection: MongoConnection, database: str, name: str) -> None:
        self._connection, self._place = connection, (database, name)

    def find(self, query: str) -> str:
        """Return the documents for ``{filter, sort, skip, limit, projection, hint}``, as a list."""
        return self._run("find", (query,), _find, "[]")

    def count(self, only: str) -> int:
        """Return how many documents there are for a filter."""
        return self._run("count", (only,), lambda documents, values: documents.count_documents(values), 0)

    def aggregate(self, pipeline: str) -> str:
        """Return what the stages make of the documents, as a list."""
        return self._run("aggregate", (pipeline,), lambda documents, stages: _write(documents.aggregate(stages)), "[]")

    def insert(self, data: str) -> None:
        """Insert a document, or each one of a list."""
        self._run("insert", (data,), _insert, None)

    def remove(self, only: str) -> int:
        """Delete all documents for a filter. Returns how many there were."""
        return self._run("remove", (only,), lambda documents, values: documents.delete_many(values).deleted_count, 0)

    def upsert_one(self, only: str, data: str) -> None:
        """Set the fields of ``data`` in one document for the filter, which is made if there is none."""
        self._run("upsert_one", (only, data), _upsert, None)

    def _run(self, method: str, texts: tuple[str, ...], work: Callable[..., Result], empty: Result) -> Result:
        return self._connection.run(self._place, method, texts, work, empty)


def _find(documents: Documents, query: dict[str, Any]) -> str:
    for keys in ("sort", "hint"):
        if keys in query:
            query[keys] = list(query[keys].items())
    return _write(documents.find(**query))


def _insert(documents: Documents, data: Any) -> None:
    if isinstance(data, list):
        documents.insert_many(data)
    else:
        documents.insert_one(data)


def _upsert(documents: Documents, only: dict[str, Any], data: dict[str, Any]) -> None:
    documents.update_one(only, {"$set": data}, upsert=True)


def _read(text: str) -> Any:
    from bson import json_util

    return json_util.loads(text)


def _write(documents: Any) -> str:
    """Longs and dates are objects with ``$numberLong`` and ``$date`` (milliseconds), as Lofka's driver writes them."""
    from bson import json_util
    from bson.json_util import DatetimeRepresentation, JSONMode, JSONOptions

    options = JSONOptions(
        json_mode=JSONMode.LEGACY, strict_number_long=True, datetime_representation=DatetimeRepresentation.LEGACY
    )
    return json_util.dumps(list(documents), json_options=options)
