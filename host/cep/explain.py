"""Why a rule fires or does not: what each event does to its partial matches, and which of them came furthest."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from operator import attrgetter
from typing import Any

from trimtab.cep.bindings import of_key
from trimtab.cep.conditions import Conditions, Functions
from trimtab.cep.errors import refused
from trimtab.cep.explained import ExplainedMachine
from trimtab.cep.pattern import all_stages
from trimtab.cep.placed import Placed
from trimtab.cep.rule import Rule
from trimtab.cep.sample import stream_of
from trimtab.cep.steps import Furthest, Moment, StageCount, Step, Summary
from trimtab.cep.stream import Incoming
from trimtab.values import LATEST


class Explanation:
    """One rule on recorded events. Raises :class:`RuleError` for a rule that is refused. For one run."""

    def __init__(self, rule: Rule, now: Callable[[], int], functions: Functions | None, *, event_time: bool) -> None:
        if rule.pattern is None:
            raise refused("$.rule_type", "cep", "udf, which has no pattern")
        conditions = Conditions(now)
        self._keys: dict[int, Any] = {}
        self._machine = ExplainedMachine(
            rule.pattern,
            lambda condition: conditions.ask(condition, rule.parameters, functions, "$.pattern"),
            rule.partial_matches,
            self._keys.__getitem__,
        )
        self._placed = Placed(rule.id, "", rule, self._machine)
        self._placed.needs = None  # it is asked about every event, to tell why that began nothing
        self._stream = stream_of(self._placed, event_time=event_time)
        self._tally = _Tally([stage.name for stage in all_stages(rule.pattern.stages) if stage.group is None])

    @property
    def placed(self) -> Placed:
        """The compiled rule with its counts."""
        return self._placed

    def moments(self, events: Sequence[Incoming]) -> Iterator[Moment]:
        """Yield what happens, in order; at the end time goes to its end. Call it once, with all events."""
        if self._stream.event_time:
            events = sorted(events, key=attrgetter("time", "position"))
        for time, group in groupby(
            events, key=attrgetter("time") if self._stream.event_time else attrgetter("position")
        ):
            yield from self._take(list(group), time)
        self._stream.advance(LATEST)
        yield from self._counted(self._machine.take_moments())

    @property
    def summary(self) -> Summary:
        """What came of all events."""
        return self._tally.summary(self._machine.open, self._machine.withheld)

    def _take(self, events: list[Incoming], time: int) -> Iterator[Moment]:
        self._keys |= {event.position: of_key(event.key) for event in events}
        self._stream.feed(events, [])
        if self._stream.event_time:
            self._stream.advance(time)
        moments = self._machine.take_moments()
        seen = {moment.event for moment in moments}
        unseen = [event for event in events if event.position not in seen]
        yield from self._counted([*moments, *(self._passed_by(event) for event in unseen)])

    def _passed_by(self, event: Incoming) -> Moment:
        stopped = any(key == event.key for _placed, key in self._stream.stopped)
        step = Step("stopped" if stopped else "unbound")
        return Moment(event.time, of_key(event.key), event.position, event.value, [step])

    def _counted(self, moments: list[Moment]) -> Iterator[Moment]:
        for moment in moments:
            self._tally.add(moment)
            yield moment


class _Tally:
    """Counts, and remembers the partial match that came furthest. ``stages``: in the order of the pattern."""

    def __init__(self, stages: list[str]) -> None:
        self._order = {name: number for number, name in enumerate(stages)}
        self._events = 0
        self._counts: Counter[str] = Counter()
        self._took = dict.fromkeys(stages, 0)
        self._refused = dict.fromkeys(stages, 0)
        self._matched: set[int] = set()
        self._furthest: dict[int, tuple[tuple[int, int], Furthest]] = {}
        """Of the partial matches that are not complete, by number: how far they came."""

    def add(self, moment: Moment) -> None:
        """Take note of a moment."""
        if moment.event is not None:
            self._events += 1
        for step in moment.steps:
            self._counts[step.what] += 1
            if step.what in ("began", "advanced", "branched", "match", "withheld") and step.stage is not None:
                self._note_taken(moment, step)
            for answer in step.answers:
                if not answer.true:
                    self._refused[answer.stage] += 1
            self._follow(moment, step)

    def _note_taken(self, moment: Moment, step: Step) -> None:
        """A partial match that is complete at once has no step of its own for the event that it took."""
        if step.what in ("match", "withheld"):
            before = self._furthest.get(step.partial or 0)
            if before is not None and before[1].events == step.events:
                return
            if moment.event is None or [moment.event] != step.events.get(step.stage or "", [])[-1:]:
                return
        self._took[step.stage or ""] += 1

    def _follow(self, moment: Moment, step: Step) -> None:
        if step.what == "match" and step.partial is not None:
            self._furthest.pop(step.partial, None)
            self._matched.add(step.partial)
        if step.partial is None or step.partial in self._matched:
            return
        before = self._furthest.get(step.partial)
        events = step.events or (before[1].events if before else {})
        waits = step.waits_for or (before[1].waits_for if before and step.what != "withheld" else [])
        last = len(self._order) if step.what == "withheld" else max(map(self._order.__getitem__, events), default=-1)
        progress = (last, sum(map(len, events.values())))
        found = Furthest(step.partial, moment.key, events, waits, step, moment.event)
        self._furthest[step.partial] = (progress, found)

    def summary(self, alive: int, withheld: int) -> Summary:
        """Return everything."""
        furthest = max(self._furthest.values(), key=lambda each: each[0], default=None)
        return Summary(
            events=self._events,
            began=self._counts["began"],
            matches=self._counts["match"],
            expired=self._counts["expired"],
            open=alive,
            withheld=withheld,
            stages={name: StageCount(self._took[name], self._refused[name]) for name in self._order},
            furthest=None if furthest is None else furthest[1],
        )
