"""Patterns written in Python, with the words of Flink's ``Pattern``::

from trimtab.cep import pattern

pattern.begin("first").where("temp > 40").next("second").where("temp > last('first').temp").within("20s")
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any, Literal, TypeAlias

from trimtab.cep.checks import MAX_DEPTH, check
from trimtab.cep.errors import refused
from trimtab.cep.pattern import (
    Combined,
    Condition,
    Contiguity,
    Edge,
    Expr,
    Native,
    Partial,
    Pattern,
    Quantifier,
    Repeat,
    Skip,
    SkipStrategy,
    Stage,
    Window,
    all_stages,
    free_name,
)
from trimtab.cep.reading_conditions import read_condition
from trimtab.durations import parse_duration

ConditionLike: TypeAlias = str | Callable[[Any, Partial], bool] | Mapping[str, Any]
"""A condition: an expression, a callable that gets the event and what each stage has taken, or JSON of one."""
Duration: TypeAlias = str | float
"""Seconds, or a text such as ``"20s"``."""
_LONGEST = 1000


@dataclass(frozen=True, slots=True)
class PatternBuilder:
    """A pattern in the making. Every method returns another one, and says something of the last stage or adds one.

    What cannot be said raises :class:`RuleError`, here or in :meth:`build`, which checks the whole.
    """

    _stages: tuple[Stage, ...]
    _skip: SkipStrategy = field(default_factory=SkipStrategy)

    # --- stages ---

    def next(self, stage: str | PatternBuilder, *, name: str | None = None) -> PatternBuilder:
        """Add a stage that takes the very next event. ``stage``: its name, or a group: a pattern of its own.

        ``name``: of the group.
        """
        return self._followed("STRICT", stage, name)

    def followed_by(self, stage: str | PatternBuilder, *, name: str | None = None) -> PatternBuilder:
        """Add a stage; events that do not fit may lie before its own."""
        return self._followed("SKIP_TILL_NEXT", stage, name)

    def followed_by_any(self, stage: str | PatternBuilder, *, name: str | None = None) -> PatternBuilder:
        """Add a stage; any events may lie before its own, also those that fit."""
        return self._followed("SKIP_TILL_ANY", stage, name)

    def not_next(self, stage: str) -> PatternBuilder:
        """Add a stage for an event that must not come next."""
        return self._followed("NOT_NEXT", stage, None)

    def not_followed_by(self, stage: str) -> PatternBuilder:
        """Add a stage for an event that must not come before the next stage's, or before the window ends."""
        return self._followed("NOT_FOLLOW", stage, None)

    # --- conditions ---

    def where(self, condition: ConditionLike) -> PatternBuilder:
        """Have the stage take only events for which a condition is true, beside those that it has."""
        return self._joined("and", condition)

    def or_(self, condition: ConditionLike) -> PatternBuilder:
        """Have the stage take also events for which a condition is true."""
        return self._joined("or", condition)

    def until(self, condition: ConditionLike) -> PatternBuilder:
        """End the loop at an event for which a condition is true; the stage does not take it."""
        if self._last.quantifier.until is not None:
            raise refused(self._last.name, "until once", "a second one")
        return self._quantified(until=self._condition(condition))

    # --- how often ---

    def times(self, least: int, most: int | None = None, *, within: Duration | None = None) -> PatternBuilder:
        """Have the stage take events that often, or from ``least`` to ``most`` times.

        ``within``: the most that may lie between them.
        """
        most = least if most is None else most
        return self._repeated("TIMES", self._count(least, 0), self._count(most, 1), within)

    def times_or_more(self, least: int, *, within: Duration | None = None) -> PatternBuilder:
        """Have the stage take events that often or more often."""
        least = self._count(least, 1)
        return self._repeated("LOOPING", least, least, within)

    def one_or_more(self, *, within: Duration | None = None) -> PatternBuilder:
        """Have the stage take an event or more."""
        return self._repeated("LOOPING", 1, 1, within)

    def optional(self) -> PatternBuilder:
        """Let the stage take nothing."""
        return self._quantified(optional=True)

    def greedy(self) -> PatternBuilder:
        """Have a stage that repeats take all events that it can, before the next stage does."""
        return self._quantified(greedy=True)

    def consecutive(self) -> PatternBuilder:
        """Let nothing lie between the events of a stage that repeats."""
        return self._inner("STRICT")

    def allow_combinations(self) -> PatternBuilder:
        """Let a stage that repeats leave out events that fit."""
        return self._inner("SKIP_TILL_ANY")

    # --- the whole ---

    def within(self, duration: Duration, *, previous: bool = False) -> PatternBuilder:
        """Set the most that may lie between the first and the last event of a match.

        ``previous``: in place of that, between the event before the last stage so far and its own.
        """
        kind: Literal["FIRST_AND_LAST", "PREVIOUS_AND_CURRENT"]
        kind = "PREVIOUS_AND_CURRENT" if previous else "FIRST_AND_LAST"
        return self._with_last(self._last.within(Window(self._milliseconds(duration), kind)))

    def no_skip(self) -> PatternBuilder:
        """Keep all matches. This is the default."""
        return self._skipping("NO_SKIP")

    def skip_to_next(self) -> PatternBuilder:
        """When a match is found, drop the others that begin with its first event."""
        return self._skipping("SKIP_TO_NEXT")

    def skip_past_last_event(self) -> PatternBuilder:
        """When a match is found, drop whatever began before its end."""
        return self._skipping("SKIP_PAST_LAST_EVENT")

    def skip_to_first(self, stage: str) -> PatternBuilder:
        """When a match is found, drop whatever began before the first event of a stage."""
        return self._skipping("SKIP_TO_FIRST", stage)

    def skip_to_last(self, stage: str) -> PatternBuilder:
        """When a match is found, drop whatever began before the last event of a stage."""
        return self._skipping("SKIP_TO_LAST", stage)

    def build(self) -> Pattern:
        """Return the pattern. Raises :class:`RuleError` for one that Flink refuses for its form."""
        stages = _with_names(self._stages)
        pattern = Pattern(stages, self._skip, free_name("pattern", stages))
        check(pattern)
        return pattern

    # --- how it is done ---

    @property
    def _last(self) -> Stage:
        return self._stages[-1]

    def _with_last(self, stage: Stage) -> PatternBuilder:
        return replace(self, _stages=(*self._stages[:-1], stage))

    def _followed(self, edge: Edge, stage: str | PatternBuilder, name: str | None) -> PatternBuilder:
        return replace(self, _stages=(*self._stages, _stage(edge, stage, name)))

    def _condition(self, condition: ConditionLike) -> Condition:
        path = f"{self._last.name}: condition"
        if isinstance(condition, str):
            if not 0 < len(condition) <= _LONGEST:
                raise refused(path, f"an expression of 1 to {_LONGEST:,} characters", f"{len(condition)}")
            return Expr(condition)
        if callable(condition):
            return Native(condition)
        read = read_condition(dict(condition), path) if isinstance(condition, Mapping) else None
        if read is None:
            raise refused(path, "an expression or a callable (event, partial) -> bool", type(condition).__name__)
        return read

    def _joined(self, how: Literal["and", "or"], condition: ConditionLike) -> PatternBuilder:
        stage, given = self._last, self._condition(condition)
        joined = given if stage.condition is None else Combined(how, (stage.condition, given))
        if _depth(joined) > MAX_DEPTH:
            expected = f"at most {MAX_DEPTH} conditions one after the other; && and || join more in one expression"
            raise refused(f"{stage.name}: condition", expected, "more")
        return self._with_last(replace(stage, condition=joined))

    def _quantified(self, **changes: Any) -> PatternBuilder:
        return self._with_last(replace(self._last, quantifier=replace(self._last.quantifier, **changes)))

    def _repeated(self, repeat: Repeat, least: int, most: int, within: Duration | None) -> PatternBuilder:
        quantifier: Quantifier = self._last.quantifier
        if quantifier.repeat != "SINGLE":
            raise refused(self._last.name, "one quantifier", f"another one, beside {quantifier.repeat}")
        window = None if within is None else self._milliseconds(within)
        return self._quantified(repeat=repeat, least=least, most=most, window=window)

    def _inner(self, inner: Contiguity) -> PatternBuilder:
        if self._last.quantifier.inner not in ("SKIP_TILL_NEXT", inner):
            raise refused(self._last.name, "consecutive or allow_combinations", "both")
        return self._quantified(inner=inner)

    def _count(self, number: int, least: int) -> int:
        if type(number) is not int or number < least:
            raise refused(self._last.name, f"a whole number from {least} on", repr(number))
        return number

    def _milliseconds(self, duration: Duration) -> int:
        try:
            milliseconds = round(parse_duration(duration) * 1000)
        except ValueError as error:
            expected, _, got = str(error).removeprefix("expected ").rpartition(", got ")
            raise refused(self._last.name, expected, got) from None
        if milliseconds < 1:
            raise refused(self._last.name, "at least a millisecond", repr(duration))
        return milliseconds

    def _skipping(self, kind: Skip, stage: str | None = None) -> PatternBuilder:
        return replace(self, _skip=SkipStrategy(kind, stage))


