"""Which keys a rule is bound to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fnmatch import translate
from re import compile as compile_pattern
from typing import Any

import msgspec

Key = Any
"""A key as it can be looked up: a string, an integer or None as it is; other JSON values as a tuple of their text."""
_CACHED = 10_000
_WILDCARDS = ("*", "?")
_INTEGER = compile_pattern(r"-?[0-9]{1,18}")


def as_key(value: Any) -> Key:
    """Return the key that a JSON value is."""
    kind = type(value)
    if kind is str or kind is int or value is None:
        return value
    return (msgspec.json.encode(value).decode(),)


def of_key(key: Key) -> Any:
    """Return the JSON value that a key is."""
    return msgspec.json.decode(key[0]) if type(key) is tuple else key


def exact_keys(bindings: Sequence[str]) -> list[Key] | None:
    """Return the keys of bindings without wildcards; None: there are wildcards, or no bindings.

    Bindings are texts, so ``"17"`` is the key ``"17"`` and the key ``17``.
    """
    if not bindings or any(mark in binding for binding in bindings for mark in _WILDCARDS):
        return None
    keys: list[Key] = list(bindings)
    keys.extend(int(binding) for binding in bindings if _INTEGER.fullmatch(binding))
    return list(dict.fromkeys(keys))


def binds(bindings: Sequence[str]) -> Callable[[Key], bool] | None:
    """Return what tells whether a key is bound; None: every key is."""
    if not bindings:
        return None
    # fnmatch knows sets in brackets too, which are no wildcards here.
    patterns = [translate(binding.replace("[", "[[]")) for binding in bindings]
    matches = compile_pattern("|".join(patterns)).match
    known: dict[Key, bool] = {}

    def is_bound(key: Key) -> bool:
        answer = known.get(key)
        if answer is None:
            if len(known) >= _CACHED:
                known.clear()
            text = key if type(key) is str else key[0] if type(key) is tuple else msgspec.json.encode(key).decode()
            answer = known[key] = matches(text) is not None
        return answer

    return is_bound
