"""The sink: emitted values become documents of a collection."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import bson
import msgspec
from bson import ObjectId
from bson.errors import BSONError
from bson.raw_bson import RawBSONDocument
from pymongo import InsertOne, ReplaceOne
from pymongo.errors import BulkWriteError

from trimtab.api import CallError, Sink, SinkContext, SinkError
from trimtab.plugins.mongo.options import MongoSinkOptions
from trimtab.plugins.mongo.resource import Documents, MongoResource
from trimtab.plugins.mongo.values import to_document

_LARGEST = 16 << 20
"""Bytes of a document that every server takes."""
_DUPLICATE = 11000

Write = InsertOne[Any] | ReplaceOne[Any]


class MongoSink(Sink):
    """Stores each value as one document. A value that cannot be stored keeps no other of its write from it, but the
    write then fails as a whole: all of its values go to the dead letters.

    Without a key, documents get their ids before the first try. So values that come again after an error, because
    nobody knows whether they were stored, are not stored twice.
    """

    def __init__(self, options: MongoSinkOptions, context: SinkContext) -> None:
        self._place = f"sink {context.name}"
        self._resource = MongoResource(options, self._place)
        self._options = options
        self._unsure: _Batch | None = None
        """What may have been stored or not: the last try failed."""

    async def write(self, lines: bytes, count: int) -> None:
        """Store the values. Waits for the server, for as long as one call may take."""
        batch = self._unsure
        again = batch is not None and batch.lines == lines
        if batch is None or not again:
            batch = self._unsure = _batch(lines, self._options.key)
        try:
            refused = batch.refused + await asyncio.to_thread(self._store, batch.writes, again)
        except CallError as error:
            raise SinkError(str(error), retryable=error.retryable) from None
        self._unsure = None
        if refused:
            message = f"expected to store {count} values, got {len(refused)} refused and the others stored"
            raise SinkError(f"{self._place}: {message}; the first that was refused: {refused[0]}", retryable=False)

    async def close(self) -> None:
        """Close the connections."""
        await asyncio.to_thread(self._resource.close)

    def _store(self, writes: Sequence[Write], again: bool) -> list[str]:
        """Store documents, in a thread. Returns why some were refused."""
        if not writes:
            return []
        failures = self._resource.run_on(
            self._options.database, self._options.collection, lambda collection: _write(collection, writes)
        )
        return [failure["errmsg"] for failure in failures if not (again and _is_stored(failure))]


@dataclass(frozen=True, slots=True)
class _Batch:
    lines: bytes
    writes: list[Write]
    refused: list[str]
    """Why values cannot be stored, whatever the server says."""


def _batch(lines: bytes, key: str | None) -> _Batch:
    writes: dict[Any, Write] = {}  # of documents with the same key, the last one stays
    refused = list[str]()
    for number, line in enumerate(lines.splitlines(), 1):
        try:
            document = to_document(msgspec.json.decode(line), "a value")
            if key is None:
                writes[number] = InsertOne(_encoded({"_id": ObjectId(), **document}))
            else:
                identity = _identity(document, key)
                writes[bson.encode(identity)] = ReplaceOne(identity, _encoded(document), upsert=True)
        except (BSONError, TypeError, ValueError) as error:
            refused.append(f"value {number}: {error}")
    return _Batch(lines, list(writes.values()), refused)


def _identity(document: Mapping[str, Any], key: str) -> dict[str, Any]:
    if key not in document:
        raise ValueError(f"expected the field {key!r} that the sink has as key, got none such")
    return {key: document[key]}


def _encoded(document: Mapping[str, Any]) -> RawBSONDocument:
    encoded = bson.encode(document)
    if len(encoded) > _LARGEST:
        raise ValueError(f"expected at most {_LARGEST >> 20} MiB, got {len(encoded)} bytes")
    return RawBSONDocument(encoded)


def _write(collection: Documents, writes: Sequence[Write]) -> list[dict[str, Any]]:
    try:
        collection.bulk_write(writes, ordered=False)
    except BulkWriteError as error:
        if error.details["writeErrors"]:
            return list(error.details["writeErrors"])
        raise
    return []


def _is_stored(failure: Mapping[str, Any]) -> bool:
    """Whether a document was refused because it is there, from the try before."""
    return failure["code"] == _DUPLICATE and list(failure.get("keyPattern", ())) == ["_id"]
