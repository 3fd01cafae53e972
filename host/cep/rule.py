"""A rule: a pattern, and what is to become of its matches. The document that files and rows of tables hold."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import msgspec

from trimtab.cep.builder import PatternBuilder
from trimtab.cep.checks import check
from trimtab.cep.documents import Fields, decode, shown
from trimtab.cep.errors import refused
from trimtab.cep.machine import DEFAULT_PARTIAL_MATCHES
from trimtab.cep.pattern import Pattern
from trimtab.cep.reading import read_pattern

OnChange: TypeAlias = Literal["discard", "drain", "carry"]
"""What becomes of partial matches when a rule changes: dropped; finished under the old version; kept."""
TimeKind: TypeAlias = Literal["event", "arrival"]

DEFAULT_TARGET = "emit:matches"
FIELDS = (
    "id",
    "version",
    "pattern",
    "function",
    "parameters",
    "libs",
    "binding_keys",
    "rule_type",
    "effective_at",
    "key",
    "source",
    "time",
    "on_change",
    "timeouts",
    "late",
    "partial_matches",
)
_MARKS = ("pattern", "function", "rule_type")
"""Fields that a document has and a bare pattern has not."""
_FUNCTION = re.compile(r"[^#:]+\.(?:[mc]?js|ts)#(?:[\w$]+|@\d+)|[^#:]+\.py:\w+")
"""``#@0`` is the first function inside the pattern of a script in JavaScript."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where something goes: a sink, or a source of the same host (``emit:NAME``), or a function of a script."""

    kind: Literal["emit", "call"]
    name: str
    """Of the sink or the script."""
    function: str = ""

    def __str__(self) -> str:
        if self.kind == "emit":
            return f"emit:{self.name}"
        return f"{self.name}{':' if self.name.endswith('.py') else '#'}{self.function}"


@dataclass(frozen=True, slots=True)
class Rule:
    """One version of a rule. ``pattern`` is None for a ``udf``, which is a script run once for each bound key."""

    id: str
    pattern: Pattern | None
    target: Target
    version: int = 1
    parameters: Mapping[str, Any] = field(default_factory=dict)
    libs: tuple[str, ...] = ()
    binding_keys: tuple[str, ...] = ()
    """Exact keys, or with the wildcards ``*`` and ``?``; none: every key."""
    effective_at: int | None = None
    """Event time from which it holds, ms."""
    key: str | None = None
    """Dotted path of its own key in events; None: the key of their source."""
    source: str | None = None
    """Only events of this source; None: of every source."""
    time: TimeKind | None = None
    """None: event time where the source has a timestamp."""
    on_change: OnChange = "discard"
    timeouts: Target | None = None
    """Where timed-out partial matches go; None: they are counted."""
    late: Target | None = None
    """Where events go that came too late; None: they are counted."""
    partial_matches: int = DEFAULT_PARTIAL_MATCHES
    """The most that it may have for one key."""


def read_rule(rule: Any, name: str = "rule") -> Rule:
    """Return the rule of a document, of a bare pattern, of the JSON text of either, or of a pattern that was built.

    ``name``: its id where the document has none. Raises :class:`RuleError` naming the path in the JSON.
    """
    if isinstance(rule, PatternBuilder):
        rule = rule.build()
    if isinstance(rule, Pattern):
        check(rule)
        return Rule(name, rule, read_target(DEFAULT_TARGET, "function"))
    value = decode(rule, "$") if isinstance(rule, str | bytes) else rule
    if not isinstance(value, dict):
        raise refused("$", "a rule: an object", shown(value))
    if not is_document(value):
        return Rule(name, read_pattern(value), read_target(DEFAULT_TARGET, "function"))
    return _document(Fields(value, "$", FIELDS), name)


def is_document(value: Mapping[str, Any]) -> bool:
    """Whether decoded JSON is a whole document, not a bare pattern."""
    return any(mark in value for mark in _MARKS)


