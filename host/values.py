"""The values of events: JSON, decoded or as lines of text.

Of most events rules need no more than a field or two. Lines are therefore decoded one by one, where somebody looks at
them; of all the others just these fields are read, which takes half the time.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from functools import lru_cache
from io import BytesIO
from itertools import accumulate
from math import nan
from operator import attrgetter
from typing import Any, TypeAlias

import msgspec

LATEST = 1 << 53
"""What lies beyond is no time, in ms: the integers that JavaScript can hold end there."""
INVALID = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What decoding raises for bytes that are not JSON, or that nest deeper than Python goes."""
MISSING = nan
"""Stands in a column where an event has no such field: no rule looks for it."""

_decode_lines = msgspec.json.Decoder().decode_lines
_begins_with_space = re.compile(rb"\n\s").search


def has_blank(data: bytes) -> bool:
    """Tell whether there is a blank line; of lines that are joined by newlines."""
    suspicious = data[:1].isspace() or data[-1:] == b"\n" or _begins_with_space(data)
    return bool(suspicious) and not all(map(bytes.strip, data.split(b"\n")))


def read_path(path: str) -> Callable[[Any], Any]:
    """Return a function that reads a dotted path in an event, and None where it is not there."""
    return reader_of(path.split("."))


def reader_of(parts: Sequence[str]) -> Callable[[Any], Any]:
    """Return a function that reads a path, by its names, in an event, and None where it is not there."""
    if len(parts) == 1:
        (name,) = parts
        return lambda event: event.get(name) if type(event) is dict else None

    def read(event: Any) -> Any:
        for part in parts:
            if type(event) is not dict:
                return None
            event = event.get(part)
        return event

    return read


class Decoded(list[Any]):
    """Values that are decoded already."""

    def some(self, indexes: Sequence[int]) -> list[Any]:
        """Return some of the values, as a list."""
        return [self[i] for i in indexes]

    def part(self, indexes: Sequence[int]) -> Decoded:
        """Return some of the values."""
        return Decoded(self.some(indexes))

    def column(self, name: str) -> list[Any]:
        """Return a field of each value. Raises ``AttributeError`` where some value is no object."""
        return [value.get(name, MISSING) for value in self]


class Fields:
    """Reads some fields of lines of JSON, which are objects, and skips the rest.

    ``names``: without quotes. ``wanted``: those of them that rules look at. ``key``: that of the events' keys.
    """

    def __init__(self, names: Iterable[str], wanted: Container[str], key: str | None) -> None:
        attributes = {name: f"field{number}" for number, name in enumerate(names)}
        parts = [(attribute, Any, MISSING if name in wanted else None) for name, attribute in attributes.items()]
        renamed = {attribute: name for name, attribute in attributes.items()}
        struct = msgspec.defstruct("Row", parts, rename=renamed, gc=False)
        self.decode_lines = msgspec.json.Decoder(struct).decode_lines
        """Return a row for each line. Raises ``msgspec.ValidationError`` where some line is no object."""
        self._getters = {name: attrgetter(attribute) for name, attribute in attributes.items()}
        self._key = key

    def column(self, rows: Sequence[Any], name: str) -> list[Any]:
        """Return one of the fields of each row. Where it is missing: None, or ``MISSING`` if it is wanted."""
        return list(map(self._getters[name], rows))

    def share_keys(self, rows: Iterable[Any], values: Iterable[Any]) -> None:
        """Let values have the very keys of their rows, so that these are not kept twice."""
        key = self._key
        if key is not None:
            read = self._getters[key]
            for row, value in zip(rows, values, strict=True):
                if key in value:
                    value[key] = read(row)


@lru_cache(maxsize=64)
def fields_of(key: str | None, timestamp: str | None = None, wanted: frozenset[str] = frozenset()) -> Fields | None:
    """Return what reads the fields of keys and times, where there are such, and those that rules want."""
    names = {name: None for name in (key, timestamp, *sorted(wanted)) if name is not None}
    return Fields(names, wanted, key) if names else None


class Lines:
    """Values that are decoded where somebody looks at them.

    ``lines``: each with its newline. ``rows``: what ``fields`` has read of them.
    """

    __slots__ = ("_fields", "_lines", "_rows")

    def __init__(self, lines: Sequence[bytes], rows: Sequence[Any], fields: Fields) -> None:
        self._lines, self._rows, self._fields = lines, rows, fields

    @classmethod
    def of(cls, data: bytes, rows: Sequence[Any], fields: Fields) -> Lines:
        """Divide data into its lines, whose last one has no newline."""
        return cls(list(BytesIO(data + b"\n")), rows, fields)  # which takes less time than split()

    def __len__(self) -> int:
        return len(self._lines)

    def __getitem__(self, index: int) -> Any:
        return self.some([index])[0]

    def __iter__(self) -> Iterator[Any]:
        return iter(self.some(range(len(self))))

    def some(self, indexes: Sequence[int]) -> list[Any]:
        """Return some of the values, as a list."""
        lines = [self._lines[i] for i in indexes]
        try:
            values = _decode_lines(b"".join(lines))
        except msgspec.ValidationError:  # a number that no float can hold: an infinity, as in JavaScript
            values = list(map(json.loads, lines))
        self._fields.share_keys([self._rows[i] for i in indexes], values)
        return values

    def part(self, indexes: Sequence[int]) -> Lines:
        """Return some of the values."""
        return Lines([self._lines[i] for i in indexes], [self._rows[i] for i in indexes], self._fields)

    @property
    def has_blank(self) -> bool:
        """Whether there is a blank line."""
        return any(map(bytes.isspace, self._lines))

    def offsets(self, start: int) -> list[int]:
        """Return where each line begins, in bytes, if the first one begins at ``start``."""
        return list(accumulate(map(len, self._lines[:-1]), initial=start))

    def column(self, name: str) -> list[Any]:
        """Return a field of each value."""
        return self._fields.column(self._rows, name)


Values: TypeAlias = Decoded | Lines
