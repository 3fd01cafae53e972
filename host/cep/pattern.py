"""What a pattern is: an immutable definition, as users write it, in Flink CEP's terms.

A pattern is a chain of stages. A stage takes single events (:attr:`Stage.group` is None), or is a group: a chain of its
own with its own quantifier.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any, Literal, TypeAlias

Contiguity: TypeAlias = Literal["STRICT", "SKIP_TILL_NEXT", "SKIP_TILL_ANY"]
"""Whether other events may lie between two that are taken: none; those that do not fit; any."""
Edge: TypeAlias = Literal["STRICT", "SKIP_TILL_NEXT", "SKIP_TILL_ANY", "NOT_NEXT", "NOT_FOLLOW"]
"""How a stage follows the one before: next, followedBy, followedByAny, notNext, notFollowedBy."""
WindowType: TypeAlias = Literal["FIRST_AND_LAST", "PREVIOUS_AND_CURRENT"]
Repeat: TypeAlias = Literal["SINGLE", "LOOPING", "TIMES"]
Skip: TypeAlias = Literal["NO_SKIP", "SKIP_TO_NEXT", "SKIP_PAST_LAST_EVENT", "SKIP_TO_FIRST", "SKIP_TO_LAST"]

Partial: TypeAlias = Mapping[str, list[Any]]
"""A partial match as conditions see it: the events that each stage has taken so far; [] for one that has none."""


@dataclass(frozen=True, slots=True)
class Expr:
    """A condition in the expression language. ``source``: its text. ``groovy``: it was written as GROOVY."""

    source: str
    groovy: bool = False


@dataclass(frozen=True, slots=True)
class FunctionCall:
    """A condition that a script's function decides: ``NAME.py:fn`` or ``NAME.js#fn``, called with event and partial."""

    language: Literal["PYTHON", "JS"]
    function: str


@dataclass(frozen=True, slots=True)
class Native:
    """A condition that a Python callable decides: what the builder takes. It cannot be written as JSON."""

    function: Callable[[Any, Partial], bool]


@dataclass(frozen=True, slots=True)
class Combined:
    """Conditions that are joined; ``not`` has one."""

    how: Literal["and", "or", "not"]
    parts: tuple[Condition, ...]


Condition: TypeAlias = Expr | FunctionCall | Native | Combined


@dataclass(frozen=True, slots=True)
class Window:
    """How long a match may take, in ms: from its first event, or from one event to the next. Exclusive."""

    size: int
    type: WindowType = "FIRST_AND_LAST"


@dataclass(frozen=True, slots=True)
class Quantifier:
    """How often a stage takes events.

    ``inner``: contiguity between the repeats. ``window``: the most that may lie between them, ms. ``least`` counts for
    LOOPING, both for TIMES.
    """

    repeat: Repeat = "SINGLE"
    least: int = 1
    most: int = 1
    optional: bool = False
    greedy: bool = False
    inner: Contiguity = "SKIP_TILL_NEXT"
    window: int | None = None
    until: Condition | None = None


@dataclass(frozen=True, slots=True)
class Stage:
    """One step of a pattern. ``edge``: how it follows the one before; of a first stage it means nothing.

    ``windows``: those that are set on this stage, at most one of each type.
    """

    name: str
    edge: Edge = "STRICT"
    condition: Condition | None = None
    quantifier: Quantifier = Quantifier()
    windows: tuple[Window, ...] = ()
    group: tuple[Stage, ...] | None = None

    @property
    def is_not(self) -> bool:
        """Whether it is about events that must not come."""
        return self.edge in ("NOT_NEXT", "NOT_FOLLOW")

    @property
    def is_optional(self) -> bool:
        """Whether it may take nothing: also ``times(0, n)`` may."""
        return self.quantifier.optional or (self.quantifier.repeat == "TIMES" and self.quantifier.least == 0)

    def window(self, kind: WindowType) -> int | None:
        """Return the window of a type that is set on this stage, in ms."""
        return next((window.size for window in self.windows if window.type == kind), None)

    def within(self, window: Window) -> Stage:
        """Return the stage with a window set on it, in the place of one of the same type."""
        others = tuple(each for each in self.windows if each.type != window.type)
        return replace(self, windows=(*others, window))


@dataclass(frozen=True, slots=True)
class SkipStrategy:
    """Which other matches are dropped when a match is found. ``stage``: of SKIP_TO_FIRST and SKIP_TO_LAST."""

    kind: Skip = "NO_SKIP"
    stage: str | None = None


@dataclass(frozen=True, slots=True)
class Pattern:
    """A whole pattern. ``name``: of its graph, in JSON."""

    stages: tuple[Stage, ...]
    skip: SkipStrategy = SkipStrategy()
    name: str = "pattern"
    paths: Mapping[str | Condition | SkipStrategy, str] = field(default_factory=dict, compare=False, repr=False)
    """Where it stands in the JSON that it was read from: the whole and its stages by name, the rest by itself."""

    def path(self, part: str | Stage | Condition | SkipStrategy) -> str:
        """Return where a part stands, or the stage of a name, for messages."""
        if isinstance(part, Stage):
            part = part.name
        return self.paths.get(part, part if isinstance(part, str) else self.paths.get(self.name, self.name))


def all_stages(stages: tuple[Stage, ...]) -> Iterator[Stage]:
    """Yield the stages of a chain and of the groups in it, outer ones first."""
    for stage in stages:
        yield stage
        if stage.group is not None:
            yield from all_stages(stage.group)


def free_name(wanted: str, stages: tuple[Stage, ...]) -> str:
    """Return a name that no stage has: the wanted one, or that with a number behind it."""
    taken = {stage.name for stage in all_stages(stages)}
    names = (wanted if number == 1 else f"{wanted}_{number}" for number in count(1))
    return next(name for name in names if name not in taken)