def _document(fields: Fields, name: str) -> Rule:
    kind = fields.one_of("rule_type", ("cep", "udf")) if fields.has("rule_type") else "cep"
    function = fields.optional("function") or ""
    if not isinstance(function, str):
        raise refused(fields.at("function"), "a string", shown(function))
    target = read_target(function or DEFAULT_TARGET, fields.at("function"))
    if kind == "udf" and target.kind != "call":
        raise refused(fields.at("function"), "the function of a script, as rule_type is udf", shown(function))
    if kind == "udf" and fields.has("key"):
        raise refused(fields.at("key"), "no key of its own, as rule_type is udf: it has that of its source", "one")
    if fields.has("late") and not str(fields.optional("late")).startswith("emit:"):
        raise refused(fields.at("late"), "emit:SINK", shown(fields.optional("late")))
    return Rule(
        id=_id(fields, name),
        pattern=None if kind == "udf" else _pattern(fields),
        target=target,
        version=fields.integer("version", 0) if fields.has("version") else 1,
        parameters=_parameters(fields),
        libs=_texts(fields, "libs"),
        binding_keys=_texts(fields, "binding_keys"),
        effective_at=fields.integer("effective_at", 0) if fields.has("effective_at") else None,
        key=fields.text("key") if fields.has("key") else None,
        source=fields.text("source") if fields.has("source") else None,
        time=fields.one_of("time", ("event", "arrival")) if fields.has("time") else None,
        on_change=fields.one_of("on_change", ("discard", "drain", "carry")) if fields.has("on_change") else "discard",
        timeouts=_optional_target(fields, "timeouts"),
        late=_optional_target(fields, "late"),
        partial_matches=fields.integer("partial_matches", 1)
        if fields.has("partial_matches")
        else DEFAULT_PARTIAL_MATCHES,
    )


def _id(fields: Fields, name: str) -> str:
    if not fields.has("id"):
        return name
    value = fields.optional("id")
    return str(value) if type(value) is int else fields.text("id")


def _pattern(fields: Fields) -> Pattern:
    value = fields.get("pattern", "a pattern")
    if isinstance(value, PatternBuilder):
        return value.build()
    if isinstance(value, Pattern):
        check(value)
        return value
    return read_pattern(decode(value, fields.at("pattern")) if isinstance(value, str) else value, fields.at("pattern"))


def _parameters(fields: Fields) -> dict[str, Any]:
    value = fields.optional("parameters")
    value = decode(value, fields.at("parameters")) if isinstance(value, str) and value else value or {}
    if not isinstance(value, dict):
        raise refused(fields.at("parameters"), "an object", shown(value))
    try:
        copy: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(value))
    except (TypeError, ValueError, RecursionError) as error:
        raise refused(fields.at("parameters"), "values that JSON can hold", str(error)) from None
    return copy


def _texts(fields: Fields, name: str) -> tuple[str, ...]:
    value = fields.optional(name)
    value = decode(value, fields.at(name)) if isinstance(value, str) and value else value or []
    if not isinstance(value, list):
        raise refused(fields.at(name), "a list of strings", shown(value))
    for number, each in enumerate(value):
        if not isinstance(each, str | int) or isinstance(each, bool):
            raise refused(f"{fields.at(name)}[{number}]", "a string", shown(each))
    return tuple(map(str, value))


def _optional_target(fields: Fields, name: str) -> Target | None:
    return read_target(fields.text(name), fields.at(name)) if fields.has(name) else None


def read_target(text: str, path: str) -> Target:
    if text.startswith("emit:") and len(text) > len("emit:"):
        return Target("emit", text.removeprefix("emit:"))
    if _FUNCTION.fullmatch(text):
        script, _mark, function = re.split(r"([#:])(?=@?[\w$]+$)", text)
        return Target("call", script, function)
    raise refused(path, "emit:SINK, NAME.py:FUNCTION or NAME.js#FUNCTION", shown(text))
