"""A rule where it runs: its compiled pattern, which keys it is for, and what is counted of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from trimtab.cep.bindings import Key, binds, exact_keys
from trimtab.cep.conditions import Conditions, Functions
from trimtab.cep.errors import refused
from trimtab.cep.formulas import NEVER
from trimtab.cep.index import Need, needs
from trimtab.cep.machine import Machine
from trimtab.cep.rule import Rule


@dataclass(eq=False, slots=True)
class Placed:
    """A rule that runs. ``name`` and ``version``: of its artifact."""

    name: str
    version: str
    rule: Rule
    machine: Machine
    order: int = 0
    open: int = 0
    """For how many keys it has partial matches."""
    partial_matches: int = 0
    """How many it has for all of them."""
    matches: int = 0
    timeouts: int = 0
    late: int = 0
    overflows: int = 0
    samples: list[int] = field(default_factory=list)
    """Nanoseconds that some events took, since the runner has looked last."""
    told: tuple[int, ...] = ()
    """What the runner has told of these counts last."""
    keys: list[Key] | None = field(init=False)
    """The keys that it is bound to, where these are given exactly."""
    is_bound: Callable[[Key], bool] | None = field(init=False)
    """Whether it is bound to a key, where wildcards tell; None: it is bound to all that it is asked about."""
    needs: tuple[Need, ...] | None = field(init=False)

    def __post_init__(self) -> None:
        self.keys = exact_keys(self.rule.binding_keys)
        self.is_bound = None if self.keys is not None else binds(self.rule.binding_keys)
        beginning = self.machine.beginning
        self.needs = () if beginning == NEVER else needs(beginning, self.machine.asked)

    @property
    def fields(self) -> frozenset[str] | None:
        """The fields of events that its conditions look at; None: whole events."""
        several = [asked.fields for asked in self.machine.asked.values()]
        return None if None in several else frozenset(name for names in several for name in names or ())

    @property
    def condition_errors(self) -> int:
        """How often its conditions could not work with an event."""
        return sum(asked.errors for asked in self.machine.asked.values())

    @property
    def last_condition_error(self) -> str | None:
        """Why they could not work with one of the last."""
        return next((asked.last_error for asked in self.machine.asked.values() if asked.last_error), None)


def place(
    rule: Rule, conditions: Conditions, functions: Functions | None = None, *, name: str = "", version: str = ""
) -> Placed:
    """Compile a rule. Raises :class:`RuleError`."""
    if rule.pattern is None:
        raise refused("$.rule_type", "cep", "udf, which has no pattern")
    pattern = rule.pattern
    machine = Machine(
        pattern,
        lambda condition: conditions.ask(condition, rule.parameters, functions, pattern.path(condition)),
        rule.partial_matches,
    )
    return Placed(name or rule.id, version, rule, machine)
