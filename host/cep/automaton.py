"""The automaton of a pattern: states and the transitions between them, as data. See :mod:`trimtab.cep.compiler`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from trimtab.cep.formulas import Formula

Action: TypeAlias = Literal["take", "ignore", "proceed"]
"""Take the event into the partial match; go on without it; go on to another state and ask that one."""
Kind: TypeAlias = Literal["normal", "final", "stop", "pending"]
"""``final``: the match is complete. ``stop``: the run is dead. ``pending``: complete when the window runs out."""


@dataclass(eq=False, slots=True)
class Transition:
    """One way out of a state."""

    action: Action
    source: State
    target: State
    condition: Formula


@dataclass(eq=False, slots=True)
class State:
    """One state. ``stage``: whose events it takes.

    ``number``: how many states of that stage were made before it; what makes its windows count depends on that.
    ``window``: how long it waits after the event that was taken last, in ms.
    """

    stage: str
    number: int
    kind: Kind = "normal"
    window: int | None = None
    transitions: list[Transition] = field(default_factory=list)

    def add(self, action: Action, target: State, condition: Formula) -> None:
        """Add a way out, behind the others."""
        self.transitions.append(Transition(action, self, target, condition))

    @property
    def proceeds(self) -> Iterator[Transition]:
        """The transitions to states that are asked in its place."""
        return (each for each in self.transitions if each.action == "proceed")

    def __repr__(self) -> str:
        return f"{self.stage}#{self.number}"


@dataclass(frozen=True, slots=True)
class Automaton:
    """A compiled pattern. ``window``: the most that may lie between first and last event, ms; None: no such window."""

    states: tuple[State, ...]
    start: State
    window: int | None

    @property
    def waits_between(self) -> bool:
        """Whether some state has a window of its own, from one event to the next."""
        return any(state.window is not None for state in self.states)
