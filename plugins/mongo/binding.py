"""The binding ``mongo``: ``mongo("logs").collection("db", "events")``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trimtab.api import Caller, ResourceBinding, ScriptHost, ScriptObject

if TYPE_CHECKING:
    from trimtab.plugins.mongo.collection import MongoCollection


class Connection(ScriptObject):
    """What ``mongo("logs")`` gives to a script."""

    methods = frozenset({"collection"})

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    def collection(self, database: str, name: str | None = None) -> MongoCollection:
        """Return a collection: by the names of its database and its own, or by its own alone. Asks nobody.

        With one name, the database is the one of the configuration. Raises ``TypeError`` for anything but names.
        """
        from trimtab.plugins.mongo.calls import Place
        from trimtab.plugins.mongo.collection import MongoCollection

        names = (database,) if name is None else (database, name)
        if not all(isinstance(text, str) and text for text in names):
            raise TypeError(f"expected collection(database, name) or collection(name), got {names}")
        return MongoCollection(Place(self._caller, None if name is None else database, names[-1]))


class MongoBinding(ResourceBinding):
    """Gives scripts ``mongo``."""

    name = "mongo"

    def connect(self, caller: Caller, _host: ScriptHost) -> Connection:
        """See :class:`ResourceBinding`."""
        return Connection(caller)
