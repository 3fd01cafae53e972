"""A Redis hash, as a place where rules are."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from trimtab.api import Snapshot, parse_duration
from trimtab.plugins.center.redis_hash import WatchedHash
from trimtab.plugins.rules.catalogue import Catalogue
from trimtab.plugins.rules.documents import Entry, document_entry
from trimtab.plugins.rules.options import RedisRulesOptions


class RuleHash(WatchedHash):
    """The rules in the fields of one hash: id to JSON document, or to the pattern alone."""

    alone = True

    def __init__(self, options: RedisRulesOptions, place: str) -> None:
        super().__init__(options.address(), options.key, options.channel, parse_duration(options.timeout), place)
        self._catalogue: Catalogue[tuple[bytes, bytes]] = Catalogue(place, _entry)
        self._fields: Mapping[bytes, bytes] = {}
        """What was read last."""

    async def read(self) -> Snapshot:
        """Return all rules. Raises :class:`OutsideError`."""
        fields = await self.fields()
        if fields != self._fields:
            self._catalogue.take((name, (name, value)) for name, value in fields.items())
            self._fields = fields
        return self._catalogue.snapshot


def _entry(field: tuple[bytes, bytes]) -> Entry:
    """What a field says. What is no JSON is its pattern, for whoever reads the rule to say what is wrong."""
    name, value = field
    text = value.decode(errors="backslashreplace")
    try:
        document = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        document = text
    return document_entry(document, name.decode(errors="backslashreplace"))
