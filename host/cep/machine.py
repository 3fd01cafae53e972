"""A compiled rule, and what an event or the clock does to its partial matches for one key."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from typing import Literal

import msgspec

from trimtab.cep.compiler import compile_pattern
from trimtab.cep.conditions import Asked
from trimtab.cep.pattern import Condition, Pattern
from trimtab.cep.program import Memo, build_program
from trimtab.cep.runs import Event, Partials, Run
from trimtab.cep.skipping import Order, Prune, order, pruning

DEFAULT_PARTIAL_MATCHES = 10_000
"""Partial matches that a rule may have for one key."""


class Found(msgspec.Struct, frozen=True, gc=False, eq=False):
    """A match, or a partial match whose time is up.

    ``time``: of a match when it was found; of a time-out its first event and the window, ms.
    """

    kind: Literal["match", "timeout"]
    run: Run
    time: int


class TooManyPartialMatches(Exception):
    """A rule has more partial matches for a key than it may have. They are dropped, and it is stopped there."""


class Machine:
    """A compiled pattern. It is never changed; what it knows of a key is a :class:`Partials`.

    ``ask`` makes a condition ready to be asked. ``most``: partial matches for one key.
    Raises :class:`RuleError` for what Flink refuses or could not end.
    """

    def __init__(
        self, pattern: Pattern, ask: Callable[[Condition], Asked], most: int = DEFAULT_PARTIAL_MATCHES
    ) -> None:
        automaton = compile_pattern(pattern)
        program = build_program(automaton, ask)
        self.pattern = pattern
        self.automaton = automaton
        self.beginning = program.beginning
        """What must be true of an event that begins a match."""
        self.asked = program.asked
        """Its conditions."""
        self.window = automaton.window or 0
        """The most that may lie between first and last event, ms; 0: any time."""
        self.waits_between = automaton.waits_between
        """Whether some stage has a window after the event before it: then the clock counts with every event."""
        self.most = most
        self._steps = program.steps
        self._start = program.start
        self._prune = pruning(pattern.skip)
        self._windows = [state.window or 0 for state in automaton.states]
        self._pending = [state.kind == "pending" for state in automaton.states]

    def take(self, partials: Partials, event: Event, memo: Memo, begins: bool) -> Sequence[Found]:
        """Hand an event to the partial matches of its key; ``begins``: it may begin one.

        Raises :class:`TooManyPartialMatches`.
        """
        value, steps = event.value, self._steps
        runs: list[Run] = []
        done: list[Run] = []
        for run in partials.runs:
            before = len(runs)
            if steps[run.state](event, value, run, memo, runs, done):
                del runs[before:]
        if begins:
            before = len(runs)
            self._start(event, value, None, memo, runs, done)
            if before and len(runs) > before and order(runs[before - 1].first) > order(event):
                runs.sort(key=_begun)  # the clock went back
        partials.runs = tuple(runs) if runs else ()  # which is smaller than a list
        if len(runs) > self.most:
            partials.runs, partials.withheld, partials.stopped = (), (), True
            raise TooManyPartialMatches
        return self._complete(partials, done, event.time) if done or partials.withheld else ()

    def advance(self, partials: Partials, time: int) -> list[Found]:
        """Let the clock come to a time, ms: matches that are complete now, then partial matches whose time is up."""
        runs = partials.runs
        if not self.waits_between:  # then those that began first end first
            runs = runs[: bisect_right(runs, time - self.window, key=_begin_time)] if self.window else ()
        ended = [(run, at) for run in runs if (at := self._ends(run, time)) is not None]
        if not ended:
            return []
        left = [run for run in runs if self._ends(run, time) is None]
        partials.runs = (*left, *partials.runs[len(runs) :])
        done = [run for run, _at in ended if self._pending[run.state]]
        timeouts = [Found("timeout", run, at) for run, at in ended if not self._pending[run.state]]
        return [*self._complete(partials, done, time), *timeouts]

    def _ends(self, run: Run, time: int) -> int | None:
        """Return when a run's time was up by now; None: it goes on."""
        between = self._windows[run.state]
        if between and time - run.path.event.time >= between:
            return run.path.event.time + between
        if self.window and time - run.first.time >= self.window:
            return run.first.time + self.window
        return None

    def _complete(self, partials: Partials, done: list[Run], time: int) -> list[Found]:
        """Emit the matches that no longer wait, and drop what they skip."""
        if self._prune is None:
            return [Found("match", run, time) for run in done]
        return self._skipping(self._prune, partials, done, time)

    def _skipping(self, prune: Prune, partials: Partials, done: list[Run], time: int) -> list[Found]:
        """Emit what is complete, in the order in which it began, as long as nothing lives that began before.

        What began first is dropped first, so that both lists only lose their beginnings.
        """
        waiting = sorted([*partials.withheld, *done], key=_begun)
        runs = partials.runs
        found: list[Found] = []
        next_run = next_waiting = 0
        while next_waiting < len(waiting):
            match = waiting[next_waiting]
            if next_run < len(runs) and _begun(match) > _begun(runs[next_run]):
                break
            found.append(Found("match", match, time))
            next_waiting += 1
            place = prune(match)
            if place is not None:
                bisect = bisect_right if place[1] else bisect_left
                next_run = bisect(runs, place[0], lo=next_run, key=_begun)
                next_waiting = bisect(waiting, place[0], lo=next_waiting, key=_begun)
        partials.runs, partials.withheld = runs[next_run:], waiting[next_waiting:]
        return found


def _begun(run: Run) -> Order:
    return order(run.first)


def _begin_time(run: Run) -> int:
    return run.first.time
