"""Documents that are read page by page: what ``find`` and ``aggregate`` give to scripts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Self

from trimtab.api import Pages
from trimtab.plugins.mongo.calls import Place, query_options, shown
from trimtab.plugins.mongo.resource import Documents
from trimtab.plugins.mongo.values import to_document, to_script

BATCH = 500
"""Documents that one call fetches where the script does not say."""


class Answer(Pages):
    """What the server has found, read in pages of ``batch`` documents. ``reader`` None: there is nothing."""

    methods = Pages.methods | {"first"}
    outside = Pages.outside | {"first"}

    def __init__(self, place: Place, reader: Iterator[dict[str, Any]] | None, batch: int) -> None:
        self._place, self._reader, self._batch = place, reader, batch

    def next_page(self) -> Sequence[Any]:
        """See :class:`Pages`. Raises :class:`CallError`; then there is nothing more to come."""
        return [] if self._reader is None else self._place.call("next", (), lambda _collection: self._fetch(), [])

    def first(self) -> Any:
        """Return the first of what is left, None if there is nothing; the rest is let go."""
        page = self.next_page()
        self.close()
        return page[0] if page else None

    def close(self) -> None:
        """See :class:`Pages`. Does not wait: the driver's own thread tells the server, within a second or so."""
        self._reader = None

    def _fetch(self) -> list[Any]:
        reader, self._reader = self._reader, None
        page = [to_script(document) for document in islice(reader or (), self._batch)]
        if len(page) == self._batch:
            self._reader = reader
        return page


class Query(Answer):
    """What ``find`` gives: nothing is asked before the first document is read, so more can be said until then."""

    methods = Answer.methods | {"sort", "skip", "limit", "projection", "hint"}

    def __init__(self, place: Place, query: Any, options: Mapping[str, Any], batch: int) -> None:
        super().__init__(place, None, batch)
        self._shown: tuple[Any, dict[str, Any]] = query, dict(options)
        self._filter, self._options = to_document(query, "the filter"), query_options(options)
        self._asked = False

    def sort(self, keys: Any) -> Self:
        """Order by these fields: ``{"at": -1}``."""
        return self._with("sort", keys)

    def skip(self, count: int) -> Self:
        """Leave out so many at the beginning."""
        return self._with("skip", count)

    def limit(self, count: int) -> Self:
        """Read so many at most; 0: all."""
        return self._with("limit", count)

    def projection(self, fields: Any) -> Self:
        """Read these fields only: ``{"name": 1}``."""
        return self._with("projection", fields)

    def hint(self, index: Any) -> Self:
        """Use this index: its name or its keys."""
        return self._with("hint", index)

    def first(self) -> Any:
        """See :class:`Answer`."""
        if not self._asked:
            self.limit(1)
        return super().first()

    def close(self) -> None:
        """See :class:`Pages`."""
        self._asked = True
        super().close()

    def next_page(self) -> Sequence[Any]:
        """See :class:`Answer`."""
        if self._asked:
            return super().next_page()
        self._asked = True
        query, options = self._shown
        return self._place.call("find", shown(query, **options), self._ask, [])

    def _with(self, name: str, value: Any) -> Self:
        if self._asked:
            raise ValueError(f"expected {name}() before the first document is read, got it after; call find() anew")
        self._options |= query_options({name: value})
        self._shown[1][name] = value
        return self

    def _ask(self, collection: Documents) -> list[Any]:
        self._reader = collection.find(self._filter, batch_size=self._batch, **self._options)
        return self._fetch()
