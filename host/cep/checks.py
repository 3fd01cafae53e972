"""What a pattern must keep however it was written: what Flink's ``Pattern`` and ``Quantifier`` refuse."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from trimtab.cep.errors import refused
from trimtab.cep.pattern import Combined, Condition, Pattern, Stage, all_stages

MAX_DEPTH = 16
"""Levels of groups."""
MAX_STAGES = 500
"""Stages of a pattern, groups among them."""
MAX_CONDITIONS = 500
"""Conditions of a pattern, without those that only join others."""


@dataclass(frozen=True, slots=True)
class _Rule:
    broken: bool
    expected: str
    got: str


def check(pattern: Pattern) -> None:
    """Refuse a pattern that Flink refuses for its form. Raises :class:`RuleError`."""
    _check_depth(pattern.stages, 1, pattern)
    _check_number(pattern)
    _check_names(pattern)
    for stage, before in _pairs(pattern.stages):
        for rule in (*_not_rules(stage, before), *_quantifier_rules(stage, before), *_group_rules(stage)):
            if rule.broken:
                raise refused(pattern.path(stage), rule.expected, rule.got)
    _check_skip(pattern)


def _pairs(stages: tuple[Stage, ...]) -> Iterator[tuple[Stage, Stage | None]]:
    """Yield every stage with the one before it in its chain."""
    for number, stage in enumerate(stages):
        yield stage, stages[number - 1] if number else None
        if stage.group is not None:
            yield from _pairs(stage.group)


def _not_rules(stage: Stage, before: Stage | None) -> Iterator[_Rule]:
    if not stage.is_not:
        return
    repeats = stage.quantifier.repeat != "SINGLE" or stage.quantifier.optional or stage.quantifier.greedy
    yield _Rule(stage.group is not None, "a single node behind a NOT edge", "a group")
    yield _Rule(repeats, "no quantifier but SINGLE behind a NOT edge", stage.quantifier.repeat)
    if before is not None:
        yield _Rule(before.is_optional, "a stage that is not optional before a NOT edge", f"{before.name}, optional")


def _quantifier_rules(stage: Stage, before: Stage | None) -> Iterator[_Rule]:
    quantifier = stage.quantifier
    single = quantifier.repeat == "SINGLE"
    after_greedy = before is not None and before.quantifier.greedy and quantifier.optional
    yield _Rule(after_greedy, "a stage that is not greedy before one that is OPTIONAL", "GREEDY and then OPTIONAL")
    twice = quantifier.optional and quantifier.repeat == "TIMES" and quantifier.least == 0
    yield _Rule(twice, "OPTIONAL once", "OPTIONAL and times from 0, which is optional too")
    yield _Rule(
        quantifier.until is not None and quantifier.repeat != "LOOPING",
        "untilCondition with LOOPING only",
        quantifier.repeat,
    )
    yield _Rule(quantifier.greedy and single, "GREEDY with LOOPING or TIMES", "SINGLE")
    repeats = single and quantifier.inner != "SKIP_TILL_NEXT"
    yield _Rule(repeats, "SKIP_TILL_NEXT as consumingStrategy of a node that does not repeat", quantifier.inner)
    least = 0 if quantifier.repeat == "TIMES" else 1
    yield _Rule(quantifier.least < least, f"at least {least} time(s)", str(quantifier.least))
    most = quantifier.repeat == "TIMES" and quantifier.most < max(quantifier.least, 1)
    yield _Rule(most, "at most as often as the least, and once", f"{quantifier.least} to {quantifier.most}")


def _group_rules(stage: Stage) -> Iterator[_Rule]:
    if stage.group is not None:
        yield _Rule(stage.quantifier.greedy, "GREEDY on a single node", "a group")
        yield _Rule(stage.condition is not None, "no condition on a group; put it on its nodes", "a condition")
        yield _Rule(not stage.group, "a group of at least one node", "none")


def _check_depth(stages: tuple[Stage, ...], depth: int, pattern: Pattern) -> None:
    if depth > MAX_DEPTH:
        raise refused(pattern.path(pattern.name), f"at most {MAX_DEPTH} levels of groups", "more")
    for stage in stages:
        if stage.group is not None:
            _check_depth(stage.group, depth + 1, pattern)


def _check_number(pattern: Pattern) -> None:
    number = sum(1 for _stage in all_stages(pattern.stages))
    if number > MAX_STAGES:
        raise refused(pattern.path(pattern.name), f"at most {MAX_STAGES} stages", str(number))
    conditions = sum(
        _count(each) for stage in all_stages(pattern.stages) for each in (stage.condition, stage.quantifier.until)
    )
    if conditions > MAX_CONDITIONS:
        expected = f"at most {MAX_CONDITIONS} conditions; && and || join more in one expression"
        raise refused(pattern.path(pattern.name), expected, str(conditions))


def _count(condition: Condition | None) -> int:
    if isinstance(condition, Combined):
        return sum(map(_count, condition.parts))
    return condition is not None


def _check_names(pattern: Pattern) -> None:
    seen: set[str] = set()
    for stage in all_stages(pattern.stages):
        if stage.name in seen or stage.name == "$endState$":
            raise refused(pattern.path(stage), "a name that no other node has", repr(stage.name))
        seen.add(stage.name)


def _check_skip(pattern: Pattern) -> None:
    if pattern.skip.kind not in ("SKIP_TO_FIRST", "SKIP_TO_LAST"):
        return
    names = [stage.name for stage in pattern.stages if stage.group is None]
    if pattern.skip.stage not in names:
        expected = f"a node of the outermost graph that is no group ({', '.join(names)[:500]})"
        raise refused(f"{pattern.path(pattern.skip)}.patternName", expected, repr(pattern.skip.stage))
