"""Writes patterns and rules as JSON, in the dialect of dynamic Flink CEP: what :mod:`trimtab.cep.reading` reads back.

One pattern has one JSON: times in the largest unit that holds them, nodes and edges in the order of the chain, nothing
that says what is the default.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any, TypeAlias

from trimtab.cep.errors import RuleError, refused
from trimtab.cep.machine import DEFAULT_PARTIAL_MATCHES
from trimtab.cep.pattern import (
    Combined,
    Condition,
    Expr,
    FunctionCall,
    Native,
    Pattern,
    Quantifier,
    SkipStrategy,
    Stage,
    Window,
    free_name,
)
from trimtab.cep.reading import UNITS
from trimtab.cep.rule import DEFAULT_TARGET, Rule, is_document, read_rule

Json: TypeAlias = dict[str, Any]

_CLASSES = {"and": "RichAndCondition", "or": "RichOrCondition", "not": "RichNotCondition"}
_PACKAGE = "org.apache.flink.cep.pattern.conditions."
_SINGLE = {"consumingStrategy": "SKIP_TILL_NEXT", "properties": ["SINGLE"]}


def write_pattern(pattern: Pattern) -> Json:
    """Return the JSON of a pattern.

    Raises :class:`RuleError`, naming the stage, for a condition that stays in its script: a callable of Python, or a
    function inside a pattern in JavaScript.
    """
    return {
        "name": free_name(pattern.name, pattern.stages),
        "type": "COMPOSITE",
        "quantifier": dict(_SINGLE),
        **_Writer(pattern).graph(pattern.stages),
        "afterMatchStrategy": _skip(pattern.skip),
        "version": 1,
    }


def write_rule(rule: Rule) -> Json:
    """Return the document of a rule. Raises :class:`RuleError` like :func:`write_pattern`."""
    document: Json = {"id": rule.id}
    if rule.version != 1:
        document["version"] = rule.version
    if rule.pattern is None:
        document["rule_type"] = "udf"
    else:
        document["pattern"] = write_pattern(rule.pattern)
    if str(rule.target) != DEFAULT_TARGET:
        document["function"] = str(rule.target)
    return document | dict(_options(rule))


def convert(value: Any, name: str) -> Json:
    """Return what :func:`read_rule` takes as JSON: a bare pattern as one, a whole document with its other fields.

    Raises :class:`RuleError` for a rule that is refused, or that JSON cannot hold.
    """
    rule = read_rule(value, name)
    if rule.pattern is None:
        return dict(value)
    written = write_pattern(rule.pattern)
    return {**value, "pattern": written} if isinstance(value, dict) and is_document(value) else written


def _options(rule: Rule) -> Iterator[tuple[str, Any]]:
    for name in ("parameters", "libs", "binding_keys", "effective_at", "key", "source", "time", "timeouts", "late"):
        value = getattr(rule, name)
        if value is not None and value not in ((), {}):
            yield name, _plain(name, value)
    if rule.on_change != "discard":
        yield "on_change", rule.on_change
    if rule.partial_matches != DEFAULT_PARTIAL_MATCHES:
        yield "partial_matches", rule.partial_matches


def _plain(name: str, value: Any) -> Any:
    if isinstance(value, tuple):
        return list(value)
    return str(value) if name in ("timeouts", "late") else value


class _Writer:
    """Writes the graphs of one pattern."""

    def __init__(self, pattern: Pattern) -> None:
        self._pattern = pattern

    def graph(self, stages: tuple[Stage, ...]) -> Json:
        """Return nodes and edges, and the window: one that is set on the last stage is the graph's."""
        *others, last = stages
        graph: Json = {
            "nodes": [
                *(self._node(stage, stage.windows) for stage in others),
                self._node(last, last.windows[:-1]),
            ],
            "edges": [
                {"source": before.name, "target": stage.name, "type": stage.edge} for before, stage in pairwise(stages)
            ],
        }
        if last.windows:
            graph["window"] = _window(last.windows[-1])
        return graph

    def _node(self, stage: Stage, windows: tuple[Window, ...]) -> Json:
        node: Json = {
            "name": stage.name,
            "type": "ATOMIC" if stage.group is None else "COMPOSITE",
            "quantifier": self._quantifier(stage, stage.quantifier),
        }
        if stage.condition is not None:
            node["condition"] = self._condition(stage, stage.condition)
        if windows:
            node["windows"] = [_window(window) for window in windows]
        if stage.group is None:
            return node
        # Flink's own reader wants a strategy there too, and then does not look at it.
        return {**node, **self.graph(stage.group), "afterMatchStrategy": _skip(SkipStrategy())}

    def _quantifier(self, stage: Stage, quantifier: Quantifier) -> Json:
        flags = {"OPTIONAL": quantifier.optional, "GREEDY": quantifier.greedy}
        written: Json = {
            "consumingStrategy": quantifier.inner,
            "properties": [quantifier.repeat, *(name for name, is_set in flags.items() if is_set)],
        }
        most = quantifier.most if quantifier.repeat == "TIMES" else quantifier.least
        times: Json = {"from": quantifier.least, "to": most}
        if quantifier.window is not None:
            times["windowTime"] = _time(quantifier.window)
        if quantifier.repeat == "TIMES" or (quantifier.repeat == "LOOPING" and times != {"from": 1, "to": 1}):
            written["times"] = times
        if quantifier.until is not None:
            written["untilCondition"] = self._condition(stage, quantifier.until)
        return written

    def _condition(self, stage: Stage, condition: Condition) -> Json:
        match condition:
            case Expr(source, groovy):
                return {"type": "GROOVY" if groovy else "AVIATOR", "expression": source}
            case FunctionCall(language, function):
                if "#@" in function:
                    script, _, number = function.partition("#@")
                    raise self._refused(stage, f"function {number} inside the pattern of {script}")
                return {"type": language, "function": function}
            case Combined(how, parts):
                nested = [self._condition(stage, part) for part in parts]
                return {"type": "CLASS", "className": _PACKAGE + _CLASSES[how], "nestedConditions": nested}
            case Native(function):
                name = getattr(function, "__qualname__", type(function).__name__)
                raise self._refused(stage, f"the Python callable {name}")

    def _refused(self, stage: Stage, got: str) -> RuleError:
        expected = (
            'what JSON can hold: an expression, {type: PYTHON, function: "NAME.py:FUNCTION"} or '
            '{type: JS, function: "NAME.js#FUNCTION"}'
        )
        return refused(f"{self._pattern.path(stage)}: condition", expected, got)


def _window(window: Window) -> Json:
    return {"type": window.type, "time": _time(window.size)}


def _time(milliseconds: int) -> Json:
    unit = next(unit for unit, size in UNITS.items() if milliseconds % size == 0)
    return {"unit": unit, "size": milliseconds // UNITS[unit]}


def _skip(strategy: SkipStrategy) -> Json:
    return {"type": strategy.kind} if strategy.stage is None else {"type": strategy.kind, "patternName": strategy.stage}
