"""Random patterns: every feature of the definition, mostly in ways that Flink accepts."""

from __future__ import annotations

from dataclasses import replace
from itertools import count

from hypothesis import strategies as st

from trimtab.cep.checks import check
from trimtab.cep.errors import RuleError
from trimtab.cep.pattern import (
    Combined,
    Condition,
    Contiguity,
    Edge,
    Expr,
    FunctionCall,
    Pattern,
    Quantifier,
    Repeat,
    Skip,
    SkipStrategy,
    Stage,
    Window,
    free_name,
)

TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="@"), min_size=1, max_size=12)
SIZES = st.integers(1, 20).flatmap(lambda n: st.sampled_from([n, n * 1000, n * 60_000, n * 3_600_000, n * 86_400_000]))
CONTIGUITIES: list[Contiguity] = ["STRICT", "SKIP_TILL_NEXT", "SKIP_TILL_ANY"]
REPEATS: list[Repeat] = ["SINGLE", "LOOPING", "TIMES"]
SKIPS: list[Skip] = ["NO_SKIP", "SKIP_TO_NEXT", "SKIP_PAST_LAST_EVENT"]
SKIPS_TO: list[Skip] = ["SKIP_TO_FIRST", "SKIP_TO_LAST"]
EDGES: list[Edge] = [*CONTIGUITIES, "NOT_NEXT", "NOT_FOLLOW"]

_simple = st.one_of(
    st.builds(Expr, TEXTS, st.booleans()),
    st.builds(FunctionCall, st.sampled_from(["PYTHON", "JS"]), TEXTS),
)


def _combined(parts: st.SearchStrategy[Condition]) -> st.SearchStrategy[Condition]:
    several = st.lists(parts, min_size=1, max_size=3).map(tuple)
    return st.one_of(
        st.builds(Combined, st.sampled_from(["and", "or"]), several),
        parts.map(lambda part: Combined("not", (part,))),
    )


CONDITIONS: st.SearchStrategy[Condition] = st.recursive(_simple, _combined, max_leaves=5)


@st.composite
def _windows(draw: st.DrawFn) -> tuple[Window, ...]:
    kinds = draw(st.lists(st.sampled_from(["FIRST_AND_LAST", "PREVIOUS_AND_CURRENT"]), unique=True, max_size=2))
    return tuple(Window(draw(SIZES), kind) for kind in kinds)  # type: ignore[arg-type]


@st.composite
def _quantifiers(draw: st.DrawFn, *, may_be_greedy: bool, may_be_optional: bool) -> Quantifier:
    repeat: Repeat = draw(st.sampled_from(REPEATS))
    quantifier = Quantifier(repeat, optional=may_be_optional and draw(st.booleans()))
    if repeat == "SINGLE":
        return quantifier
    least = draw(st.integers(0 if repeat == "TIMES" and not quantifier.optional else 1, 5))
    return replace(
        quantifier,
        least=least,
        most=least if repeat == "LOOPING" else draw(st.integers(max(least, 1), 9)),
        greedy=may_be_greedy and draw(st.booleans()),
        inner=draw(st.sampled_from(CONTIGUITIES)),
        window=draw(st.none() | SIZES),
        until=draw(st.none() | CONDITIONS) if repeat == "LOOPING" else None,
    )


@st.composite
def _chains(draw: st.DrawFn, names: count[int], depth: int) -> tuple[Stage, ...]:
    stages: list[Stage] = []
    for _ in range(draw(st.integers(1, 4 if depth == 0 else 2))):
        before = stages[-1] if stages else None
        may_be_not = before is not None and not before.is_optional
        edge = draw(st.sampled_from(EDGES if may_be_not else CONTIGUITIES)) if before else "STRICT"
        name = f"{draw(TEXTS)}{next(names)}"
        windows = draw(_windows())
        if edge in ("NOT_NEXT", "NOT_FOLLOW"):
            stages.append(Stage(name, edge, draw(st.none() | CONDITIONS), windows=windows))
            continue
        is_group = depth < 2 and draw(st.integers(0, 4)) == 0
        may_be_optional = before is None or not before.quantifier.greedy
        quantifier = draw(_quantifiers(may_be_greedy=not is_group, may_be_optional=may_be_optional))
        group = draw(_chains(names, depth + 1)) if is_group else None
        condition = None if is_group else draw(st.none() | CONDITIONS)
        stages.append(Stage(name, edge, condition, quantifier, windows, group))
    return tuple(stages)


@st.composite
def patterns(draw: st.DrawFn) -> Pattern:
    """A pattern that Flink does not refuse for its form."""
    stages = draw(_chains(count(), 0))
    single = [stage.name for stage in stages if stage.group is None]
    kind = draw(st.sampled_from([*SKIPS, *SKIPS_TO] if single else SKIPS))
    named = draw(st.sampled_from(single)) if kind in SKIPS_TO else None
    pattern = Pattern(stages, SkipStrategy(kind, named), free_name(draw(TEXTS), stages))
    try:
        check(pattern)
    except RuleError as error:
        raise AssertionError(f"{pattern} was drawn, but {error}") from None
    return pattern
