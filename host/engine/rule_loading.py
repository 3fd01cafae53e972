"""Reads and compiles the documents of rules for a lane, and says what is wrong with them in the lane's words."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import msgspec

from trimtab.artifacts.names import RULE, nearest
from trimtab.cep.conditions import Conditions, Test
from trimtab.cep.errors import RuleError, refused
from trimtab.cep.machine import Machine
from trimtab.cep.pattern import Condition, FunctionCall, Partial, Pattern
from trimtab.cep.rule import Rule, Target, read_rule, read_target
from trimtab.cep.writing import write_pattern
from trimtab.engine.batch import SourceSpec
from trimtab.engine.rule_versions import Compiled
from trimtab.errors import Fault, ScriptError

T = TypeVar("T")
AskScript = Callable[[str, str, str, Any, Partial], bool]
"""Asks a function of a script about an event and a partial match: rule, script, function, event, partial."""


class RuleLoader:
    """Loads rules. ``now``: ms since the epoch, for ``now()`` in conditions. ``ask``: for conditions of scripts."""

    def __init__(
        self, sources: Mapping[str, SourceSpec], sinks: frozenset[str], now: Callable[[], int], ask: AskScript
    ) -> None:
        self._sources, self._sinks, self._ask = sources, sinks, ask
        self._conditions = Conditions(now)

    def read(self, name: str, document: bytes) -> Rule:
        """Return the rule of a document. Raises :class:`ScriptError` where it cannot run here."""
        return self._told(name, lambda: self._checked(read_rule(document, name.removesuffix(RULE))))

    def compile(self, name: str, document: bytes, rule: Rule | None = None) -> Compiled:
        """Return the compiled rule of a document that has a pattern. Raises :class:`ScriptError`.

        ``rule``: what :meth:`read` has made of it, where that was done.
        """
        rule = rule or self.read(name, document)
        version = hashlib.sha256(document).hexdigest()
        return self._told(name, lambda: self.compiled(name, rule, version, document))

    def of_script(self, script: str, pattern: Any, target: Target, source: str | None, version: str) -> Compiled:
        """Return the compiled pattern of a script. Raises :class:`ScriptError`."""
        rule = self._told(script, lambda: read_rule(pattern, script))

        def build() -> Compiled:
            assert rule.pattern is not None  # noqa: S101 - only documents have none
            own = Rule(script, rule.pattern, target, source=source)
            return self.compiled(pattern_name(script), self._checked(own), version, b"")

        return self._told(script, build)

    def compiled(self, name: str, rule: Rule, version: str, document: bytes) -> Compiled:
        """Compile a rule. Raises :class:`RuleError`."""
        if rule.pattern is None:
            raise refused("$.pattern", "a pattern", "none")
        machine = Machine(rule.pattern, lambda condition: self._make_ready(name, condition, rule), rule.partial_matches)
        return Compiled(name, rule, version, document, machine)

    def _make_ready(self, name: str, condition: Condition, rule: Rule) -> Any:
        path = "$.pattern" if rule.pattern is None else rule.pattern.path(condition)
        return self._conditions.ask(condition, rule.parameters, lambda call: self._function(name, call), path)

    def _function(self, name: str, call: FunctionCall) -> Test:
        target = function_target(call.function)
        if target is None:
            raise LookupError(f"{call.function!r}, which does not read NAME.py:FUNCTION or NAME.js#FUNCTION")
        ask, script, function = self._ask, target.name, target.function
        return lambda event, partial: ask(name, script, function, event, partial)

    def _told(self, name: str, work: Callable[[], T]) -> T:
        try:
            return work()
        except RuleError as error:
            raise ScriptError(Fault("RuleError", str(error), name)) from error

    # --- what a rule names ---

    def _checked(self, rule: Rule) -> Rule:
        if rule.source is not None and rule.source not in self._sources:
            raise _unknown("$.source", "a source of the configuration", rule.source, self._sources)
        if rule.key is not None and rule.source is not None and self._sources[rule.source].internal:
            raise refused("$.key", "no key of its own: events of an internal source have that of their match", rule.key)
        timed = [name for name, spec in self._sources.items() if spec.timestamp is not None]
        if rule.time == "event" and (rule.source not in timed if rule.source else len(timed) < len(self._sources)):
            raise refused("$.time", "a source with a timestamp for time = event", rule.source or "sources without one")
        for field, target in (("function", rule.target), ("timeouts", rule.timeouts)):
            if target is not None and target.kind == "emit":
                self._check_emit(f"$.{field}", target.name)
        if rule.late is not None and rule.late.name not in self._sinks:
            raise _unknown("$.late", "emit: and a sink", rule.late.name, dict.fromkeys(self._sinks))
        return rule

    def _check_emit(self, path: str, name: str) -> None:
        internal = [source for source, spec in self._sources.items() if spec.internal]
        known = {*self._sinks, *internal}
        if name not in known:
            raise _unknown(path, "emit: and a sink, or a source of type internal", name, dict.fromkeys(known))


def pattern_name(script: str) -> str:
    """Return the name of the rule that a script's pattern is."""
    return f"{script}#pattern"


def function_target(text: str) -> Target | None:
    """Return what ``NAME.py:FUNCTION`` or ``NAME.js#FUNCTION`` names; None for another text."""
    try:
        target = read_target(text, "function")
    except RuleError:
        return None
    return target if target.kind == "call" else None


def pattern_version(pattern: Pattern, script_version: str) -> str:
    """Return the version of a script's pattern: of the pattern alone where it can be written, else the script's."""
    try:
        return hashlib.sha256(msgspec.json.encode(write_pattern(pattern))).hexdigest()
    except RuleError:
        return script_version


def _unknown(path: str, expected: str, name: str, known: Mapping[str, Any]) -> RuleError:
    near = nearest(name, known)
    hint = f"; did you mean {near!r}?" if near else ""
    return refused(path, f"{expected} ({', '.join(sorted(known)) or 'there is none'})", f"{name!r}{hint}")
