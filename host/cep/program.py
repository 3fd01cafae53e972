"""From an automaton to Python functions: one for each state, so that nothing is interpreted while events flow.

The text of a program names conditions and states by number only, and comes from the automaton's shape alone: rules of
one shape share the code, and no text of a user is ever evaluated.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from types import CodeType
from typing import Any, Protocol

from trimtab.cep.automaton import Automaton, State, Transition
from trimtab.cep.conditions import Asked
from trimtab.cep.formulas import ALWAYS, NEVER, And, Atom, Formula, Not, Or, both, either
from trimtab.cep.pattern import Condition
from trimtab.cep.runs import Event, Run, Taken

Memo = dict[int, bool]
"""What conditions have said of the event in hand, by their numbers: each is asked once, whatever rules ask."""


class Step(Protocol):
    """What a state does with an event: runs that go on are added to ``out``, complete ones to ``done``.

    Returns whether the event ends the run, so that only what is complete counts.
    """

    def __call__(
        self, event: Event, value: Any, run: Run | None, memo: Memo, out: list[Run], done: list[Run], /
    ) -> bool: ...


@dataclass(frozen=True, slots=True)
class Program:
    """What the states of an automaton do, by their numbers, and what every event may begin with.

    ``start``: called with None for the run. ``beginning``: what must be true of an event that begins a match.
    """

    steps: tuple[Step, ...]
    start: Step
    beginning: Formula
    asked: dict[Condition, Asked]


def build_program(automaton: Automaton, ask: Callable[[Condition], Asked]) -> Program:
    """Build the functions of an automaton. ``ask`` makes conditions ready to be asked; what it raises goes through."""
    writer = _Writer(automaton, ask)
    source = writer.write()
    asked = tuple(writer.asked.values())
    namespace: dict[str, Any] = {"__builtins__": {}, "Run": Run, "Taken": Taken}
    for number, each in enumerate(asked):
        namespace[f"ask{number}"], namespace[f"id{number}"] = each.ask if each.iterative else each.test, each.number
    for number, stage in enumerate(writer.stages):
        namespace[f"stage{number}"] = stage
    exec(_compiled(source), namespace)  # noqa: S102 - the text is made of numbers, see above
    steps = tuple(namespace[f"go{number}"] for number in range(len(automaton.states)))
    start = automaton.states.index(automaton.start)
    return Program(steps, namespace[f"begin{start}"], _beginning(automaton.start), writer.asked)


@lru_cache(maxsize=1024)
def _compiled(source: str) -> CodeType:
    return compile(source, "<pattern>", "exec")


def _beginning(state: State) -> Formula:
    ways = []
    for each in state.transitions:
        if each.action == "take":
            ways.append(each.condition)
        elif each.action == "proceed" and each.condition != NEVER:
            ways.append(both(each.condition, _beginning(each.target)))
    return either(*ways)


class _Writer:
    """Writes the text of a program."""

    def __init__(self, automaton: Automaton, ask: Callable[[Condition], Asked]) -> None:
        self._automaton, self._ask = automaton, ask
        self._numbers = {id(state): number for number, state in enumerate(automaton.states)}
        self._final: dict[int, Formula] = {}
        self._conditions: dict[Condition, int] = {}
        self.asked: dict[Condition, Asked] = {}
        self.stages: list[str] = []

    def write(self) -> str:
        """Return the text. Afterwards ``asked`` and ``stages`` are what its numbers mean, in their order."""
        lines: list[str] = []
        for state in self._automaton.states:
            lines += self._function(state, begins=False)
        for state in self._before_any_event():
            lines += self._function(state, begins=True)
        return "\n".join(lines) + "\n"

    def _before_any_event(self) -> Sequence[State]:
        found = [self._automaton.start]
        for state in found:
            found.extend(each.target for each in state.proceeds if each.target not in found)
        return found

    def _function(self, state: State, *, begins: bool) -> list[str]:
        number = self._numbers[id(state)]
        body: list[str] = []
        for each in state.transitions:
            if each.condition != NEVER and each.action != "proceed":
                body += self._branch(state, each, begins=begins)
        proceeds = [each for each in state.proceeds if each.condition != NEVER]
        for each in reversed(proceeds):  # Flink keeps them on a stack
            if each.target.kind != "final":
                body += self._proceed(each, begins=begins)
        name = "begin" if begins else "go"
        head = f"def {name}{number}(event, value, run, memo, out, done):"
        return [head, "    stopped = False", *("    " + line for line in body), "    return stopped"]

    def _branch(self, state: State, each: Transition, *, begins: bool) -> list[str]:
        if each.action == "ignore":
            return [] if begins else self._when(each.condition, self._ignored(state, each))
        return self._when(each.condition, self._taken(each, begins=begins))

    def _ignored(self, state: State, each: Transition) -> list[str]:
        number = self._numbers[id(each.target)]
        made = f"Run({number}, run.path, run.first)"
        if each.target.kind == "final":
            return [f"done.append({made})"]
        if each.target is state:
            return [f"out.append(run if run.state == {number} else {made})"]
        return [f"out.append({made})"]

    def _taken(self, each: Transition, *, begins: bool) -> list[str]:
        if each.target.kind == "stop":
            return ["stopped = True"]
        path, first = ("None", "event") if begins else ("run.path", "run.first")
        lines = [f"path = Taken({self._stage(each.source.stage)}, event, {path})"]
        complete = self._complete(each.target)
        if each.target.kind != "final":
            lines.append(f"out.append(Run({self._numbers[id(each.target)]}, path, {first}))")
        return [*lines, *self._when(complete, [f"done.append(Run(0, path, {first}))"])]

    def _complete(self, state: State) -> Formula:
        """Return when a run that has just come to a state is complete, by ways without events."""
        if state.kind == "final":
            return ALWAYS
        if id(state) not in self._final:
            # What is never true may lead in a circle.
            possible = [each for each in state.proceeds if each.condition != NEVER]
            ways = [both(each.condition, self._complete(each.target)) for each in possible]
            self._final[id(state)] = either(*ways)
        return self._final[id(state)]

    def _proceed(self, each: Transition, *, begins: bool) -> list[str]:
        name = "begin" if begins else "go"
        call = f"{name}{self._numbers[id(each.target)]}(event, value, run, memo, out, done)"
        return self._when(each.condition, [f"stopped = {call} or stopped"])

    def _when(self, condition: Formula, lines: list[str]) -> list[str]:
        if condition == NEVER:
            return []
        if condition == ALWAYS:
            return lines
        return [f"if {self._text(condition)}:", *("    " + line for line in lines)]

    def _text(self, formula: Formula) -> str:
        match formula:
            case Atom(condition):
                return self._atom(condition)
            case Not(part):
                return f"(not {self._text(part)})"
            case And(parts):
                return "(" + " and ".join(map(self._text, parts)) + ")" if parts else "True"
            case Or(parts):
                return "(" + " or ".join(map(self._text, parts)) + ")" if parts else "False"

    def _atom(self, condition: Condition) -> str:
        if condition not in self.asked:
            self._conditions[condition] = len(self.asked)
            self.asked[condition] = self._ask(condition)
        number = self._conditions[condition]
        if self.asked[condition].iterative:
            return f"ask{number}(value, run)"
        name = f"id{number}"
        return f"(memo[{name}] if {name} in memo else memo.setdefault({name}, ask{number}(value)))"

    def _stage(self, name: str) -> str:
        if name not in self.stages:
            self.stages.append(name)
        return f"stage{self.stages.index(name)}"
