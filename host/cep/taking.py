"""What one event does to the partial matches of a key, told from what was there before and is there after it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from trimtab.cep.machine import Found
from trimtab.cep.program import Memo
from trimtab.cep.runs import Event, Partials, Run, Taken, by_stage
from trimtab.cep.steps import Step, Why

if TYPE_CHECKING:
    from trimtab.cep.explained import ExplainedMachine


@dataclass(slots=True)
class Group:
    """The runs that hold the same events: to people one partial match, whatever states it is in."""

    path: Taken
    runs: list[Run] = field(default_factory=list)


@dataclass(slots=True)
class Known:
    """What is known of the partial matches of a key. ``numbers``: of those that live, by the identity of their path."""

    partials: Partials
    key: Any
    numbers: dict[int, int] = field(default_factory=dict)


@dataclass(slots=True)
class Taking:
    """What one event does to the partial matches of a key. ``withheld``: the complete ones that waited before."""

    machine: ExplainedMachine
    known: Known
    event: Event
    memo: Memo
    complete: list[Run]
    partials: Partials
    withheld: Sequence[Run]
    alive: dict[int, Group] = field(init=False)

    def __post_init__(self) -> None:
        self.alive = grouped(self.partials.runs)

    def steps(self, before: dict[int, Group], *, begins: bool) -> Iterator[Step]:
        for group in before.values():
            yield from self._of_group(group)
        begun = self._children(None) if begins else []
        for path in begun:
            number = self.machine.new_number(self.known, path)
            waits = self.machine.waiting(self.alive[id(path)].runs) if id(path) in self.alive else []
            yield Step("began", number, stage=path.stage, events=positions(path), waits_for=waits)
        yield from self.machine.matches(self.known, self.complete, self.partials, self.withheld)
        if begins and not begun:
            yield self._not_begun()

    def _children(self, path: Taken | None) -> list[Taken]:
        """Return the paths that have taken the event behind another one, or as their first."""
        runs = (*self.partials.runs, *self.complete, *self.partials.withheld)
        paths = {id(run.path): run.path for run in runs}
        return [each for each in paths.values() if each.previous is path and each.event is self.event]

    def _of_group(self, group: Group) -> Iterator[Step]:
        machine, known = self.machine, self.known
        number = machine.number(known, group.path)
        stays = id(group.path) in self.alive
        children = self._children(group.path)
        for position, path in enumerate(children):
            becomes = position == 0 and not stays
            new = machine.new_number(known, path, number if becomes else None)
            if id(path) in self.alive:
                waits = machine.waiting(self.alive[id(path)].runs)
                what, parent = ("advanced", None) if becomes else ("branched", number)
                yield Step(what, new, parent, path.stage, positions(path), waits)  # type: ignore[arg-type]
        if children or any(run.path is group.path for run in (*self.complete, *self.partials.withheld)):
            return
        if stays:
            answers = machine.answers(self.alive[id(group.path)].runs, self.event.value, self.memo)
            waits = machine.waiting(self.alive[id(group.path)].runs)
            yield Step("waits", number, events=positions(group.path), waits_for=waits, answers=answers)
        else:
            yield self._ended(group, number)

    def _ended(self, group: Group, number: int | None) -> Step:
        machine, value, memo = self.machine, self.event.value, self.memo
        outcomes = [machine.outcome(run, value, memo) for run in group.runs]
        stopped = next((name for each in outcomes for name in each.stopped), None)
        events, waits = positions(group.path), machine.waiting(group.runs)
        if stopped is not None:
            return Step("died", number, stage=stopped, events=events, waits_for=waits, why="not")
        if any(each.taken or each.ignored for each in outcomes):
            return machine.dropped(self.known, group.path, self.complete)
        answers = machine.answers(group.runs, value, memo)
        why: Why = "strict"
        if any(machine.ended_by_until(run, value, memo) for run in group.runs):
            why = "until"
        elif any(answer.true for answer in answers):
            why = "greedy"
        return Step("died", number, events=events, waits_for=waits, why=why, answers=answers)

    def _not_begun(self) -> Step:
        machine = self.machine
        if machine.outcome(None, self.event.value, self.memo).taken:
            after = None if not self.complete else machine.number(self.known, self.complete[0].path)
            return Step("dropped", why="skip", after=after)
        return Step("nothing", answers=machine.answers([None], self.event.value, self.memo))


def grouped(runs: Iterable[Run]) -> dict[int, Group]:
    groups: dict[int, Group] = {}
    for run in runs:
        groups.setdefault(id(run.path), Group(run.path)).runs.append(run)
    return groups


def complete_runs(found: Iterable[Found]) -> list[Run]:
    return [each.run for each in found if each.kind == "match"]


def positions(path: Taken) -> dict[str, list[int]]:
    return {name: [event.position for event in events] for name, events in by_stage(path).items()}
