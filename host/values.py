"""The values of events: JSON, decoded or as lines of text.

Of most events rules need no more than a field or two. So just these fields are read of lines, which takes half the time
of decoding them; an event is decoded as a whole where somebody wants to see it.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from io import BytesIO
from itertools import accumulate
from math import nan
from typing import Annotated, Any, TypeAlias

import msgspec

LATEST = 1 << 53
"""What lies beyond is no time, in ms: the integers that JavaScript can hold end there."""
INVALID = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What decoding raises for bytes that are not JSON, or that nest deeper than Python goes."""
MISSING = nan
"""Stands in a column where an event has no such field: no rule looks for it."""

FIELD = "field_"
"""How the attributes of rows begin: no field of an event can be taken for another attribute."""
_UNREAD: Any = object()

_decode = msgspec.json.Decoder().decode
_begins_with_space = re.compile(rb"\n\s").search


def has_blank(data: bytes) -> bool:
    """Tell whether there is a blank line; of lines that are joined by newlines."""
    suspicious = data[:1].isspace() or data[-1:] == b"\n" or _begins_with_space(data)
    return bool(suspicious) and not all(map(bytes.strip, data.split(b"\n")))


def lines_of(data: bytes) -> list[bytes]:
    """Divide lines that are joined by newlines: each with its newline, the last one too."""
    return list(BytesIO(data + b"\n"))  # which takes less time than split()


def offsets(lines: Sequence[bytes], start: int) -> list[int]:
    """Return where each line begins, in bytes, if the first one begins at ``start``; of lines with their newlines."""
    return list(accumulate(map(len, lines[:-1]), initial=start))


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


class Row(msgspec.Struct, gc=False, eq=False):
    """An event that is still text, and what was read of it: expressions look at it as at a decoded one."""

    line: bytes = msgspec.field(default=b"", name="")
    """Its text, of events that rules keep."""

    def __getitem__(self, name: str) -> Any:
        value = getattr(self, FIELD + name, _UNREAD)
        if value is MISSING:
            raise KeyError(name)
        return self.whole()[name] if value is _UNREAD else value  # a rule that came later wants another field

    def whole(self) -> Any:
        """Decode it."""
        return decode(self.line)


def decode(line: bytes | msgspec.Raw) -> Any:
    """Decode what was found to be JSON."""
    try:
        return _decode(line)
    except msgspec.ValidationError:  # a number that no float can hold: an infinity, as in JavaScript
        return json.loads(bytes(line))


def whole(value: Any) -> Any:
    """Return an event as a JSON value, where it may be a row."""
    return value.whole() if isinstance(value, Row) else value


class Decoded(list[Any]):
    """Events that are decoded already."""

    def some(self, indexes: Sequence[int]) -> list[Any]:
        """Return some of them."""
        return [self[i] for i in indexes]

    def part(self, indexes: Sequence[int]) -> Decoded:
        """Return some of them."""
        return Decoded(self.some(indexes))

    def column(self, name: str) -> list[Any]:
        """Return a field of each. Raises ``AttributeError`` where some event is no object."""
        return [value.get(name, MISSING) for value in self]


def are_times(values: Sequence[Any]) -> bool:
    """Whether values are plain times: integers within ``LATEST``, at least one."""
    return {*map(type, values)} == {int} and -LATEST < min(values) <= max(values) < LATEST


_PLAIN_KEY: Any = str | int | None
_PLAIN_TIME: Any = Annotated[int, msgspec.Meta(gt=-LATEST, lt=LATEST)]


