"""From a pattern to its automaton, state for state as Apache Flink CEP 2.3 builds it (its ``NFACompiler``).

A chain is walked from its end to its beginning: each stage is given the state that follows it, and answers with the
state in which it is entered. Which states there are, in which order their transitions stand and which of them carry
windows decides the order of matches, so all of that follows Flink, where it is surprising too; ``docs/cep.md`` lists
what surprises.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from trimtab.cep.automaton import Automaton, Kind, State
from trimtab.cep.errors import RuleError, refused
from trimtab.cep.formulas import ALWAYS, NEVER, And, Formula, Not, Or, both, negated, of_condition
from trimtab.cep.pattern import Contiguity, Edge, Pattern, Stage

MAX_STATES = 2_000
"""States that an automaton may have: what is repeated has a state for each time."""
MAX_ASKED = 20_000
"""Conditions on the transitions of an automaton, each as often as it stands there."""
MAX_IN_A_ROW = 100
"""States that may lie on a way without events: as many may be asked of one event."""
MAX_WAYS = 1_000
"""Ways without events from one state."""
GROUP_STATE = "GroupPattern"
"""What states between the rounds of a group are counted under, whichever group it is."""
_MAX_COPIES = 200
END = "$endState$"


def compile_pattern(pattern: Pattern) -> Automaton:
    """Build the automaton of a pattern.

    Raises :class:`RuleError` for a pattern that Flink refuses, that makes it hang or crash, or that would be too large.
    """
    automaton = _Compiler(pattern).compile()
    _check_ways(pattern, automaton)
    return automaton


class _Compiler:
    """Builds one automaton. ``_chain`` and ``_at`` are the stage in hand, ``_group`` the innermost group around it."""

    def __init__(self, pattern: Pattern) -> None:
        self._pattern = pattern
        self._states: list[State] = []
        self._numbers: Counter[str] = Counter()
        self._stops: dict[str, State] = {}
        self._chain: tuple[Stage, ...] = pattern.stages
        self._at = len(pattern.stages) - 1
        self._group: Stage | None = None
        self._following: Stage | None = None
        self._in_first_round: dict[int, bool] = {}
        """By the identity of a group: whether the round that is being built is its first."""
        self._until_copies: dict[int, State] = {}
        """By the identity of a state behind a greedy loop: its copy for the event that ends the loop."""
        self._window: int | None = None

    def compile(self) -> Automaton:
        """Build everything."""
        end = self._new_state(END, "final")
        self._window = self._stage.window("FIRST_AND_LAST")
        start = self._stage_states(self._middle(end))
        self._check_windows()
        return Automaton(tuple(self._states), start, self._window)

    def _check_windows(self) -> None:
        longest = max((state.window for state in self._states if state.window is not None), default=0)
        if self._window is not None and longest > self._window:
            expected = f"windows between events of at most the rule's window ({self._window} ms)"
            raise refused(self._pattern.path(self._pattern.name), expected, f"{longest} ms")
        last = self._pattern.stages[-1]
        if last.edge == "NOT_FOLLOW" and not self._window and not last.window("PREVIOUS_AND_CURRENT"):
            raise refused(self._pattern.path(last), "a window, as the rule ends with NOT_FOLLOW", "none")

    # --- the stage in hand ---

    @property
    def _stage(self) -> Stage:
        return self._chain[self._at]

    @property
    def _is_head_of_group(self) -> bool:
        return self._group is not None and self._at == 0

    def _take(self, stage: Stage) -> Formula:
        return self._unless_until(of_condition(stage.condition))

    def _always(self) -> Formula:
        return self._unless_until(ALWAYS)

    def _unless_until(self, formula: Formula) -> Formula:
        """An event that ends the loop of a group is for none of the group's stages."""
        if self._group is None or self._group.quantifier.until is None:
            return formula
        return both(negated(of_condition(self._group.quantifier.until)), formula)

    def _ignore(self, contiguity: Edge, stage: Stage) -> Formula | None:
        """Return which events may be left out before one that a stage takes; None: there is no such way."""
        if contiguity == "SKIP_TILL_NEXT":
            return self._unless_until(negated(of_condition(stage.condition)))
        return self._unless_until(ALWAYS) if contiguity == "SKIP_TILL_ANY" else None

    def _edge_ignore(self) -> Formula | None:
        """Return which events may be left out before the stage: between the rounds of a group its inner contiguity."""
        contiguity: Edge = self._stage.edge
        if self._is_head_of_group and self._group is not None:
            contiguity = self._group.edge if self._is_first_round() else self._group.quantifier.inner
        return self._ignore(contiguity, self._stage)

    def _inner_ignore(self) -> Formula | None:
        """Return which events may be left out between the repeats of the stage."""
        contiguity: Contiguity = self._stage.quantifier.inner
        if self._is_head_of_group and self._group is not None:
            contiguity = self._group.quantifier.inner
        return self._ignore(contiguity, self._stage)

    def _is_first_round(self) -> bool:
        return self._group is None or self._in_first_round.get(id(self._group), True)

    def _set_first_round(self, first: bool) -> None:
        if self._stage.group is not None:
            self._in_first_round[id(self._stage)] = first

    # --- states ---

    def _new_state(self, name: str, kind: Kind = "normal") -> State:
        if len(self._states) >= MAX_STATES:
            expected = f"a pattern of at most {MAX_STATES} states; a stage has one for each time it may repeat"
            raise refused(self._pattern.path(self._pattern.name), expected, "more")
        state = State(name, self._numbers[name], kind)
        self._numbers[name] += 1
        self._states.append(state)
        return state

    def _stage_state(self, kind: Kind = "normal") -> State:
        """Make a state in which the stage waits for its event, with the window that counts there."""
        stage = self._stage
        state = self._new_state(GROUP_STATE if stage.group is not None else stage.name, kind)
        if stage.quantifier.repeat == "SINGLE":
            state.window = stage.window("PREVIOUS_AND_CURRENT")
        elif state.number > 0:
            state.window = stage.quantifier.window
        return state

    def _stop_state(self, stage: Stage) -> State:
        if stage.name not in self._stops:
            stop = self._stops[stage.name] = self._new_state(stage.name, "stop")
            stop.add("take", stop, self._take(stage))
        return self._stops[stage.name]

    def _add_stop(self, state: State, stage: Stage) -> None:
        """An event that a NOT stage is about ends the runs in a state."""
        state.add("proceed", self._stop_state(stage), self._take(stage))

    def _add_stops(self, state: State) -> None:
        for stage in self._nots_before():
            self._add_stop(state, stage)

    def _add_stop_to_loop(self, state: State) -> None:
        if self._following is not None and self._following.edge == "NOT_FOLLOW":
            self._add_stop(state, self._following)

    def _nots_before(self) -> list[Stage]:
        """Return the NOT_FOLLOW stages that lie before the stage, with nothing but optional ones between."""
        found = []
        at = self._at
        while at > 0 and (self._chain[at - 1].is_optional or self._chain[at - 1].edge == "NOT_FOLLOW"):
            at -= 1
            if self._chain[at].edge == "NOT_FOLLOW":
                found.append(self._chain[at])
        return found

    def _copy(self, state: State) -> State:
        copy = self._new_state(state.stage, state.kind)
        for each in state.transitions:
            copy.add(each.action, copy if each.target is state else each.target, each.condition)
        return copy

    def _without_nots(self, state: State, depth: int = 0) -> State:
        """Return a state for what follows an optional stage that took an event: NOTs before that no longer count."""
        nots = {stage.name for stage in self._nots_before()}
        if not nots or not self._stage.is_optional:
            return state
        if depth > _MAX_COPIES:
            raise self._hangs("NOT_FOLLOW and an optional stage before a looping group")
        copy = self._new_state(state.stage, state.kind)
        for each in state.transitions:
            if each.action != "proceed":
                copy.add(each.action, copy if each.target is state else each.target, each.condition)
            elif each.target.kind != "stop":
                copy.add("proceed", self._without_nots(each.target, depth + 1), each.condition)
            elif each.target.stage not in nots or each.target.number:
                copy.add("proceed", each.target, each.condition)
        return copy

    def _hangs(self, what: str) -> RuleError:
        return refused(self._pattern.path(self._stage), "a pattern that ends in finite time", what)

    # --- chains ---

    def _middle(self, sink: State) -> State:
        """Build the states of all stages of the chain but the first one, from the end on."""
        while self._at > 0:
            if self._stage.edge == "NOT_FOLLOW":
                sink = self._not_follow(sink)
            elif self._stage.edge == "NOT_NEXT":
                sink = self._not_next(sink)
            else:
                sink = self._stage_states(sink)
            self._following = self._stage
            self._at -= 1
            window = self._stage.window("FIRST_AND_LAST")
            if window is not None and (self._window is None or window < self._window):
                self._window = window
        return sink

    def _not_follow(self, sink: State) -> State:
        """Only where it ends the rule it has a state; elsewhere it is on the ways of the stages around it."""
        if sink.kind != "final" or not (self._window or self._stage.window("PREVIOUS_AND_CURRENT")):
            return sink
        state = self._stage_state("pending")
        self._add_stop(state, self._stage)
        state.add("ignore", state, negated(self._take(self._stage)))
        return state

    def _not_next(self, sink: State) -> State:
        state = self._stage_state()
        condition = self._take(self._stage)
        stop = self._stop_state(self._stage)
        state.add("ignore" if sink.kind == "final" else "proceed", sink, negated(condition))
        state.add("proceed", stop, condition)
        return state

    def _stage_states(self, sink: State) -> State:
        """Build the states of the stage in hand; return the one in which it is entered."""
        repeat = self._stage.quantifier.repeat
        if repeat == "LOOPING":
            self._set_first_round(False)
            loop = self._loop(self._without_nots(sink))
            self._set_first_round(True)
            entry = self._times(loop, sink)
        elif repeat == "TIMES":
            entry = self._times(sink, sink)
        else:
            optional = self._stage.is_optional
            entry = self._single(sink, sink, self._take(self._stage), self._edge_ignore(), optional=optional)
        self._add_stops(entry)
        return entry

    def _times(self, sink: State, proceed: State) -> State:
        """Build a state for each time that the stage takes an event, the last one first."""
        stage, quantifier = self._stage, self._stage.quantifier
        least = max(quantifier.least, 1)
        most = quantifier.most if quantifier.repeat == "TIMES" else least
        self._set_first_round(False)
        ignore, take = self._inner_ignore(), self._take(stage)
        if quantifier.until is not None:
            ended = of_condition(quantifier.until)
            ignore = None if ignore is None else both(negated(ended), ignore)
            take = both(negated(ended), take)
        if quantifier.greedy and least != most:
            _deny(proceed, take)
        entry = sink
        for number in range(most - 1):
            entry = self._single(entry, proceed, take, ignore, optional=number < most - least)
            self._add_stop_to_loop(entry)
        self._set_first_round(True)
        return self._single(entry, proceed, take, self._edge_ignore(), optional=stage.is_optional)

    def _single(self, sink: State, proceed: State, take: Formula, ignore: Formula | None, *, optional: bool) -> State:
        """Build the state for one time that the stage takes an event."""
        if self._stage.group is not None:
            return self._round(self._stage.group, sink, proceed, optional=optional)
        state = self._stage_state()
        sink = self._without_nots(sink)
        state.add("take", sink, take)
        if optional:
            self._add_way_around(state, proceed)
        if ignore is not None:
            waiting = state
            if optional or self._is_head_of_optional_group():
                # Once an event was left out, the stage can no longer be left out.
                waiting = self._new_state(self._stage.name)
                waiting.add("take", sink, take)
                waiting.add("ignore", waiting, ignore)
                self._add_stops(waiting)
            state.add("ignore", waiting, ignore)
        return state

    def _add_way_around(self, state: State, proceed: State) -> None:
        quantifier = self._stage.quantifier
        if not quantifier.greedy or quantifier.until is None:
            state.add("proceed", proceed, self._always())
            return
        if id(proceed) not in self._until_copies:
            raise refused(
                self._pattern.path(self._stage), "no NOT_FOLLOW before a greedy, optional loop with until", "one"
            )
        ended = of_condition(quantifier.until)
        state.add("proceed", self._until_copies[id(proceed)], both(self._always(), ended))
        state.add("proceed", proceed, both(self._always(), negated(ended)))

    def _is_head_of_optional_group(self) -> bool:
        group = self._group
        return group is not None and self._is_head_of_group and self._is_first_round() and group.is_optional

    def _loop(self, sink: State) -> State:
        """Build the state in which a stage takes any number of events."""
        if self._stage.group is not None:
            return self._group_loop(self._stage.group, sink)
        quantifier = self._stage.quantifier
        until = None if quantifier.until is None else of_condition(quantifier.until)
        ignore, take = self._inner_ignore(), self._take(self._stage)
        if until is not None:
            ignore = None if ignore is None else both(negated(until), ignore)
            take = both(negated(until), take)
        state = self._stage_state()
        self._add_way_on(state, sink, until)
        state.add("take", state, take)
        self._add_stop_to_loop(state)
        if ignore is not None:
            waiting = self._new_state(self._stage.name)
            waiting.add("take", state, take)
            waiting.add("ignore", waiting, ignore)
            state.add("ignore", waiting, ignore)
            self._add_stop_to_loop(waiting)
        return state

    def _add_way_on(self, loop: State, sink: State, until: Formula | None) -> None:
        """Let runs leave a loop; a greedy one only with an event that the loop would not take."""
        if not self._stage.quantifier.greedy:
            loop.add("proceed", sink, self._always())
            return
        if until is not None:
            copy = self._until_copies[id(sink)] = self._copy(sink)
            loop.add("proceed", copy, both(self._always(), until))
        leaving = self._always() if until is None else both(self._always(), negated(until))
        loop.add("proceed", sink, leaving)
        _deny(sink, self._take(self._stage))

    # --- groups ---

    @contextmanager
    def _inside(self, group: tuple[Stage, ...]) -> Iterator[None]:
        before = (self._chain, self._at, self._following, self._group)
        self._group, self._chain, self._at = self._stage, group, len(group) - 1
        try:
            yield
        finally:
            self._chain, self._at, self._following, self._group = before

    def _round(self, group: tuple[Stage, ...], sink: State, proceed: State, *, optional: bool) -> State:
        """Build the states of one round of a group."""
        always = self._always()
        with self._inside(group):
            entry = self._stage_states(self._middle(sink))
        if optional:
            entry.add("proceed", proceed, always)
        return entry

    def _group_loop(self, group: tuple[Stage, ...], sink: State) -> State:
        """Build the states of a round that leads back to its own beginning."""
        always, between = self._always(), self._stage_state()
        with self._inside(group):
            entry = self._stage_states(self._middle(between))
        entry.add("proceed", sink, always)
        between.add("proceed", entry, always)
        return entry


