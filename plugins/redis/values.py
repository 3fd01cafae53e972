"""Answers of Redis as values that scripts hold."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

_NOT_TEXT = "expected text in UTF-8, got bytes that are not; ask for bytes: redis({name!r}).bytes()"


def plain(value: Any, *, as_bytes: bool, name: str) -> Any:
    """Return an answer as JSON values: sets sorted, pairs as lists; text as ``bytes`` where that is asked for.

    Keys of an object are text always. ``name`` is of the resource. Raises ``ValueError`` for bytes that are no text.
    """
    if isinstance(value, bytes):
        return value if as_bytes else _text(value, name)
    if isinstance(value, list | tuple):
        return [plain(item, as_bytes=as_bytes, name=name) for item in value]
    if isinstance(value, set | frozenset):
        return sorted(plain(item, as_bytes=as_bytes, name=name) for item in value)
    if isinstance(value, Mapping):
        return {_key(key, name): plain(item, as_bytes=as_bytes, name=name) for key, item in value.items()}
    if isinstance(value, datetime):
        return int(value.timestamp())
    if value is None or isinstance(value, str | bool | int | float):
        return value
    return str(value)


def _key(key: Any, name: str) -> str:
    return _text(key, name) if isinstance(key, bytes) else str(key)


def _text(value: bytes, name: str) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise ValueError(_NOT_TEXT.format(name=name)) from None
