"""Values on their way between scripts and Python: JSON, and what it cannot hold."""

from __future__ import annotations

import json
from array import array
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from enum import IntEnum
from typing import Any

import msgspec

LARGEST_INTEGER = 2**53
"""JavaScript's numbers hold every integer up to here."""
WORD = 4
"""Bytes travel as a list of 32-bit numbers: the languages have native code for these, and for text they have not."""

_AS_THEY_ARE = frozenset({str, float, bool, type(None)})
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode

Path = tuple[str | int, ...]
Blob = tuple[Path, int, list[int]]
"""Where some bytes belong in an answer, how many they are, and the bytes as words."""


class Kind(IntEnum):
    """What an answer to JavaScript is."""

    RESULT = 0
    OBJECT = 1
    ERROR = 2
    PENDING = 3
    """The number of a call: its answer comes later."""
    SETTLED = 4
    """The answer of a call that could have come later."""


def encode(result: Any) -> bytes:
    """Return the answer that is a plain value.

    What it holds beside JSON becomes text; bytes arrive as ``Uint8Array``.
    Raises ``TypeError`` for values of other kinds, and ``ValueError`` for one that nests too deep.
    """
    return encode_as(Kind.RESULT, [result])


def encode_as(kind: Kind, content: Any) -> bytes:
    """Return an answer with a content as objects.js expects it; else as :func:`encode`."""
    blobs: list[Blob] = []
    try:
        plain = _plain(content, (), blobs)
        answer = (kind, plain, blobs) if blobs else (kind, plain)
        return _encode(answer)
    except UnicodeEncodeError:
        return _encode(_well_formed(answer))
    except RecursionError:
        raise ValueError("expected a result that nests less deep") from None


def decode(body: bytes, tag: str) -> Any:
    """Return a value that JavaScript sent; ``tag``: what the texts begin with that stand for something else.

    Raises ``ValueError`` for a value that nests too deep.
    """
    try:
        value = _decode(body)
    except RecursionError:
        raise ValueError("expected arguments that nest less deep") from None
    except msgspec.DecodeError:  # half of a surrogate pair, which msgspec does not take
        value = _well_formed(json.loads(body))
    return _untagged(value, tag) if tag.encode() in body else value


def _plain(value: Any, path: Path, blobs: list[Blob]) -> Any:
    kind = type(value)
    if kind in _AS_THEY_ARE:
        return value
    if kind is dict:
        return {
            key if type(key) is str else _key(key): item
            if type(item) in _AS_THEY_ARE or (type(item) is int and -LARGEST_INTEGER <= item <= LARGEST_INTEGER)
            else _plain(item, (*path, key if type(key) is str else _key(key)), blobs)
            for key, item in value.items()
        }
    if kind is list:
        return [
            item if type(item) in _AS_THEY_ARE else _plain(item, (*path, at), blobs) for at, item in enumerate(value)
        ]
    return _other(value, path, blobs)


def _other(value: Any, path: Path, blobs: list[Blob]) -> Any:
    """Also what is of a subclass of a common type, which msgspec does not take."""
    if isinstance(value, int):
        return int(value) if -LARGEST_INTEGER <= value <= LARGEST_INTEGER else int.__str__(value)
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, Mapping):
        return _plain(dict(value), path, blobs)
    if isinstance(value, tuple | set | frozenset | list):
        return _plain(list(value), path, blobs)
    if isinstance(value, bytes | bytearray | memoryview):
        blobs.append((path, len(value), _words(bytes(value))))
        return None
    return value  # dates and the like, as msgspec writes them


def _key(key: Any) -> str:
    if isinstance(key, bytes):
        return key.decode(errors="replace")
    return str.__str__(key) if isinstance(key, str) else str(msgspec.to_builtins(key))


def _words(value: bytes) -> list[int]:
    return array("I", value + bytes(-len(value) % WORD)).tolist()


def _untagged(value: Any, tag: str) -> Any:
    if isinstance(value, str):
        return _tagged(value[len(tag)], value[len(tag) + 1 :]) if value.startswith(tag) else value
    if isinstance(value, list):
        return [_untagged(item, tag) for item in value]
    if isinstance(value, dict):
        return {key: _untagged(item, tag) for key, item in value.items()}
    return value


def _tagged(kind: str, text: str) -> Any:
    if kind == "i":
        return int(text)
    if kind == "d":
        return _date(float(text))
    length, _, words = text.partition(":")
    return array("I", map(int, words.split(",")) if words else ()).tobytes()[: int(length)]


def _date(milliseconds: float) -> datetime:
    try:
        return _EPOCH + timedelta(milliseconds=milliseconds)
    except OverflowError:
        raise ValueError(f"expected a date between the years 1 and 9999, got {milliseconds:g} ms since 1970") from None


def _well_formed(value: Any) -> Any:
    """Return a copy in which U+FFFD stands for every half of a surrogate pair, which UTF-8 cannot hold."""
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, list | tuple):
        return [_well_formed(item) for item in value]
    if isinstance(value, dict):
        return {_well_formed(key): _well_formed(item) for key, item in value.items()}
    return value
