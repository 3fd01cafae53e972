"""Which commands scripts may send, and what their words may be."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any

_SUBSCRIBING = "messages would come on a connection that other calls use; read them with a source (redis-stream)"
_CONNECTION = "it changes the connection, which other calls use; say it in [resources.redis.NAME]"
_TRANSACTION = "other calls use the connection; use pipeline(), which sends its commands as one transaction"

REFUSED: dict[str, str] = {
    **dict.fromkeys(("SUBSCRIBE", "PSUBSCRIBE", "SSUBSCRIBE", "MONITOR", "SYNC", "PSYNC", "REPLCONF"), _SUBSCRIBING),
    **dict.fromkeys(("UNSUBSCRIBE", "PUNSUBSCRIBE", "SUNSUBSCRIBE"), _SUBSCRIBING),
    **dict.fromkeys(("SELECT", "AUTH", "HELLO", "RESET", "QUIT", "READONLY", "READWRITE", "ASKING"), _CONNECTION),
    **dict.fromkeys(("CLIENT REPLY", "CLIENT TRACKING", "CLIENT CACHING", "SCRIPT DEBUG"), _CONNECTION),
    **dict.fromkeys(("MULTI", "EXEC", "DISCARD", "WATCH", "UNWATCH"), _TRANSACTION),
}
"""Commands that change what a connection is for the calls after them, with what to do instead."""

_TIMEOUT_LAST = frozenset({"BLPOP", "BRPOP", "BRPOPLPUSH", "BLMOVE", "BZPOPMIN", "BZPOPMAX"})
_TIMEOUT_FIRST = frozenset({"BLMPOP", "BZMPOP"})
_MS_LAST = frozenset({"WAIT", "WAITAOF"})
_MS_NAMED = frozenset({"XREAD", "XREADGROUP"})

Word = str | bytes | int | float


def checked(words: Sequence[Any], longest: float) -> list[Word]:
    """Return the words of one command as they are sent.

    Raises ``ValueError`` for a command that is refused, or that would block for ``longest`` seconds or more, and
    ``TypeError`` for a word that Redis cannot hold.
    """
    name = command_name(words)
    first, _, _ = name.partition(" ")
    for refused in (first, name):
        if refused in REFUSED:
            raise ValueError(f"{refused} is refused: {REFUSED[refused]}")
    sent = [_word(word, first) for word in words]
    seconds = _blocks(first, sent)
    if seconds is not None and not 0 < seconds < longest:
        raise ValueError(
            f"expected {first} to wait for more than 0 s and less than the resource's timeout of {longest:g} s, "
            f"got {seconds:g} s{' (for ever)' if seconds == 0 else ''}; wait for less, or raise timeout"
        )
    return sent


def command_name(words: Sequence[Any]) -> str:
    """Return the first words of a command, of which there may be one or two: ``CLIENT REPLY``, ``GET somekey``."""
    head = " ".join(word.decode(errors="replace") if isinstance(word, bytes) else str(word) for word in words[:2])
    return " ".join(head.upper().split()[:2])


def _word(word: Any, command: str) -> Word:
    if isinstance(word, bool):
        return "true" if word else "false"
    if isinstance(word, str | bytes | int | float):
        return word
    if isinstance(word, Decimal):
        return str(word)
    if isinstance(word, datetime | date | time):
        return word.isoformat()
    hint = "leave the key out, or delete it" if word is None else "make it text, with JSON.stringify or json.dumps"
    raise TypeError(f"{command}: expected text, bytes or a number, got {_kind(word)}; {hint}")


def _kind(word: Any) -> str:
    return "nothing (null, None)" if word is None else f"a value of type {type(word).__name__}"


def _blocks(command: str, words: list[Word]) -> float | None:
    """How many seconds a command waits; 0: for ever; None: not at all."""
    arguments = words[1:]
    if command in _TIMEOUT_LAST:
        return _number(arguments[-1:])
    if command in _TIMEOUT_FIRST:
        return _number(arguments[:1])
    if command in _MS_LAST:
        return _milliseconds(arguments[-1:])
    if command in _MS_NAMED:
        upper = [_text(word).upper() for word in arguments]
        end = upper.index("STREAMS") if "STREAMS" in upper else len(upper)
        if "BLOCK" in upper[:end]:
            return _milliseconds(arguments[upper.index("BLOCK") + 1 :][:1])
    return None


def _milliseconds(words: list[Word]) -> float | None:
    number = _number(words)
    return None if number is None else number / 1000


def _number(words: list[Word]) -> float | None:
    try:
        return float(_text(words[0])) if words else None
    except ValueError:
        return None  # the server says what is wrong with it


def _text(word: Word) -> str:
    return word.decode(errors="replace") if isinstance(word, bytes) else str(word)
