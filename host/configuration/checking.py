"""Checks tables against msgspec structs field by field, so that every problem is found, in words of the operator.

Beside msgspec's own constraints, ``Meta(extra=...)`` of a field may hold ``expected`` (what to expect, in words),
``default`` (the same for a default that depends on the machine) and ``check`` (called with a value of the right
type; raises ``ValueError`` for one that is wrong nevertheless).
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from datetime import date, datetime, time
from typing import Any, TypeVar

import msgspec
from msgspec import inspect

from trimtab.errors import Problem

Struct = TypeVar("Struct", bound=msgspec.Struct)

_SHOWN = 80
_WRONG = object()
_PASSWORDS = re.compile(r"(?<=://)[^\s'\"]*(?=@)|(?<=password=)[^&;'\"]*", re.IGNORECASE)
"""In addresses: those that somebody has written into the file."""
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")


class Problems:
    """Collects problems, the first of each place."""

    def __init__(self) -> None:
        self._by_path: dict[str, Problem] = {}

    def add(self, path: str, expected: str, got: str) -> None:
        """Note a problem, unless its place has one already."""
        self._by_path.setdefault(path, Problem(path, expected, got))

    def __len__(self) -> int:
        return len(self._by_path)

    def __iter__(self) -> Iterator[Problem]:
        return iter(self._by_path.values())


def key_path(path: str, name: str) -> str:
    """Return the path of a key as TOML writes it: ``name`` below ``path``, which is empty at the top."""
    key = name if _BARE_KEY.fullmatch(name) else f'"{name}"'
    return f"{path}.{key}" if path else key


def show(value: Any) -> str:
    """Return a configuration value as it may stand in a message: like in TOML."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        text = str(value).lower()
    elif isinstance(value, datetime | date | time):
        text = value.isoformat()
    else:
        text = _PASSWORDS.sub("***", _repr(value))
    return text


def _repr(value: object) -> str:
    try:
        return repr(value)
    except ValueError:
        return "a number with thousands of digits"


def shorten(text: str) -> str:
    """Return a shown value that is not too long. Secrets must be masked before: the half of one is not found."""
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}..."


def one_of(word: object, known: Iterable[str]) -> str:
    """Describe a choice: ``one of: lateness, codec, key``, those nearest to what came first."""
    choices = sorted(known)
    near = difflib.get_close_matches(str(word), choices, n=3)
    return f"one of: {', '.join([*near, *(choice for choice in choices if choice not in near)])}"


def table(value: Any, path: str, problems: Problems) -> dict[str, Any]:
    """Return a table, or an empty one and a problem."""
    if isinstance(value, dict):
        return value
    problems.add(path, "a table", show(value))
    return {}


def refuse_unknown(keys: Mapping[str, Any], known: Collection[str], path: str, problems: Problems) -> None:
    """Note a problem for each key that is not known."""
    for key in keys:
        if key not in known:
            problems.add(key_path(path, key), one_of(key, known) if known else "no keys here", show(key))


def names(struct: type[msgspec.Struct]) -> list[str]:
    """The keys of a struct."""
    return [field.encode_name for field in msgspec.structs.fields(struct)]


def read(struct: type[Struct], keys: Mapping[str, Any], path: str, problems: Problems) -> Struct | None:
    """Make a struct of those of the keys that are its own, with the default where a value is a problem.

    None where a key without a default is missing or wrong.
    """
    values: dict[str, Any] = {}
    complete = True
    for field in msgspec.structs.fields(struct):
        place = key_path(path, field.encode_name)
        value = _value(field.type, keys[field.encode_name], place, problems) if field.encode_name in keys else _WRONG
        if value is not _WRONG:
            values[field.name] = value
        elif field.required:
            problems.add(place, describe(field.type), "nothing")
            complete = False
    return _make(struct, values, path, problems) if complete else None


def _make(struct: type[Struct], values: Mapping[str, Any], path: str, problems: Problems) -> Struct | None:
    try:
        return struct(**values)
    except ValueError as error:  # from its __post_init__
        problems.add(path, "keys that fit together", str(error))
        return None


def _value(annotation: Any, value: Any, path: str, problems: Problems) -> Any:
    """The value as the struct holds it, or ``_WRONG`` and a problem."""
    info = inspect.type_info(annotation)
    inner = _struct(info)
    if inner is not None and isinstance(value, dict):
        refuse_unknown(value, names(inner), path, problems)
        nested = read(inner, value, path, problems)
        return _WRONG if nested is None else nested
    try:
        converted = msgspec.convert(value, annotation)
        for check in _checks(info):
            check(value)
    except ValueError:  # msgspec's ValidationError is one
        problems.add(path, describe(annotation), show(value))
        return _WRONG
    return converted


def _struct(info: inspect.Type) -> type[msgspec.Struct] | None:
    """The struct that a table would become."""
    match info:
        case inspect.StructType(cls=cls):
            return cls
        case inspect.Metadata(type=inner):
            return _struct(inner)
        case inspect.UnionType(types=types):
            return next(filter(None, map(_struct, types)), None)
        case _:
            return None


def _checks(info: inspect.Type) -> Iterator[Callable[[Any], object]]:
    if isinstance(info, inspect.Metadata):
        check = (info.extra or {}).get("check")
        if check is not None:
            yield check
        yield from _checks(info.type)
    elif isinstance(info, inspect.UnionType):
        for member in info.types:
            yield from _checks(member)


def describe(annotation: Any) -> str:
    """Say in words what values a type takes."""
    return _words(inspect.type_info(annotation))


def _words(info: inspect.Type) -> str:
    match info:
        case inspect.Metadata(type=inner, extra=extra):
            return (extra or {}).get("expected") or _words(inner)
        case inspect.UnionType(types=types):
            return " or ".join(_words(member) for member in types if not isinstance(member, inspect.NoneType))
        case inspect.StrType():
            return _text_words(info)
        case inspect.BoolType():
            return "true or false"
        case inspect.IntType() | inspect.FloatType():
            return _number_words(info)
        case inspect.LiteralType(values=values):
            return f"one of: {', '.join(map(str, values))}"
        case inspect.CollectionType(item_type=item):
            return f"a list of {_words(item)}"
        case inspect.DictType(value_type=item):
            return "a table" if isinstance(item, inspect.AnyType) else f"a table of {_words(item)}"
        case inspect.StructType():
            return "a table"
        case _:
            return type(info).__name__.removesuffix("Type").lower()


def _text_words(info: inspect.StrType) -> str:
    if info.pattern is not None:
        return f"text that matches {info.pattern}"
    return "text that is not empty" if info.min_length else "text"


def _number_words(info: inspect.IntType | inspect.FloatType) -> str:
    number = "a whole number" if isinstance(info, inspect.IntType) else "a number"
    if info.ge is not None and info.le is not None:
        return f"{number} from {info.ge} to {info.le}"
    bounds = {"of at least": info.ge, "above": info.gt, "of at most": info.le, "below": info.lt}
    given = [f"{word} {bound}" for word, bound in bounds.items() if bound is not None]
    return " ".join([number, " and ".join(given)]).rstrip()
