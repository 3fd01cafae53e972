"""What a call of a script means: which method of the driver, and which of its arguments are options."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

_NO_COMMANDS = frozenset({"bitfield", "digest_local", "hello", "register_script", "unwatch", "watch"})
"""Methods of the driver that do not just send a command and return its answer, beside its iterators."""

_WITH_FIELDS = frozenset({"hset", "hsetex"})
"""Methods whose second argument may be an object of fields; the driver wants it by the name ``mapping``."""


@dataclass(frozen=True, slots=True)
class Command:
    """A call: ``method`` of the driver's client, or, where it has none, ``execute_command`` with the name first."""

    name: str
    """As Redis has it, roughly: for messages."""
    method: str
    arguments: tuple[Any, ...]
    options: dict[str, Any]

    def send(self, client: Any) -> Any:
        """Have a client, or a pipeline, of the driver do it."""
        return getattr(client, self.method)(*self.arguments, **self.options)


def command(name: str, arguments: Sequence[Any], options: Mapping[str, Any]) -> Command:
    """Read a call as a script wrote it, ``hgetAll("k")`` or ``set("k", "v", {"ex": 60})``.

    A last object is the options of a method of the driver if all that the method needs is there without it. Raises
    ``TypeError`` for arguments that the method does not take.
    """
    method = _method(name)
    if method is None:
        return Command(name.upper(), "execute_command", (name.upper(), *arguments), dict(options))
    given, more = list(arguments), dict(options)
    if method in _WITH_FIELDS and len(given) == 2 and isinstance(given[1], Mapping):
        more["mapping"] = given.pop()
    elif not more and given and isinstance(given[-1], Mapping):
        given, more = _options(method, given[:-1], given[-1])
    try:
        _signature(method).bind(None, *given, **more)
    except TypeError as error:
        raise TypeError(f"{method}: {error}") from None
    return Command(method.upper(), method, tuple(given), more)


def _method(name: str) -> str | None:
    """Return the name of the driver's method: ``del``, ``hgetall``, ``hgetAll`` and ``clientInfo`` are known."""
    return _methods().get("delete" if name == "del" else _bare(name))


@cache
def _methods() -> Mapping[str, str]:
    from redis.commands import CoreCommands

    public = {name for name in dir(CoreCommands) if not name.startswith("_") and not name.endswith("_iter")}
    return {_bare(name): name for name in public - _NO_COMMANDS}


def _bare(name: str) -> str:
    """A name as it is written in no language in particular."""
    return name.replace("_", "").lower()


def _options(method: str, given: list[Any], last: Mapping[str, Any]) -> tuple[list[Any], dict[str, Any]]:
    """Return the arguments and the options, by the driver's names, whichever of the two ``last`` is."""
    parameters = list(_signature(method).parameters.values())[1:]
    following = [p for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD][len(given) :]
    if not following or any(p.default is p.empty for p in following):
        return [*given, last], {}
    free = {_bare(p.name): p.name for p in following}
    unknown = [key for key in last if _bare(key) not in free]
    if unknown:
        raise TypeError(f"{method}: expected options among {', '.join(free.values())}, got {', '.join(unknown)}")
    return given, {free[_bare(key)]: value for key, value in last.items()}


@cache
def _signature(method: str) -> inspect.Signature:
    from redis.commands import CoreCommands

    return inspect.signature(getattr(CoreCommands, method))
