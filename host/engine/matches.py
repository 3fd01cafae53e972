"""Matches of patterns on their way to the functions of scripts: like events."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from trimtab.cep.bindings import of_key
from trimtab.cep.rule import Target
from trimtab.cep.runs import by_stage
from trimtab.cep.stream import Result
from trimtab.engine.batch import Batch, EventKind, Events, SourceSpec

_encode = msgspec.json.Encoder().encode


class Match(msgspec.Struct, frozen=True):
    """A match as scripts and sinks get it."""

    id: str
    """Identity: the same when it is found again."""
    rule: str
    version: str
    """The first 12 hex digits of the SHA-256 of the rule's bytes."""
    kind: Literal["match", "timeout"]
    key: Any
    timestamp: int
    """When it was found, ms; of a time-out its start and the window."""
    events: dict[str, list[Any]]


class CalledMatch(msgspec.Struct, frozen=True):
    """A match and the function that gets it: what is kept where that failed."""

    rule: str
    """The name of its artifact."""
    function: str
    parameters: dict[str, Any]
    match: msgspec.Raw


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was found, of which source's events, by which artifact, and where it goes."""

    source: str
    rule: str
    target: Target
    parameters: Mapping[str, Any]
    match: Match


def outcome_of(source: str, result: Result) -> Outcome | None:
    """Return what is to become of a match; None: it is only counted."""
    rule = result.placed.rule
    target = rule.target if result.found.kind == "match" else rule.timeouts
    return (
        None if target is None else Outcome(source, result.placed.name, target, rule.parameters, _match(source, result))
    )


def _match(source: str, result: Result) -> Match:
    placed, found = result.placed, result.found
    stages = by_stage(found.run.path)
    places = [(name, [(event.time, event.position) for event in events]) for name, events in stages.items()]
    key = of_key(result.key)
    identity = _encode((source, placed.name, found.kind, key, places))
    return Match(
        f"{placed.name}:{hashlib.blake2b(identity, digest_size=12).hexdigest()}",
        placed.rule.id,
        placed.version[:12],
        found.kind,
        key,
        found.time,
        {name: [event.whole for event in events] for name, events in stages.items()},
    )


class MatchEvents(Events):
    """Matches for functions of scripts, with the identities, keys and times of these matches."""

    kind: EventKind = "match"

    def __init__(self, batch: Batch, source: str, calls: Sequence[CalledMatch]) -> None:
        self._calls = calls
        self._found = [msgspec.json.decode(call.match, type=Match) for call in calls]
        data = b"\n".join(bytes(call.match) for call in calls)
        batch = msgspec.structs.replace(batch, source=source, data=data, count=len(calls), positions=[0] * len(calls))
        super().__init__(batch, SourceSpec(), decoded=True)
        self.keys = [match.key for match in self._found]
        self.timestamps = [match.timestamp for match in self._found]

    def id(self, index: int) -> str:
        """See :class:`Events`."""
        return self._found[index].id

    def payload(self, index: int) -> bytes:
        """See :class:`Events`."""
        return _encode(self._calls[index])

    def rule(self, index: int) -> str:
        """The name of the artifact that has found a match."""
        return self._calls[index].rule

    def parameters(self, index: int) -> Mapping[str, Any]:
        """See :class:`Events`."""
        return self._calls[index].parameters
