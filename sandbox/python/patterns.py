"""The pattern that a script looks for: its variable ``pattern``."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from functools import wraps
from typing import TYPE_CHECKING, Any

from trimtab.errors import Fault, ScriptError

if TYPE_CHECKING:
    from trimtab.cep.pattern import Condition, Pattern, Stage

PATTERN = "pattern"

Call = Callable[[Callable[[], Any]], Any]
"""Runs user code under its limits; raises :class:`ScriptError`."""


def find_pattern(script: str, namespace: Mapping[str, Any]) -> Pattern | None:
    """Return the pattern of a script: one that was built, or the JSON of one. Anything else by that name is its own.

    Raises :class:`ScriptError` for a pattern that is refused.
    """
    value = namespace.get(PATTERN)
    if not _is_pattern(value):
        return None
    from trimtab.cep.errors import RuleError
    from trimtab.cep.reading import read_pattern
    from trimtab.cep.rule import read_rule

    try:
        return read_pattern(value, PATTERN) if isinstance(value, dict) else read_rule(value).pattern
    except RuleError as error:
        raise ScriptError(Fault("RuleError", str(error), script)) from None


def _is_pattern(value: object) -> bool:
    if isinstance(value, dict):
        return isinstance(value.get("nodes"), list)
    # Who has built one has loaded this.
    loaded = sys.modules.get("trimtab.cep.builder")
    return loaded is not None and isinstance(value, loaded.PatternBuilder | loaded.Pattern)


def under_limits(pattern: Pattern, call: Call) -> Pattern:
    """Return the pattern with its callables called by ``call``."""
    from dataclasses import replace

    from trimtab.cep.pattern import Combined, Native

    wrapped: dict[Callable[..., Any], Native] = {}

    def condition_of(condition: Condition | None) -> Condition | None:
        match condition:
            case Native(function):
                return wrapped.setdefault(function, Native(_limited(function, call)))
            case Combined(how, parts):
                return Combined(how, tuple(part for each in parts if (part := condition_of(each)) is not None))
            case _:
                return condition

    def stage_of(stage: Stage) -> Stage:
        quantifier = replace(stage.quantifier, until=condition_of(stage.quantifier.until))
        group = None if stage.group is None else tuple(map(stage_of, stage.group))
        return replace(stage, condition=condition_of(stage.condition), quantifier=quantifier, group=group)

    return replace(pattern, stages=tuple(map(stage_of, pattern.stages)))


def _limited(function: Callable[..., Any], call: Call) -> Callable[..., bool]:
    @wraps(function)
    def ask(event: Any, partial: Any) -> bool:
        return bool(call(lambda: function(event, partial)))

    return ask
