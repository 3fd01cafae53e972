"""A machine that writes down what it does to partial matches, and why."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from trimtab.cep.answers import Answer, Answers, Outcome, waits_for
from trimtab.cep.conditions import Asked
from trimtab.cep.machine import Found, Machine, TooManyPartialMatches
from trimtab.cep.pattern import Condition, Pattern
from trimtab.cep.program import Memo
from trimtab.cep.runs import Event, Partials, Run, Taken, by_stage
from trimtab.cep.steps import Moment, Step, Why


@dataclass(slots=True)
class _Group:
    """The runs that hold the same events: to people one partial match, whatever states it is in."""

    path: Taken
    runs: list[Run] = field(default_factory=list)


@dataclass(slots=True)
class _Known:
    """What is known of the partial matches of a key. ``numbers``: of those that live, by the identity of their path."""

    partials: Partials
    key: Any
    numbers: dict[int, int] = field(default_factory=dict)


class ExplainedMachine(Machine):
    """Does what :class:`Machine` does; :meth:`take_moments` tells what that was. ``key_of``: of an event's position."""

    def __init__(
        self,
        pattern: Pattern,
        ask: Callable[[Condition], Asked],
        most: int,
        key_of: Callable[[int], Any],
    ) -> None:
        super().__init__(pattern, ask, most)
        self._answers = Answers(pattern, ask)
        self._key_of = key_of
        self._moments: list[Moment] = []
        self._known: dict[int, _Known] = {}
        self._paths: dict[int, Taken] = {}
        self._last = 0

    def take_moments(self) -> list[Moment]:
        """Return what has happened since the last time, in order."""
        moments, self._moments = self._moments, []
        return moments

    def take(self, partials: Partials, event: Event, memo: Memo, *, begins: bool) -> list[Found]:
        """See :class:`Machine`."""
        known = self._known_of(partials, self._key_of(event.position))
        before, withheld = _grouped(partials.runs), partials.withheld
        steps: list[Step] = []
        try:
            found = super().take(partials, event, memo, begins=begins)
        except TooManyPartialMatches:
            steps.append(Step("stopped"))
            raise
        else:
            work = _Taking(self, known, event, memo, _complete(found), partials, withheld)
            steps += work.steps(before, begins=begins)
            self._forget(known)
            return found
        finally:
            self._moments.append(Moment(event.time, known.key, event.position, event.value, steps))

    def advance(self, partials: Partials, time: int) -> list[Found]:
        """See :class:`Machine`."""
        before, withheld = _grouped(partials.runs), partials.withheld
        known = self._known.get(id(partials))
        found = super().advance(partials, time)
        if known is None:
            return found
        complete = _complete(found)
        steps: list[Step] = []
        gone = _grouped(each.run for each in found if each.kind == "timeout")
        alive = _grouped(partials.runs)
        for identity, group in before.items():
            if identity in gone and identity not in alive:
                steps.append(self._expired(known, group, time))
            elif identity not in alive and not any(run.path is group.path for run in (*complete, *partials.withheld)):
                steps.append(self.dropped(known, group.path, complete))
        steps += self.matches(known, complete, partials, withheld)
        if steps:
            self._moments.append(Moment(time, known.key, steps=steps))
            self._forget(known)
        return found

    # --- what the steps are made of ---

    def number(self, known: _Known, path: Taken) -> int | None:
        """Return the number of a partial match, if it has one."""
        return known.numbers.get(id(path))

    def new_number(self, known: _Known, path: Taken, number: int | None = None) -> int:
        """Number a partial match anew, or with the number of the one that has become it."""
        if number is None:
            self._last += 1
            number = self._last
        known.numbers[id(path)] = number
        self._paths[id(path)] = path  # as long as it is known, its identity is nobody else's
        return number

    def waiting(self, runs: Iterable[Run]) -> list[str]:
        """Return the stages that partial matches in these states wait for."""
        return list(dict.fromkeys(name for run in runs for name in waits_for(self.automaton.states[run.state])))

    def outcome(self, run: Run | None, value: Any, memo: Memo) -> Outcome:
        """Return what an event could do to a run, or to none."""
        state = self.automaton.start if run is None else self.automaton.states[run.state]
        return self._answers.outcome(state, value, run, memo)

    def answers(self, runs: Sequence[Run | None], value: Any, memo: Memo) -> list[Answer]:
        """Return what the stages said of an event that runs wait for."""
        found: dict[str, Answer] = {}
        for run in runs:
            state = self.automaton.start if run is None else self.automaton.states[run.state]
            for name in waits_for(state):
                if name not in found:
                    found[name] = self._answers.answer(name, value, run, memo)
        return list(found.values())

    def ended_by_until(self, run: Run, value: Any, memo: Memo) -> bool:
        """Whether an event ended the loop that a run is in."""
        names = waits_for(self.automaton.states[run.state])
        return any(self._answers.ended_by_until(name, value, run, memo) for name in names)

    def matches(
        self, known: _Known, complete: Sequence[Run], partials: Partials, withheld: Sequence[Run]
    ) -> Iterator[Step]:
        """Yield the matches of one moment, those that have to wait, and those that need wait no more."""
        for run in complete:
            yield Step("match", self._number_of(known, run.path), stage=run.path.stage, events=_positions(run.path))
        for run in partials.withheld:
            if not any(run is each for each in withheld):
                number = self._number_of(known, run.path)
                after = None if not partials.runs else self.number(known, partials.runs[0].path)
                yield Step("withheld", number, stage=run.path.stage, events=_positions(run.path), after=after)
        for run in withheld:
            if not any(run is each for each in (*complete, *partials.withheld)):
                yield self.dropped(known, run.path, complete, withheld=True)

    def dropped(self, known: _Known, path: Taken, complete: Sequence[Run], *, withheld: bool = False) -> Step:
        """Return the step of a partial match that the skip strategy has dropped; ``withheld``: a complete one."""
        after = None if not complete else self._number_of(known, complete[0].path)
        stage = path.stage if withheld else None
        return Step("dropped", self.number(known, path), stage=stage, events=_positions(path), why="skip", after=after)

    def _number_of(self, known: _Known, path: Taken) -> int:
        number = self.number(known, path)
        return self.new_number(known, path) if number is None else number

    def _expired(self, known: _Known, group: _Group, time: int) -> Step:
        why: Why = "window"
        limit = self.window
        for run in group.runs:
            between = self.automaton.states[run.state].window
            if between and time - run.path.event.time >= between:
                why, limit = "window between", between
        number, waits = self.number(known, group.path), self.waiting(group.runs)
        return Step("expired", number, events=_positions(group.path), waits_for=waits, why=why, limit=limit)

    # --- what is known ---

    def _known_of(self, partials: Partials, key: Any) -> _Known:
        known = self._known.get(id(partials))
        if known is None:
            known = self._known[id(partials)] = _Known(partials, key)
        return known

    def _forget(self, known: _Known) -> None:
        """Let go of partial matches that are gone."""
        alive = {id(run.path) for run in (*known.partials.runs, *known.partials.withheld)}
        for identity in [identity for identity in known.numbers if identity not in alive]:
            del known.numbers[identity], self._paths[identity]
        if known.partials.idle:
            del self._known[id(known.partials)]

    @property
    def open(self) -> int:
        """How many partial matches live."""
        return sum(len(_grouped(known.partials.runs)) for known in self._known.values())

    @property
    def withheld(self) -> int:
        """How many complete ones wait."""
        return sum(len(known.partials.withheld) for known in self._known.values())


