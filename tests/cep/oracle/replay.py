"""Runs a case through the host, and says where the host and Flink disagree."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import count
from typing import Any

from trimtab.cep import Match, Matcher, RuleError
from trimtab.cep.matcher import as_match
from trimtab.cep.stream import Incoming
from trimtab.values import Fields, Lines

Json = dict[str, Any]


def replay(case: Json, *, lines: bool = False) -> Json:
    """The host's answer to a case, in the form of the recorded ones; ``{"failed": error}`` if it broke.

    ``lines``: events are text, as in a lane, where the rule lets them be.
    """
    try:
        return _replay(case, lines=lines)
    except Exception as error:  # noqa: BLE001 - what breaks is to be shown with its case
        return {"failed": repr(error)}


def _replay(case: Json, *, lines: bool) -> Json:
    try:
        matcher = Matcher(with_callables(case["rule"]), timestamp="ts", key=None, time=case["time"])
    except RuleError as refusal:
        return {"refused": str(refusal)}
    fields = matcher.stream.fields if lines and all(type(event.get("ts")) is int for event in case["events"]) else None
    feed = matcher.feed if fields is None else _ByLine(matcher, fields).feed
    clock = _clock(case)
    found: list[Json] = []
    late: list[int] = []
    step = 0
    for position, event in enumerate(case["events"]):
        late_before = matcher.late
        found += _written(feed(dict(event)), step)
        if matcher.late > late_before:
            late.append(position)
        step += 1
        for to in clock.get(position, ()):
            found += _written(matcher.advance(to), step)
            step += 1
    return {"matches": found, "late": late}


class _ByLine:
    """Feeds the stream of a matcher with events as a lane does where only rules look at them."""

    def __init__(self, matcher: Matcher, wanted: frozenset[str]) -> None:
        self._matcher, self._fields, self._position = matcher, Fields(None, "ts", wanted), count()

    def feed(self, event: Json) -> list[Match]:
        lines, late = [json.dumps(event).encode() + b"\n"], list[Incoming]()
        values = Lines(lines, self._fields.read(lines[0])[0], self._fields)
        results = self._matcher.stream.feed_batch([event["ts"]], [None], values, [next(self._position)], late)
        self._matcher.late += len(late)
        return list(map(as_match, results))


def _clock(case: Json) -> dict[int, list[int]]:
    """The times that the clock is moved to, by the position of the event behind which it is."""
    clock: dict[int, list[int]] = {}
    for position, to in case["watermarks"]:
        clock.setdefault(position, []).append(to)
    return clock


def _written(matches: Iterable[Match], step: int) -> list[Json]:
    return [
        {
            "kind": match.kind,
            "positions": {name: list(positions) for name, positions in match.positions.items()},
            "timestamp": match.timestamp,
            "step": step,
        }
        for match in matches
    ]


def disagreement(case: Json, got: Json) -> str | None:
    """What is wrong with the host's answer, or None.

    Where Flink's own answer is an accident (``exception``), the recorded one is what the host promises, so that nothing
    less is asked there. What makes Flink crash must be refused; what would with other events may be.
    """
    expected = case["answer"]
    if "failed" in got:
        return "must not fail"
    if "matches" not in expected:
        return None if "refused" in got else "must be refused"
    if "refused" in got:
        return None if case["exception"] == "crash" else "must not be refused"
    return None if expected == got else "other matches"


def report(case: Json, got: Json, problem: str) -> str:
    """A disagreement, to be read by people and to be fed again: the case is one line of JSON."""
    lines = [f"{case['id']}: {problem}", json.dumps(case["rule"], indent=1), f"time: {case['time']}"]
    marks = _clock(case)
    step = 0
    for position, event in enumerate(case["events"]):
        lines.append(f"  step {step}: event {position} {json.dumps(event)}")
        step += 1
        for to in marks.get(position, ()):
            lines.append(f"  step {step}: clock {to}")
            step += 1
    lines += ["expected:", *_listed(case["answer"]), "got:", *_listed(got), "case: " + json.dumps(case)]
    return "\n".join(lines)


def _listed(answer: Json) -> list[str]:
    if "matches" not in answer:
        return [f"  {answer}"]
    return [f"  late: {answer['late']}", *(f"  {json.dumps(each)}" for each in answer["matches"])]


def with_callables(rule: Any) -> Any:
    """The rule with a function in the place of each condition that stands for user code."""
    if isinstance(rule, list):
        return [with_callables(each) for each in rule]
    if not isinstance(rule, dict):
        return rule
    if rule.get("type") == "PARTIAL":
        return _partial(rule)
    return {key: with_callables(value) for key, value in rule.items()}


def _partial(condition: Json) -> Callable[[Mapping[str, Any], Mapping[str, Sequence[Mapping[str, Any]]]], bool]:
    field, name, value = condition["field"], condition["pattern"], condition["value"]

    def holds(event: Mapping[str, Any], partial: Mapping[str, Sequence[Mapping[str, Any]]]) -> bool:
        if not comparisons_hold(condition.get("expression"), event):
            return False
        taken = [each.get(field, 0) for each in partial[name]]
        current = event.get(field, 0)
        if condition["op"] == "last_lt":
            return not taken or bool(current > taken[-1])
        if condition["op"] == "count_lt":
            return bool(len(taken) < value)
        return bool(sum(taken) + current < value)

    return holds


def comparisons_hold(expression: str | None, event: Mapping[str, Any]) -> bool:
    """The oracle's own reading of an expression, so that user code in cases does not lean on the host's."""
    if expression is None:
        return True
    alternatives = [[_parts(each) for each in part.split("&&")] for part in expression.split("||")]
    if any(field not in event for alternative in alternatives for field, _, _ in alternative):
        return False
    return any(
        all(_OPERATORS[operator](event[field], value) for field, operator, value in alternative)
        for alternative in alternatives
    )


def _parts(comparison: str) -> tuple[str, str, Any]:
    field, operator, value = comparison.split()
    return field, operator, value.strip("'") if value.startswith("'") else float(value)


_OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "==": lambda left, right: bool(left == right),
    "!=": lambda left, right: bool(left != right),
    "<": lambda left, right: bool(left < right),
    "<=": lambda left, right: bool(left <= right),
    ">": lambda left, right: bool(left > right),
    ">=": lambda left, right: bool(left >= right),
}
