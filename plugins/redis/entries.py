"""Entries of a Redis stream as records of a source."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from trimtab.api import Codec, CodecError, Records

SOLE_FIELD = b"event"
"""An entry that has this field alone holds its event there, where the configuration names no field."""
_SEQUENCE_BITS = 22


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry. ``fields`` is None for one that was deleted after it had been taken."""

    id: bytes
    fields: Mapping[bytes, bytes] | None


def position(entry_id: bytes) -> int:
    """Return the position of an entry: the same whenever it is read, ascending within a stream.

    Ids are unique as long as one millisecond gets no more than four million entries.
    """
    milliseconds, _, sequence = entry_id.partition(b"-")
    return (int(milliseconds) << _SEQUENCE_BITS) + int(sequence)


def record(entry: Mapping[bytes, bytes], field: str | None, codec: Codec) -> bytes:
    """Return the record that an entry holds. Raises :class:`CodecError` for one that holds none."""
    if field is not None:
        return _in_one_line(_field(entry, field), codec)
    if entry.keys() == {SOLE_FIELD}:
        return _in_one_line(entry[SOLE_FIELD], codec)
    try:
        return msgspec.json.encode({name.decode(): value.decode() for name, value in entry.items()})
    except UnicodeDecodeError as error:
        raise CodecError(f"expected fields in UTF-8, got {error.object[:80]!r}; name the field of the event") from None


def records(texts: Sequence[tuple[bytes, bytes]], stream: str, codec: Codec) -> Iterator[tuple[Records, list[bytes]]]:
    """Yield ids and records in as few deliveries as the codec allows, each with its ids."""
    size = len(texts) if codec.lines else 1
    for first in range(0, len(texts), size or 1):
        part = texts[first : first + size]
        ids = [entry for entry, _text in part]
        data = b"\n".join(text for _id, text in part)
        yield Records(data, positions=[position(entry) for entry in ids], partition=stream, whole=True), ids


def shown(entry: Mapping[bytes, bytes]) -> bytes:
    """Return an entry that is not valid, for people to see."""
    return msgspec.json.encode({_readable(name): _readable(value) for name, value in entry.items()})


def _field(entry: Mapping[bytes, bytes], field: str) -> bytes:
    value = entry.get(field.encode())
    if value is None:
        names = ", ".join(sorted(map(_readable, entry))) or "none"
        raise CodecError(f"expected the field {field!r}, got the fields {names}")
    return value


def _in_one_line(value: bytes, codec: Codec) -> bytes:
    if b"\n" not in value or not codec.lines:
        return value
    if codec.is_json:
        return codec.to_json(value)
    raise CodecError(f"expected one line of {codec.name}, got several")


def _readable(value: bytes) -> str:
    return value.decode(errors="backslashreplace")
