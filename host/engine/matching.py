"""Takes events to the rules of a lane, and what these find to sinks, functions of scripts and internal sources."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import msgspec

from trimtab.cep.bindings import of_key
from trimtab.cep.rule import Target
from trimtab.engine.batch import Events, SourceSpec
from trimtab.engine.matches import CalledMatch, MatchEvents, Outcome, outcome_of
from trimtab.engine.pending import Pending
from trimtab.engine.result import FailedEvent
from trimtab.engine.rule_code import instance_for
from trimtab.engine.rule_streams import StreamId
from trimtab.engine.rules import Found, Rules
from trimtab.engine.run import HandlerRun, ScriptState
from trimtab.engine.script import LogEntry, ScriptHost
from trimtab.engine.steps import Active, Step
from trimtab.errors import Fault

_MOST_ROUNDS = 20
"""How often what is found may be an event for other rules, which find something in it, until it goes in circles."""

_encode = msgspec.json.Encoder().encode

Hand = Callable[[Pending, Step, Events, Sequence[int]], None]
"""Hands the selected events to one handler."""
Handle = Callable[[Pending, Events], None]
"""Hands events to every handler of their source."""


class Matching:
    """The way of events through the rules. ``active``: the running scripts, by name; they change from outside."""

    def __init__(
        self,
        host: ScriptHost,
        sources: Mapping[str, SourceSpec],
        rules: Rules,
        active: Mapping[str, Active],
        handle: Handle,
    ) -> None:
        self._host, self._rules, self._active, self._handle = host, rules, active, handle
        self._internal = {name for name, spec in sources.items() if spec.internal}

    def feed(self, pending: Pending, events: Events, hand: Hand) -> None:
        """Take the events of a batch."""
        found = list(self._rules.feed(events, events.batch.rekeyed))
        self._emit_late(pending, events)
        self._go_on(pending, found, hand)

    def advance(self, pending: Pending, watermarks: Mapping[str, int], hand: Hand) -> None:
        """Let time pass: event time to the watermarks of sources, the clock to when the batch has come."""
        self._go_on(pending, self._rules.advance(watermarks, pending.batch.arrival), hand)

    def settle(self, pending: Pending) -> None:
        """Take note of what has changed in the rules."""
        pending.change(self._rules.take_rows())
        for placed, key in self._rules.take_stopped():
            message = (
                f"expected at most {placed.rule.partial_matches} partial matches for one key, got more for "
                f"{of_key(key)!r}; they were dropped and the rule is stopped for this key until it changes"
            )
            self._host.log(LogEntry("error", placed.name, placed.version, message, {}))

    def hand_again(self, pending: Pending, scripts: Mapping[str, Active], hand: Hand) -> None:
        """Hand matches of dead letters to their functions again."""
        batch = pending.batch
        calls = [msgspec.json.decode(line, type=CalledMatch) for line in batch.data.split(b"\n")]
        events = MatchEvents(batch, batch.source, calls)
        for index, call in enumerate(calls):
            self._call(pending, events, index, Target("call", batch.only or "", call.function), scripts, hand)

    def _go_on(self, pending: Pending, found: Found | Iterable[Any], hand: Hand) -> None:
        """Bring what was found to where it goes, and what is found in that, and so on."""
        for _round in range(_MOST_ROUNDS):
            outcomes = [outcome for sid, result in found if (outcome := _outcome(sid, result)) is not None]
            if not outcomes:
                return
            found = self._bring(pending, outcomes, hand)
        for outcome in [outcome for sid, result in found if (outcome := _outcome(sid, result)) is not None]:
            pending.failed.append(self._circle(outcome))

    def _bring(self, pending: Pending, outcomes: Sequence[Outcome], hand: Hand) -> list[Any]:
        calls = [
            CalledMatch(
                outcome.rule, outcome.target.function, dict(outcome.parameters), msgspec.Raw(_encode(outcome.match))
            )
            for outcome in outcomes
        ]
        events = MatchEvents(pending.batch, outcomes[0].source, calls)
        pending.begin(events)
        emitted = self._run(events)
        for index, outcome in enumerate(outcomes):
            if outcome.target.kind == "call":
                self._call(pending, events, index, outcome.target, self._active, hand)
            elif outcome.target.name not in self._internal:
                emitted.extend(outcome.target.name, [index], [bytes(calls[index].match)])
        pending.emit(emitted)
        return [found for name in sorted(self._internal) for found in self._feed_internal(pending, name, outcomes)]

    def _call(
        self,
        pending: Pending,
        events: MatchEvents,
        index: int,
        target: Target,
        scripts: Mapping[str, Active],
        hand: Hand,
    ) -> None:
        try:
            active = instance_for(events.rule(index), target.name, scripts)
            handler = active.instance.function(target.function)
        except LookupError as error:
            fault = Fault("RuleError", f"expected a function {target}: {error}", target.name)
            failed = FailedEvent(
                events.payload(index),
                0,
                events.id(index),
                _encode(events.key(index)),
                target.name,
                None,
                fault,
                "match",
            )
            pending.failed.append(failed)
            return
        hand(pending, Step(active, handler, None), events, [index])

    def _feed_internal(self, pending: Pending, name: str, outcomes: Sequence[Outcome]) -> list[Any]:
        """Take what was found as the events of an internal source: to its handlers, then to its rules."""
        mine = [outcome for outcome in outcomes if outcome.target.kind == "emit" and outcome.target.name == name]
        if not mine:
            return []
        calls = [CalledMatch(outcome.rule, "", {}, msgspec.Raw(_encode(outcome.match))) for outcome in mine]
        events = MatchEvents(pending.batch, name, calls)
        events.kind = "event"
        self._handle(pending, events)
        for outcome in mine:
            self._rules.note_origin(name, outcome.source)
        return list(self._rules.feed(events, None))

    def _emit_late(self, pending: Pending, events: Events) -> None:
        late, self._rules.late = self._rules.late, []
        if not late:
            return
        pending.begin(events)
        run = self._run(events)
        indexes = {events.position(index): index for index in range(events.count)}
        for placed, _source, event in late:
            if placed.rule.late is not None:
                run.extend(placed.rule.late.name, [indexes[event.position]], [_encode(event.value)])
        pending.emit(run)

    def _run(self, events: Events) -> HandlerRun:
        return HandlerRun(self._host.sinks, events, ScriptState(self._host.state, "", b"null"))

    def _circle(self, outcome: Outcome) -> FailedEvent:
        match = outcome.match
        message = (
            f"expected matches that end somewhere, got {match.rule}, whose matches lead back to it over "
            f"{outcome.target}; let it look at another source, or leave out its own matches"
        )
        payload = _encode(CalledMatch(outcome.rule, "", {}, msgspec.Raw(_encode(match))))
        return FailedEvent(payload, 0, match.id, _encode(match.key), None, None, Fault("RuleError", message), "match")


def _outcome(sid: StreamId, result: Any) -> Outcome | None:
    return outcome_of(sid.source, result)
