"""A compiled rule, and what an event or the clock does to its partial matches for one key."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Literal

import msgspec

from trimtab.cep.compiler import compile_pattern
from trimtab.cep.conditions import Asked
from trimtab.cep.pattern import Condition, Pattern
from trimtab.cep.program import Memo, build_program
from trimtab.cep.runs import Event, Partials, Run
from trimtab.cep.skipping import order, pruning

DEFAULT_PARTIAL_MATCHES = 10_000
"""Partial matches that a rule may have for one key."""


class Found(msgspec.Struct, frozen=True):
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

    def take(self, partials: Partials, event: Event, memo: Memo, *, begins: bool) -> list[Found]:
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
        partials.runs = runs
        if len(runs) > self.most:
            partials.runs, partials.withheld, partials.stopped = [], [], True
            raise TooManyPartialMatches
        return self._complete(partials, done, event.time) if done or partials.withheld else []

    def due(self, partials: Partials) -> int | None:
        """Return when the clock next ends a partial match, ms; None: it ends none."""
        return partials.runs[0].first.time + self.window if self.window and partials.runs else None

    def advance(self, partials: Partials, time: int) -> list[Found]:
        """Let the clock come to a time, ms: matches that are complete now, then partial matches whose time is up."""
        kept: list[Run] = []
        done: list[Run] = []
        ended: list[Found] = []
        for run in partials.runs:
            at = self._ends(run, time)
            if at is None:
                kept.append(run)
            elif self._pending[run.state]:
                done.append(run)
            else:
                ended.append(Found("timeout", run, at))
        if len(kept) == len(partials.runs):
            return []
        partials.runs = kept
        return [*self._complete(partials, done, time), *ended]

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
        return list(self._skipping(partials, done, time))

    def _skipping(self, partials: Partials, done: list[Run], time: int) -> Iterator[Found]:
        waiting = sorted([*partials.withheld, *done], key=_begun)
        runs = partials.runs
        while waiting and (not runs or _begun(waiting[0]) <= _begun(runs[0])):
            found = waiting.pop(0)
            yield Found("match", found, time)
            place = None if self._prune is None else self._prune(found)
            if place is not None:
                runs = [run for run in runs if not _is_dropped(run, *place)]
                waiting = [run for run in waiting if not _is_dropped(run, *place)]
        partials.runs, partials.withheld = runs, waiting


def _begun(run: Run) -> tuple[int, int]:
    return order(run.first)


def _is_dropped(run: Run, place: tuple[int, int], including: Any) -> bool:
    return _begun(run) < place or (including and _begun(run) == place)
