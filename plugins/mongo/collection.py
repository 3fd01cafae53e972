"""What scripts do with a collection."""

from __future__ import annotations

from typing import Any

from pymongo import IndexModel
from pymongo.results import UpdateResult

from trimtab.api import Duration, ScriptObject, parse_duration
from trimtab.plugins.mongo.calls import Place, pairs, query_options, shown
from trimtab.plugins.mongo.documents import BATCH, Answer, Query
from trimtab.plugins.mongo.operations import change, replacement, write_models
from trimtab.plugins.mongo.resource import Documents
from trimtab.plugins.mongo.values import to_document, to_script

_UNCHANGED = {"matched": 0, "modified": 0, "upserted": 0, "ids": []}


class MongoCollection(ScriptObject):
    """A collection. Values go in and out as extended JSON: see :mod:`trimtab.plugins.mongo.values`."""

    methods = frozenset(
        {"find", "find_one", "count", "distinct", "aggregate"}
        | {"insert", "update", "replace", "upsert", "delete", "bulk"}
        | {"create_index", "indexes", "drop_index"}
    )
    outside = methods - {"find"}

    def __init__(self, place: Place) -> None:
        self._place = place

    # --- reading ---

    def find(
        self,
        query: Any = None,
        *,
        sort: Any = None,
        skip: int | None = None,
        limit: int | None = None,
        projection: Any = None,
        hint: Any = None,
        batch: int = BATCH,
    ) -> Query:
        """Return the documents that match, read page by page, ``batch`` at a time. No query: all. Asks nobody yet."""
        options = {"sort": sort, "skip": skip, "limit": limit, "projection": projection, "hint": hint}
        return Query(self._place, _all(query), options, _size(batch))

    def find_one(
        self, query: Any = None, *, sort: Any = None, skip: int | None = None, projection: Any = None, hint: Any = None
    ) -> Any:
        """Return the first document that matches, None if there is none."""
        options = {"sort": sort, "skip": skip, "projection": projection, "hint": hint}
        wanted, arguments = to_document(_all(query), "the filter"), query_options(options)
        return self._place.call(
            "findOne",
            shown(_all(query), **options),
            lambda collection: to_script(collection.find_one(wanted, **arguments)),
            None,
        )

    def count(self, query: Any = None) -> int:
        """Return how many documents match."""
        wanted = to_document(_all(query), "the filter")
        return self._place.call("count", (_all(query),), lambda found: found.count_documents(wanted), 0)

    def distinct(self, field: str, query: Any = None) -> list[Any]:
        """Return the values that a field has in the documents that match, each once."""
        name, wanted = _name(field), to_document(_all(query), "the filter")
        return self._place.call(
            "distinct", (field, _all(query)), lambda found: to_script(found.distinct(name, wanted)), []
        )

    def aggregate(self, pipeline: Any, *, batch: int = BATCH) -> Answer:
        """Run a pipeline, at once; return what comes out of it, read page by page, ``batch`` documents at a time."""
        if not isinstance(pipeline, list | tuple):
            raise TypeError(f"expected the pipeline as a list of stages, got {type(pipeline).__name__}")
        stages, size = [to_document(stage, "a stage") for stage in pipeline], _size(batch)
        reader = self._place.call(
            "aggregate", (pipeline,), lambda collection: collection.aggregate(stages, batchSize=size), None
        )
        return Answer(self._place, reader, size)

    # --- writing ---

    def insert(self, documents: Any, *, ordered: bool = True) -> dict[str, Any]:
        """Insert one document, or a list of them. Returns ``{"inserted": n, "ids": [...]}``.

        ``ordered``: where one fails, those behind it are not tried. Else all others are inserted.
        """
        many = documents if isinstance(documents, list | tuple) else [documents]
        stored = [to_document(document, "a document") for document in many]

        def work(collection: Documents) -> dict[str, Any]:
            if len(stored) == 1:
                ids = [collection.insert_one(stored[0]).inserted_id]
            else:
                ids = collection.insert_many(stored, ordered=ordered).inserted_ids if stored else []
            return {"inserted": len(ids), "ids": to_script(ids)}

        return self._place.call("insert", (documents,), work, {"inserted": 0, "ids": []})

    def update(self, query: Any, update: Any, *, one: bool = False, upsert: bool = False) -> dict[str, Any]:
        """Change every document that matches, by update operators or a pipeline. Returns
        ``{"matched": n, "modified": n, "upserted": n, "ids": [...]}``, the ids of what was upserted.

        ``one``: at most one. ``upsert``: insert what the filter and the update say where none matches.
        """
        wanted, changed = to_document(query, "the filter"), change(update, "the update")

        def work(collection: Documents) -> dict[str, Any]:
            method = collection.update_one if one else collection.update_many
            return _changed(method(wanted, changed, upsert=upsert))

        return self._place.call("update", shown(query, update, one=one, upsert=upsert), work, dict(_UNCHANGED))

    def replace(self, query: Any, document: Any, *, upsert: bool = False) -> dict[str, Any]:
        """Put a document in the place of one that matches. Returns as :meth:`update`."""
        wanted, stored = to_document(query, "the filter"), replacement(document, "the document")
        return self._place.call(
            "replace",
            shown(query, document, upsert=upsert),
            lambda collection: _changed(collection.replace_one(wanted, stored, upsert=upsert)),
            dict(_UNCHANGED),
        )

    def upsert(self, query: Any, data: Any) -> dict[str, Any]:
        """Set the fields of one document that matches; insert it where none does. Returns as :meth:`update`."""
        wanted, fields = to_document(query, "the filter"), replacement(data, "the fields")
        return self._place.call(
            "upsert",
            (query, data),
            lambda collection: _changed(collection.update_one(wanted, {"$set": fields}, upsert=True)),
            dict(_UNCHANGED),
        )

    def delete(self, query: Any, *, one: bool = False) -> dict[str, Any]:
        """Delete every document that matches; ``one``: at most one. Returns ``{"deleted": n}``."""
        wanted = to_document(query, "the filter")

        def work(collection: Documents) -> dict[str, Any]:
            method = collection.delete_one if one else collection.delete_many
            return {"deleted": method(wanted).deleted_count}

        return self._place.call("delete", shown(query, one=one), work, {"deleted": 0})

    def bulk(self, operations: Any, *, ordered: bool = True) -> dict[str, int]:
        """Do many writes in one call: ``[{"insertOne": {"document": {...}}}, ...]``. Returns
        ``{"inserted": n, "matched": n, "modified": n, "upserted": n, "deleted": n}``.

        ``ordered``: one after the other, up to the first that fails. Else all are tried, in any order.
        """
        models = write_models(operations)
        nothing = dict.fromkeys(("inserted", "matched", "modified", "upserted", "deleted"), 0)

        def work(collection: Documents) -> dict[str, int]:
            if not models:
                return nothing
            result = collection.bulk_write(models, ordered=ordered)
            return {name: getattr(result, f"{name}_count") for name in nothing}

        return self._place.call("bulk", (operations,), work, nothing)

    # --- indexes ---

    def create_index(
        self, keys: Any, *, unique: bool = False, name: str | None = None, expire: Duration | None = None
    ) -> str:
        """Create an index unless it is there; return its name.

        ``keys``: ``{"at": -1}``. ``expire``: documents are deleted when the date in that field is so long ago.
        """
        options: dict[str, Any] = {"unique": True} if unique else {}
        if name is not None:
            options["name"] = name
        if expire is not None:
            options["expireAfterSeconds"] = round(parse_duration(expire))
        index = IndexModel(pairs(keys, "the keys"), **options)
        return self._place.call(
            "createIndex",
            shown(keys, unique=unique, name=name, expire=expire),
            lambda collection: collection.create_indexes([index])[0],
            str(index.document["name"]),
        )

    def indexes(self) -> list[Any]:
        """Return the indexes as MongoDB describes them: ``{"name": ..., "key": {...}, ...}``."""
        return self._place.call("indexes", (), lambda collection: to_script(list(collection.list_indexes())), [])

    def drop_index(self, name: str) -> None:
        """Drop the index of that name. Raises :class:`CallError` where there is none."""
        index = _name(name)
        self._place.call("dropIndex", (name,), lambda collection: collection.drop_index(index), None)


def _all(query: Any) -> Any:
    return {} if query is None else query


def _size(batch: int) -> int:
    if not isinstance(batch, int) or batch < 1:
        raise ValueError(f"expected a batch of 1 or more, got {batch!r}")
    return batch


def _name(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"expected a name, got {value!r}")
    return value


def _changed(result: UpdateResult) -> dict[str, Any]:
    ids = [result.upserted_id] if result.did_upsert else []
    return {
        "matched": result.matched_count,
        "modified": result.modified_count,
        "upserted": len(ids),
        "ids": to_script(ids),
    }
