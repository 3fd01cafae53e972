"""A document on an HTTP server, as a place where rules are."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from trimtab.api import OutsideError, Snapshot
from trimtab.plugins.manifest.fetch import Fetcher
from trimtab.plugins.manifest.polled import Place
from trimtab.plugins.rules.catalogue import Catalogue
from trimtab.plugins.rules.documents import Entry, document_entry

_EXPECTED = "expected a JSON list of rules, or one a line"


class RuleList(Place):
    """The rules of a JSON list, or of JSON Lines."""

    alone = True

    def __init__(self, fetcher: Fetcher) -> None:
        self._fetcher = fetcher
        self._catalogue: Catalogue[bytes] = Catalogue(fetcher.place, _entry)
        self._text: bytes | None = None
        """What was read last."""

    async def read(self) -> Snapshot:
        """Return all rules. Raises :class:`OutsideError` for no document, or one that is neither of both."""
        async with self._fetcher.session() as session:
            text = await session.get(self._fetcher.url)
            if text is not self._text:
                try:
                    self._catalogue.take((rule, rule) for rule in rules(text))
                except ValueError as error:
                    raise OutsideError(f"{self._fetcher.place}: {error}", retryable=True) from None
                self._text = text
        return self._catalogue.snapshot


def _entry(text: bytes) -> Entry:
    return document_entry(msgspec.json.decode(text))


def rules(text: bytes) -> list[bytes]:
    """Return the JSON texts that a document holds. Raises ``ValueError`` for one that is no JSON as a whole.

    So it does for an empty one, and for an object, which may be a server's word for an error: no rule, or none at all,
    is not to take the place of all others.
    """
    if not text.strip():
        raise ValueError(f"{_EXPECTED}, got nothing; [] is a list of none")
    try:
        return [bytes(each) for each in msgspec.json.decode(text, type=list[msgspec.Raw])]
    except (msgspec.DecodeError, RecursionError) as error:
        if not text.lstrip().startswith(b"{"):
            raise ValueError(f"{_EXPECTED}, got: {error}") from None
    return list(_lines(text))


def _lines(text: bytes) -> Iterator[bytes]:
    for number, line in enumerate(text.split(b"\n"), 1):
        if line.strip():
            try:
                found = msgspec.json.decode(line)
            except (msgspec.DecodeError, RecursionError) as error:
                raise ValueError(f"{_EXPECTED}, got in line {number}: {error}") from None
            if not isinstance(found, dict) or "id" not in found:
                raise ValueError(f"{_EXPECTED}, got in line {number} no object with an id")
            yield line