def _size(formula: Formula) -> int:
    match formula:
        case Not(part):
            return _size(part)
        case And(parts) | Or(parts):
            return sum(map(_size, parts))
        case _:
            return 1


def _deny(state: State, formula: Formula) -> None:
    """Close every way out of a state for the events that a greedy loop would take."""
    for each in state.transitions:
        each.condition = both(each.condition, negated(formula))


def _check_ways(pattern: Pattern, automaton: Automaton) -> None:
    """Refuse what makes Flink hang (a way without event back to where it began) or crash (NOT before any event)."""
    finished: dict[int, _Ways] = {}
    for state in automaton.states:
        _check_cycles(pattern, state, finished)
    _check_size(pattern, automaton, finished.values())
    waiting, seen = [automaton.start], {id(automaton.start)}
    while waiting:
        for each in waiting.pop().proceeds:
            if each.condition == NEVER or id(each.target) in seen:
                continue
            if each.target.kind == "stop":
                path = pattern.path(each.target.stage)
                raise refused(path, "an event that is taken before a NOT stage", "only optional stages before it")
            seen.add(id(each.target))
            waiting.append(each.target)


class _Ways(NamedTuple):
    """The ways without events from a state: how many there are, and how long the longest is."""

    number: int
    longest: int


def _check_size(pattern: Pattern, automaton: Automaton, ways: Collection[_Ways]) -> None:
    """Refuse what would take too long to build, or to ask of one event state by state."""
    path = pattern.path(pattern.name)
    asked = sum(_size(each.condition) for state in automaton.states for each in state.transitions)
    if asked > MAX_ASKED:
        expected = f"at most {MAX_ASKED} conditions, each as often as its stage may repeat"
        raise refused(path, expected, str(asked))
    if max(each.longest for each in ways) - 1 > MAX_IN_A_ROW:
        raise refused(path, f"at most {MAX_IN_A_ROW} optional stages in a row", "more")
    if max(each.number for each in ways) > MAX_WAYS:
        raise refused(path, f"at most {MAX_WAYS} ways around optional stages and out of loops", "more")


def _check_cycles(pattern: Pattern, state: State, finished: dict[int, _Ways]) -> None:
    """Follow the ways without events, depth first and without recursion."""
    stack: list[tuple[State, Iterator[State]]] = [(state, _proceeds_to(state))]
    open_states = {id(state)}
    if id(state) in finished:
        return
    while stack:
        current, targets = stack[-1]
        target = next(targets, None)
        if target is None:
            ways = [finished[id(each)] for each in _proceeds_to(current)]
            longest = max((each.longest for each in ways), default=0)
            finished[id(current)] = _Ways(1 + sum(each.number for each in ways), 1 + longest)
            open_states.discard(id(current))
            stack.pop()
        elif id(target) in open_states:
            name = next((s.stage for s, _ in stack if s.stage != GROUP_STATE), pattern.name)
            raise refused(
                pattern.path(name), "a looping group whose every round takes an event", "one that may be empty"
            )
        elif id(target) not in finished:
            open_states.add(id(target))
            stack.append((target, _proceeds_to(target)))


def _proceeds_to(state: State) -> Iterator[State]:
    return (each.target for each in state.proceeds if each.condition != NEVER)
