"""One change set on its way along the road."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from trimtab.artifacts.records import Change, Reason, Version
from trimtab.deploy.changeset import Changes, Effect
from trimtab.errors import Fault


@dataclass(slots=True)
class Attempt:
    """What is to be changed, and what that does."""

    reason: Reason
    changes: Changes
    versions: dict[str, Version]
    """Of what is changed, and of what is reloaded."""
    effect: Effect
    seconds: dict[str, float] = field(default_factory=dict)

    def records(self, faults: Mapping[str, Fault]) -> dict[str, Change]:
        """What the history keeps of it."""
        return {
            name: Change(kind, self.versions[name].seq if name in self.versions else None, faults.get(name))
            for name, kind in self.effect.kinds.items()
        }

    def without(self, names: Collection[str]) -> Attempt:
        """Return the same attempt without some of its changes: for those that stand each for themselves."""
        return self._part([name for name in self.effect.kinds if name not in names])

    def only(self, names: Collection[str]) -> Attempt:
        """Return the attempt of some of its changes alone."""
        return self._part([name for name in self.effect.kinds if name in names])

    def halves(self) -> tuple[Attempt, Attempt]:
        """Return two attempts with half of the changes each."""
        names = list(self.changes)
        first = set(names[: len(names) // 2])
        return self.only(first), self.without(first)

    def _part(self, names: list[str]) -> Attempt:
        kept = set(names)
        return Attempt(
            self.reason,
            {name: content for name, content in self.changes.items() if name in kept},
            {name: version for name, version in self.versions.items() if name in kept},
            Effect(
                {name: self.effect.kinds[name] for name in names},
                [name for name in self.effect.reload if name in kept],
            ),
            dict(self.seconds),
        )

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Measure one step."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = round(time.perf_counter() - started, 6)
