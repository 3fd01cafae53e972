"""Methods of the Jedis client, as Lofka scripts call them, put as Redis commands."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_WITH_SCORES = "WITHSCORES"
_RANGES = frozenset({"ZRANGEBYSCORE", "ZREVRANGEBYSCORE", "ZRANGEBYLEX", "ZREVRANGEBYLEX"})
_LIMITED = 5
"""Arguments of one of these with a limit: key, from, to, offset, count."""
_BLOCKING_POPS = frozenset({"BLPOP", "BRPOP"})
_EVALUATIONS = frozenset({"EVAL", "EVALSHA"})
_STORES = frozenset({"ZUNIONSTORE", "ZINTERSTORE"})
_BOOLEANS = frozenset({"SISMEMBER", "HEXISTS", "GETBIT", "SETBIT"})
_STATUSES = frozenset(
    {
        *("SET", "SETEX", "PSETEX", "MSET", "HMSET", "LSET", "LTRIM", "RENAME", "PFMERGE", "RESTORE", "MIGRATE"),
        *("FLUSHDB", "FLUSHALL"),
    }
)
_NUMBERS = frozenset({"ZSCORE", "ZINCRBY", "INCRBYFLOAT", "HINCRBYFLOAT", "GEODIST"})


@dataclass(frozen=True, slots=True)
class Command:
    """A Redis command: its name, its arguments as text, and what Jedis makes of a reply of the driver's."""

    name: str
    words: list[str]
    reply: Callable[[Any], Any]


def command_of(method: str, arguments: Sequence[Any]) -> Command:
    """Return the command for a method of Jedis: mostly its name in capitals with the arguments in their order.

    Maps stand for their keys and values, lists for their items. What comes as map, as boolean, as number or with
    scores from Jedis does so here too: scored members are ``{"element": ..., "score": ...}``.
    """
    name = method.upper()
    scored = name.endswith(_WITH_SCORES)
    name = name.removesuffix(_WITH_SCORES)
    ordered = [*_ordered(name, list(arguments))]
    if scored:
        ordered.insert(3, _WITH_SCORES)
    return Command(name, [_text(word) for word in _flat(ordered)], _reply_of(name, arguments, scored=scored))


def _ordered(name: str, arguments: list[Any]) -> list[Any]:
    """Return the arguments in the order of the command, where Jedis has another one or leaves something out."""
    first, *rest = arguments or [None]
    if name in _RANGES and len(arguments) == _LIMITED:
        return [*arguments[:3], "LIMIT", *arguments[3:]]
    if name in _BLOCKING_POPS and isinstance(first, int | float):
        return [*rest, first]
    if name in _EVALUATIONS:
        return [first, *_evaluated(rest)]
    if name in _STORES:
        return [first, len(rest), *rest]
    if name == "ZADD" and isinstance(arguments[-1], Mapping):
        return [*arguments[:-1], *((score, member) for member, score in arguments[-1].items())]
    if name == "SETBIT" and isinstance(arguments[-1], bool):
        return [*arguments[:-1], int(arguments[-1])]
    return arguments


def _evaluated(rest: list[Any]) -> list[Any]:
    """Keys and arguments of a Lua script: a number and all of them, two lists, or a key that only finds the node."""
    if rest and isinstance(rest[0], list):
        return [len(rest[0]), *rest]
    return rest if rest and isinstance(rest[0], int) else [0]


def _flat(values: Sequence[Any]) -> Iterator[Any]:
    for value in values:
        if isinstance(value, Mapping):
            yield from _flat([part for pair in value.items() for part in pair])
        elif isinstance(value, list | tuple):
            yield from _flat(value)
        else:
            yield value


def _text(value: Any) -> str:
    if value is None:
        raise TypeError("expected a text or a number for Redis, got null; leave the argument out or send ''")
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _reply_of(name: str, arguments: Sequence[Any], *, scored: bool) -> Callable[[Any], Any]:
    if scored:
        return _scored
    if name in _BOOLEANS or (name == "EXISTS" and len(arguments) == 1):
        return bool
    if name in _NUMBERS:
        return _number
    if name in _STATUSES:
        return _status
    return _as_map if name == "HGETALL" else _plain


def _plain(reply: Any) -> Any:
    """The driver makes booleans of many answers that are 1 or 0 to Jedis."""
    return int(reply) if isinstance(reply, bool) else reply


def _status(reply: Any) -> Any:
    return "OK" if reply is True else reply


def _number(reply: Any) -> float | None:
    return None if reply is None else float(reply)


def _as_map(reply: Any) -> dict[str, str]:
    return dict(reply) if isinstance(reply, Mapping) else dict(zip(reply[::2], reply[1::2], strict=True))


def _scored(reply: Sequence[Any]) -> list[dict[str, Any]]:
    pairs = reply if reply and isinstance(reply[0], list | tuple) else zip(reply[::2], reply[1::2], strict=True)
    return [{"element": element, "score": float(score)} for element, score in pairs]
