"""A rule without pattern: a function of a script for the events of the keys that it is bound to, with parameters.

To the engine it is a script of its own, with state and timers under the rule's name; the code is that of the script
that it names, whichever version of that runs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from trimtab.api import ScriptInstance
from trimtab.cep.bindings import as_key, binds
from trimtab.cep.rule import Rule, Target
from trimtab.engine.batch import Events
from trimtab.engine.run import HandlerRun
from trimtab.engine.script import HandlerSpec
from trimtab.errors import Fault
from trimtab.values import read_path

TIMER = ("on_timer", "onTimer")


class BoundKeys:
    """Tells of an event whether a rule is bound to its key. Stands where a script has its ``where``."""

    def __init__(self, bindings: Sequence[str], key: str | None) -> None:
        self._is_bound = binds(bindings)
        self._read: Callable[[Any], Any] = (lambda _event: None) if key is None else read_path(key)

    def test(self, event: Any) -> bool:
        """Tell of one event."""
        return self._is_bound is None or self._is_bound(as_key(self._read(event)))


class UdfInstance(ScriptInstance):
    """``find``: returns the running instance of the script that the rule names; raises ``LookupError``."""

    libraries: frozenset[str] = frozenset()

    def __init__(self, rule: Rule, find: Callable[[], ScriptInstance]) -> None:
        self._rule, self._find = rule, find
        spec = HandlerSpec(rule.target.function, source=rule.source)
        self.handlers = [spec, HandlerSpec("on_timer", timer=True)]

    @property
    def target(self) -> Target:
        """The function that it calls."""
        return self._rule.target

    def open(self) -> None:
        """The script itself is open."""

    def settings_changed(self) -> None:
        """The script itself is told."""

    def close(self) -> None:
        """The script itself stays open."""

    def process(self, handler: int, events: Events, selection: Sequence[int], run: HandlerRun) -> None:
        """See :class:`ScriptInstance`."""
        try:
            instance = self._find()
            number = self._number(instance, timer=self.handlers[handler].timer)
        except LookupError as error:
            for index in selection:
                run.fail(index, Fault("RuleError", f"expected a function {self._rule.target}: {error}"))
            return
        instance.process(number, events.with_parameters(self._rule.parameters), selection, run)

    def _number(self, instance: ScriptInstance, *, timer: bool) -> int:
        if not timer:
            return instance.function(self._rule.target.function)
        for number, spec in enumerate(instance.handlers):
            if spec.timer:
                return number
        raise LookupError(f"{self._rule.target.name} handles no timers; it has no {' or '.join(TIMER)}")