class Patterns:
    """``pattern``, as scripts import it: where patterns begin."""

    def begin(self, stage: str | PatternBuilder, *, name: str | None = None) -> PatternBuilder:
        """Begin a pattern. ``stage``: the name of its first stage, or a group; ``name``: of the group."""
        return PatternBuilder((_stage("STRICT", stage, name),))


pattern = Patterns()
begin = pattern.begin


def _stage(edge: Edge, stage: str | PatternBuilder, name: str | None) -> Stage:
    if isinstance(stage, PatternBuilder):
        return Stage("" if name is None else _checked_name(name), edge, group=stage._stages)  # noqa: SLF001 - its own kind
    if name is not None:
        raise refused(str(stage), "name= with a group only", repr(name))
    return Stage(_checked_name(stage), edge)


def _checked_name(name: Any) -> str:
    if not isinstance(name, str) or not 0 < len(name) <= _LONGEST:
        raise refused("name", f"the name of a stage, of 1 to {_LONGEST:,} characters, or a group", repr(name)[:60])
    return name


def _depth(condition: Condition) -> int:
    return 1 + max(map(_depth, condition.parts)) if isinstance(condition, Combined) else 1


def _with_names(stages: tuple[Stage, ...]) -> tuple[Stage, ...]:
    """Name the groups that have no name."""
    taken = {stage.name for stage in all_stages(stages)}
    names = (name for number in count(1) if (name := "group" if number == 1 else f"group_{number}") not in taken)
    return _named(stages, names)


def _named(stages: tuple[Stage, ...], names: Iterator[str]) -> tuple[Stage, ...]:
    return tuple(
        stage
        if stage.group is None
        else replace(stage, name=stage.name or next(names), group=_named(stage.group, names))
        for stage in stages
    )