class Fields:
    """Reads fields of lines of JSON, which are objects, and skips the rest.

    ``wanted``: those that rules look at: identifiers. ``key`` and ``timestamp``: those of keys and times.
    """

    def __init__(self, key: str | None, timestamp: str | None, wanted: frozenset[str]) -> None:
        self._attributes = {name: FIELD + name for name in wanted}
        for attribute, name in (("key", key), ("timestamp", timestamp)):
            if name is not None:
                self._attributes.setdefault(name, attribute)
        self._key, self._timestamp, self._wanted = key, timestamp, wanted
        self._read_any = self._reader({})
        self._read_plain = self._reader({key: _PLAIN_KEY, timestamp: _PLAIN_TIME})
        self._columns = {name: _column_of(attribute) for name, attribute in self._attributes.items()}

    def _reader(self, types: dict[str | None, Any]) -> Callable[[bytes], list[Any]]:
        """Return what reads rows whose fields have these types."""
        fields: list[Any] = []
        for name, attribute in self._attributes.items():
            type_ = types.get(name, Any)
            default = MISSING if name in self._wanted else None
            fields.append((attribute, type_) if type_ is _PLAIN_TIME else (attribute, type_, default))
        renamed = {attribute: name for name, attribute in self._attributes.items()}
        struct = msgspec.defstruct("Fields", fields, bases=(Row,), rename=renamed, gc=False, eq=False, kw_only=True)
        return msgspec.json.Decoder(struct).decode_lines

    def read(self, data: bytes) -> tuple[list[Any], bool]:
        """Return a row for each line, and whether all keys and times are plain.

        Plain keys are strings, integers or None, plain times integers within ``LATEST``. Raises
        ``msgspec.ValidationError`` where some line is no object, or holds a number that no float can hold.
        """
        try:
            return self._read_plain(data), True
        except msgspec.ValidationError:
            return self._read_any(data), False

    def column(self, rows: Iterable[Any], name: str) -> list[Any]:
        """Return one of the fields of each row. Where it is missing: None, or ``MISSING`` if it is wanted."""
        return self._columns[name](rows)

    def keys(self, rows: Iterable[Any]) -> list[Any] | None:
        """Return the key of each row, None where it is missing. None where events have no keys."""
        if self._key is None:
            return None
        keys = self.column(rows, self._key)
        return [None if key is MISSING else key for key in keys] if self._key in self._wanted else keys

    def times(self, rows: Iterable[Any]) -> list[Any] | None:
        """Return what each row has for a time. None where events have none."""
        return None if self._timestamp is None else self.column(rows, self._timestamp)


def _column_of(attribute: str) -> Callable[[Iterable[Any]], list[Any]]:
    """Return a function that reads an attribute of each row: its own code takes half the time of ``attrgetter``."""
    code = ast.parse("lambda rows: [row.attribute for row in rows]", "<column>", "eval")
    for node in ast.walk(code):
        if isinstance(node, ast.Attribute):
            node.attr = attribute
    read: Callable[[Iterable[Any]], list[Any]] = eval(compile(code, "<column>", "eval"))  # noqa: S307 - a name alone
    return read


@lru_cache(maxsize=64)
def fields_of(key: str | None, timestamp: str | None = None, wanted: frozenset[str] = frozenset()) -> Fields:
    """Return what reads the fields of keys and times, where there are such, and those that rules want."""
    return Fields(key, timestamp, wanted)


class Lines:
    """Events that are text. ``lines``: each with its newline. ``rows``: what ``fields`` has read of them."""

    __slots__ = ("_fields", "_lines", "_rows")

    def __init__(self, lines: Sequence[bytes], rows: Sequence[Any], fields: Fields) -> None:
        self._lines, self._rows, self._fields = lines, rows, fields

    @classmethod
    def of(cls, data: bytes, rows: Sequence[Any], fields: Fields) -> Lines:
        """Divide data into its lines, whose last one has no newline."""
        return cls(lines_of(data), rows, fields)

    def __len__(self) -> int:
        return len(self._lines)

    def __getitem__(self, index: int) -> Any:
        return decode(self._lines[index])

    def __iter__(self) -> Iterator[Any]:
        return map(decode, self._lines)

    def some(self, indexes: Sequence[int]) -> list[Any]:
        """Return some of them, as rows."""
        lines, rows, found = self._lines, self._rows, []
        for i in indexes:
            row = rows[i]
            row.line = lines[i]
            found.append(row)
        return found

    def part(self, indexes: Sequence[int]) -> Lines:
        """Return some of them."""
        return Lines([self._lines[i] for i in indexes], [self._rows[i] for i in indexes], self._fields)

    @property
    def has_blank(self) -> bool:
        """Whether there is a blank line."""
        return any(map(bytes.isspace, self._lines))

    def offsets(self, start: int) -> list[int]:
        """Return where each line begins, in bytes, if the first one begins at ``start``."""
        return offsets(self._lines, start)

    def column(self, name: str) -> list[Any]:
        """Return a field of each."""
        return self._fields.column(self._rows, name)


Values: TypeAlias = Decoded | Lines
