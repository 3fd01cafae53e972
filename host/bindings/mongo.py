"""``mongo``, as Python scripts see it.

Types are those of plain handlers. In ``async def handle``, every call that asks the server (all but ``collection``,
``find`` and what is added to it) is to be awaited: ``await`` gives what is declared here. Documents are read with
``async for``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol, Self, TypedDict

Document = Mapping[str, Any]
"""A document, a filter, an update: JSON values and extended JSON such as ``{"$oid": "..."}``; also ``datetime``,
``bytes``, ``Decimal``."""
Keys = str | Mapping[str, Any] | Sequence[Sequence[Any]]
"""Fields with their directions: ``{"at": -1}``, ``[["at", -1]]``, or the name of one field."""


class Inserted(TypedDict):
    """What ``insert`` did."""

    inserted: int
    ids: list[Any]
    """The ``_id`` of each document, in their order."""


class Updated(TypedDict):
    """What ``update``, ``replace`` and ``upsert`` did."""

    matched: int
    modified: int
    """How many were different before."""
    upserted: int
    ids: list[Any]
    """The ``_id`` of what was upserted."""


class Deleted(TypedDict):
    """What ``delete`` did."""

    deleted: int


class Written(TypedDict):
    """What ``bulk`` did."""

    inserted: int
    matched: int
    modified: int
    upserted: int
    deleted: int


class Documents(Protocol):
    """Documents, read page by page. Read once, while the event is handled for which they were asked."""

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Read them one by one."""

    def first(self) -> dict[str, Any] | None:
        """Return the first that is left, or None. The rest is let go."""

    def to_array(self) -> list[dict[str, Any]]:
        """Return all that are left."""

    def close(self) -> None:
        """Let the rest go."""


class Query(Documents, Protocol):
    """What ``find`` gives. Nothing is asked before the first document is read; until then more can be said."""

    def sort(self, keys: Keys, /) -> Self:
        """Order by these fields."""

    def skip(self, count: int, /) -> Self:
        """Leave out so many at the beginning."""

    def limit(self, count: int, /) -> Self:
        """Read so many at most; 0: all."""

    def projection(self, fields: Document | Sequence[str], /) -> Self:
        """Read these fields only."""

    def hint(self, index: Keys, /) -> Self:
        """Use this index: its name or its keys."""


class Collection(Protocol):
    """A collection. Each method but ``find`` asks the server and waits for the answer.

    Errors have a ``name``: ``ConnectionError`` and ``TimeoutError`` (both retryable), ``AuthenticationError``,
    ``MongoError`` (the server refused; ``code`` is its own, such as 11000 for a duplicate key).
    """

    def find(
        self,
        query: Document | None = None,
        *,
        sort: Keys | None = None,
        skip: int | None = None,
        limit: int | None = None,
        projection: Document | Sequence[str] | None = None,
        hint: Keys | None = None,
        batch: int = 500,
    ) -> Query:
        """Return the documents that match, ``batch`` of them in a page. Without a filter: all."""

    def find_one(
        self,
        query: Document | None = None,
        *,
        sort: Keys | None = None,
        skip: int | None = None,
        projection: Document | Sequence[str] | None = None,
        hint: Keys | None = None,
    ) -> dict[str, Any] | None:
        """Return the first document that matches, or None."""

    def count(self, query: Document | None = None) -> int:
        """Return how many documents match."""

    def distinct(self, field: str, query: Document | None = None) -> list[Any]:
        """Return the values of a field in the documents that match, each once."""

    def aggregate(self, pipeline: Sequence[Document], *, batch: int = 500) -> Documents:
        """Run a pipeline, at once. Returns what comes out of it, ``batch`` documents in a page."""

    def insert(self, documents: Document | Sequence[Document], *, ordered: bool = True) -> Inserted:
        """Insert one document or a list of them. ``ordered=False``: one that fails keeps no other out."""

    def update(
        self, query: Document, update: Document | Sequence[Document], *, one: bool = False, upsert: bool = False
    ) -> Updated:
        """Change all documents that match, by update operators or a pipeline. ``one``: at most one of them.
        ``upsert``: insert what the filter and the update say where none matches.
        """

    def replace(self, query: Document, document: Document, *, upsert: bool = False) -> Updated:
        """Put a document in the place of one that matches."""

    def upsert(self, query: Document, data: Document) -> Updated:
        """Set these fields of one document that matches; insert it where none does."""

    def delete(self, query: Document, *, one: bool = False) -> Deleted:
        """Delete all documents that match (``{}``: all there are). ``one``: at most one of them."""

    def bulk(self, operations: Sequence[Document], *, ordered: bool = True) -> Written:
        """Do many writes in one call: ``[{"deleteOne": {"filter": {...}}}, ...]``. ``ordered=False``: one that fails
        keeps no other from being tried.
        """

    def create_index(
        self, keys: Keys, *, unique: bool = False, name: str | None = None, expire: str | float | None = None
    ) -> str:
        """Create an index unless it is there; return its name. ``expire``: how long after the date in the field a
        document is deleted: ``"30d"``, or seconds.
        """

    def indexes(self) -> list[dict[str, Any]]:
        """Return the indexes as MongoDB describes them."""

    def drop_index(self, name: str) -> None:
        """Drop the index of that name."""


class Connection(Protocol):
    """What ``mongo("logs")`` gives."""

    def collection(self, database: str, name: str | None = None) -> Collection:
        """Return a collection, by its database and name; by its name alone, of the configuration's database."""


class Mongo(Protocol):
    """``mongo``."""

    def __call__(self, name: str) -> Connection:
        """Return what talks to ``[resources.mongo.NAME]``."""
