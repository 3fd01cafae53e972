"""A machine that writes down what it does to partial matches, and why."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from trimtab.cep.answers import Answer, Answers, Outcome, waits_for
from trimtab.cep.conditions import Asked
from trimtab.cep.machine import Found, Machine, TooManyPartialMatches
from trimtab.cep.pattern import Condition, Pattern
from trimtab.cep.program import Memo
from trimtab.cep.runs import Event, Partials, Run, Taken
from trimtab.cep.steps import Moment, Step, Why
from trimtab.cep.taking import Group, Known, Taking, complete_runs, grouped, positions


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
        self._known: dict[int, Known] = {}
        self._paths: dict[int, Taken] = {}
        self._last = 0

    def take_moments(self) -> list[Moment]:
        """Return what has happened since the last time, in order."""
        moments, self._moments = self._moments, []
        return moments

    def take(self, partials: Partials, event: Event, memo: Memo, begins: bool) -> Sequence[Found]:
        """See :class:`Machine`."""
        known = self._known_of(partials, self._key_of(event.position))
        before, withheld = grouped(partials.runs), list(partials.withheld)
        steps: list[Step] = []
        try:
            found = super().take(partials, event, memo, begins)
        except TooManyPartialMatches:
            steps.append(Step("stopped"))
            raise
        else:
            work = Taking(self, known, event, memo, complete_runs(found), partials, withheld)
            steps += work.steps(before, begins=begins)
            self._forget(known)
            return found
        finally:
            self._moments.append(Moment(event.time, known.key, event.position, event.value, steps))

    def advance(self, partials: Partials, time: int) -> list[Found]:
        """See :class:`Machine`."""
        before, withheld = grouped(partials.runs), list(partials.withheld)
        known = self._known.get(id(partials))
        found = super().advance(partials, time)
        if known is None:
            return found
        complete = complete_runs(found)
        steps: list[Step] = []
        gone = grouped(each.run for each in found if each.kind == "timeout")
        alive = grouped(partials.runs)
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

    def number(self, known: Known, path: Taken) -> int | None:
        """Return the number of a partial match, if it has one."""
        return known.numbers.get(id(path))

    def new_number(self, known: Known, path: Taken, number: int | None = None) -> int:
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
        self, known: Known, complete: Sequence[Run], partials: Partials, withheld: Sequence[Run]
    ) -> Iterator[Step]:
        """Yield the matches of one moment, those that have to wait, and those that need wait no more."""
        for run in complete:
            yield Step("match", self._number_of(known, run.path), stage=run.path.stage, events=positions(run.path))
        for run in partials.withheld:
            if not any(run is each for each in withheld):
                number = self._number_of(known, run.path)
                after = None if not partials.runs else self.number(known, partials.runs[0].path)
                yield Step("withheld", number, stage=run.path.stage, events=positions(run.path), after=after)
        for run in withheld:
            if not any(run is each for each in (*complete, *partials.withheld)):
                yield self.dropped(known, run.path, complete, withheld=True)

    def dropped(self, known: Known, path: Taken, complete: Sequence[Run], *, withheld: bool = False) -> Step:
        """Return the step of a partial match that the skip strategy has dropped; ``withheld``: a complete one."""
        after = None if not complete else self._number_of(known, complete[0].path)
        stage = path.stage if withheld else None
        return Step("dropped", self.number(known, path), stage=stage, events=positions(path), why="skip", after=after)

    def _number_of(self, known: Known, path: Taken) -> int:
        number = self.number(known, path)
        return self.new_number(known, path) if number is None else number

    def _expired(self, known: Known, group: Group, time: int) -> Step:
        why: Why = "window"
        limit = self.window
        for run in group.runs:
            between = self.automaton.states[run.state].window
            if between and time - run.path.event.time >= between:
                why, limit = "window between", between
        number, waits = self.number(known, group.path), self.waiting(group.runs)
        return Step("expired", number, events=positions(group.path), waits_for=waits, why=why, limit=limit)

    # --- what is known ---

    def _known_of(self, partials: Partials, key: Any) -> Known:
        known = self._known.get(id(partials))
        if known is None:
            known = self._known[id(partials)] = Known(partials, key)
        return known

    def _forget(self, known: Known) -> None:
        """Let go of partial matches that are gone."""
        alive = {id(run.path) for run in (*known.partials.runs, *known.partials.withheld)}
        for identity in [identity for identity in known.numbers if identity not in alive]:
            del known.numbers[identity], self._paths[identity]
        if known.partials.idle:
            del self._known[id(known.partials)]

    @property
    def open(self) -> int:
        """How many partial matches live."""
        return sum(len(grouped(known.partials.runs)) for known in self._known.values())

    @property
    def withheld(self) -> int:
        """How many complete ones wait."""
        return sum(len(known.partials.withheld) for known in self._known.values())
