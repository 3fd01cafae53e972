"""What the conditions of stages say of an event, and why: for people who ask why a rule does not fire."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import msgspec

from trimtab.cep.automaton import State
from trimtab.cep.conditions import Asked
from trimtab.cep.formulas import And, Atom, Formula, Not, Or, of_condition
from trimtab.cep.pattern import Combined, Condition, Expr, FunctionCall, Native, Pattern, Stage
from trimtab.cep.program import Memo
from trimtab.cep.runs import Run, taken
from trimtab.expressions.tree import Field, Held, walk

MISSING = "(missing)"
"""Stands for the value of a field that an event lacks."""


class Said(msgspec.Struct, frozen=True, omit_defaults=True):
    """What one condition said. ``values``: of the fields that it reads. ``error``: why it could not work with these."""

    condition: str
    true: bool
    values: dict[str, Any] = {}
    error: str | None = None


class Answer(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a stage said of an event: ``true`` if it would have taken it by its condition."""

    stage: str
    true: bool
    conditions: list[Said] = []


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an event could do to a partial match. ``stopped``: the NOT stages that end it."""

    stopped: tuple[str, ...]
    taken: bool
    ignored: bool


class Answers:
    """Asks the conditions of one pattern. ``ask``: makes a condition ready to be asked."""

    def __init__(self, pattern: Pattern, ask: Callable[[Condition], Asked]) -> None:
        self._ask = ask
        self._asked: dict[Condition, Asked] = {}
        self._stages: dict[str, Stage] = {}
        self._untils: dict[str, list[Condition]] = {}
        self._add(pattern.stages, [])

    def _add(self, stages: tuple[Stage, ...], around: list[Condition]) -> None:
        for stage in stages:
            until = stage.quantifier.until
            untils = around if until is None else [*around, until]
            self._stages[stage.name], self._untils[stage.name] = stage, untils
            if stage.group is not None:
                self._add(stage.group, untils)

    def answer(self, name: str, value: Any, run: Run | None, memo: Memo) -> Answer:
        """Return what a stage says of an event; ``run``: the partial match, None before one has begun."""
        condition = self._stages[name].condition
        if condition is None:
            return Answer(name, true=True)
        said = [self._said(each, value, run, memo) for each in _leaves(condition)]
        return Answer(name, self.holds(of_condition(condition), value, run, memo), said)

    def ended_by_until(self, name: str, value: Any, run: Run | None, memo: Memo) -> bool:
        """Whether the event ends the loop that a stage is in."""
        return any(self.holds(of_condition(until), value, run, memo) for until in self._untils[name])

    def holds(self, formula: Formula, value: Any, run: Run | None, memo: Memo) -> bool:
        """Tell whether a formula is true of an event."""
        match formula:
            case Atom(condition):
                return self._holds(condition, value, run, memo)
            case Not(part):
                return not self.holds(part, value, run, memo)
            case And(parts):
                return all(self.holds(part, value, run, memo) for part in parts)
            case Or(parts):
                return any(self.holds(part, value, run, memo) for part in parts)

    def outcome(self, state: State, value: Any, run: Run | None, memo: Memo) -> Outcome:
        """Return what an event could do to a partial match in a state, skip strategies aside."""
        stopped: list[str] = []
        took = ignored = False
        for each in state.transitions:
            if not self.holds(each.condition, value, run, memo):
                continue
            if each.action == "proceed":
                if each.target.kind == "final":
                    continue
                inner = self.outcome(each.target, value, run, memo)
                stopped += inner.stopped
                took, ignored = took or inner.taken, ignored or inner.ignored
            elif each.target.kind == "stop":
                stopped.append(each.target.stage)
            elif each.action == "take":
                took = True
            else:
                ignored = run is not None
        return Outcome(tuple(dict.fromkeys(stopped)), took, ignored)

    def _make_ready(self, condition: Condition) -> Asked:
        if condition not in self._asked:
            self._asked[condition] = self._ask(condition)
        return self._asked[condition]

    def _holds(self, condition: Condition, value: Any, run: Run | None, memo: Memo) -> bool:
        asked = self._make_ready(condition)
        if asked.iterative:
            return asked.ask(value, run)
        known = memo.get(asked.number)
        return asked.ask(value, memo) if known is None else known

    def _said(self, condition: Condition, value: Any, run: Run | None, memo: Memo) -> Said:
        asked = self._make_ready(condition)
        before = asked.errors
        # Asked anew, so that an error is seen; what the rule has been told stays in its memo.
        holds = asked.ask(value, run if asked.iterative else dict(memo))
        error = asked.last_error if asked.errors > before else None
        values = {} if asked.tree is None else dict(_values(asked, value, run))
        return Said(text_of(condition), holds, values, error)


def text_of(condition: Condition) -> str:
    """Return a condition as people write it."""
    match condition:
        case Expr(source):
            return source
        case FunctionCall(_language, function):
            return function
        case Native(function):
            return f"{getattr(function, '__qualname__', type(function).__name__)}()"
        case Combined("not", (part,)):
            return f"!({text_of(part)})"
        case Combined(how, parts):
            return (" && " if how == "and" else " || ").join(f"({text_of(part)})" for part in parts)


def waits_for(state: State) -> tuple[str, ...]:
    """Return the stages that may take an event in a state, or by ways without events from it."""
    found: dict[str, None] = {}
    waiting, seen = [state], {id(state)}
    while waiting:
        for each in waiting.pop(0).transitions:
            if each.action == "take" and each.target.kind != "stop":
                found[each.source.stage] = None
            elif each.action == "proceed" and each.target.kind != "stop" and id(each.target) not in seen:
                seen.add(id(each.target))
                waiting.append(each.target)
    return tuple(found)


def _leaves(condition: Condition) -> Iterator[Condition]:
    if isinstance(condition, Combined):
        for part in condition.parts:
            yield from _leaves(part)
    else:
        yield condition


def _values(asked: Asked, value: Any, run: Run | None) -> Iterator[tuple[str, Any]]:
    """Yield the paths that an expression reads, in the order of its text, with what is there."""
    assert asked.tree is not None  # noqa: S101 - the caller has looked
    fields = [node for node, _depth in walk(asked.tree) if isinstance(node, Field)]
    for node in sorted(fields, key=lambda node: node.start):
        yield _path_text(node.path), _read(node.path, value, run)


def _path_text(path: tuple[str | int | Held, ...]) -> str:
    text = ""
    for part in path:
        if isinstance(part, Held):
            text = f"{part.which}('{part.stage}')"
        elif isinstance(part, int):
            text += f"[{part}]"
        else:
            text += f".{part}" if text else part
    return text


def _read(path: tuple[str | int | Held, ...], value: Any, run: Run | None) -> Any:
    for part in path:
        if isinstance(part, Held):
            value = _held(part, run)
        elif isinstance(value, list):
            value = value[part] if isinstance(part, int) and part < len(value) else MISSING
        else:
            value = value.get(part, MISSING) if isinstance(value, dict) else MISSING
    return value


def _held(held: Held, run: Run | None) -> Any:
    events = [each.event.value for each in taken(None if run is None else run.path) if each.stage == held.stage][::-1]
    if held.which == "all":
        return events
    return (events[0] if held.which == "first" else events[-1]) if events else MISSING