@dataclass(slots=True)
class _Taking:
    """What one event does to the partial matches of a key. ``withheld``: the complete ones that waited before."""

    machine: ExplainedMachine
    known: _Known
    event: Event
    memo: Memo
    complete: list[Run]
    partials: Partials
    withheld: Sequence[Run]
    alive: dict[int, _Group] = field(init=False)

    def __post_init__(self) -> None:
        self.alive = _grouped(self.partials.runs)

    def steps(self, before: dict[int, _Group], *, begins: bool) -> Iterator[Step]:
        for group in before.values():
            yield from self._of_group(group)
        begun = self._children(None) if begins else []
        for path in begun:
            number = self.machine.new_number(self.known, path)
            waits = self.machine.waiting(self.alive[id(path)].runs) if id(path) in self.alive else []
            yield Step("began", number, stage=path.stage, events=_positions(path), waits_for=waits)
        yield from self.machine.matches(self.known, self.complete, self.partials, self.withheld)
        if begins and not begun:
            yield self._not_begun()

    def _children(self, path: Taken | None) -> list[Taken]:
        """Return the paths that have taken the event behind another one, or as their first."""
        runs = (*self.partials.runs, *self.complete, *self.partials.withheld)
        paths = {id(run.path): run.path for run in runs}
        return [each for each in paths.values() if each.previous is path and each.event is self.event]

    def _of_group(self, group: _Group) -> Iterator[Step]:
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
                yield Step(what, new, parent, path.stage, _positions(path), waits)  # type: ignore[arg-type]
        if children or any(run.path is group.path for run in (*self.complete, *self.partials.withheld)):
            return
        if stays:
            answers = machine.answers(self.alive[id(group.path)].runs, self.event.value, self.memo)
            waits = machine.waiting(self.alive[id(group.path)].runs)
            yield Step("waits", number, events=_positions(group.path), waits_for=waits, answers=answers)
        else:
            yield self._ended(group, number)

    def _ended(self, group: _Group, number: int | None) -> Step:
        machine, value, memo = self.machine, self.event.value, self.memo
        outcomes = [machine.outcome(run, value, memo) for run in group.runs]
        stopped = next((name for each in outcomes for name in each.stopped), None)
        events, waits = _positions(group.path), machine.waiting(group.runs)
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


def _grouped(runs: Iterable[Run]) -> dict[int, _Group]:
    groups: dict[int, _Group] = {}
    for run in runs:
        groups.setdefault(id(run.path), _Group(run.path)).runs.append(run)
    return groups


def _complete(found: Iterable[Found]) -> list[Run]:
    return [each.run for each in found if each.kind == "match"]


def _positions(path: Taken) -> dict[str, list[int]]:
    return {name: [event.position for event in events] for name, events in by_stage(path).items()}
