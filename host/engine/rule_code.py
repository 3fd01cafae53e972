"""The code that rules name: functions of scripts, checked when a rule comes and when a script changes or goes.

A rule with ``libs`` has instances of these scripts for itself, which alone see its libraries.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from trimtab.api import ScriptInstance
from trimtab.artifacts.names import WHEEL, is_library, is_rule, nearest
from trimtab.cep.pattern import Partial
from trimtab.cep.rule import Rule, Target
from trimtab.engine.batch import SourceSpec
from trimtab.engine.rule_versions import Compiled, RuleVersions
from trimtab.engine.script import Script
from trimtab.engine.steps import Active
from trimtab.engine.udf import BoundKeys, UdfInstance
from trimtab.engine.wheels import modules_of
from trimtab.errors import Fault, ScriptError

_PRIVATE = "#"


def private_name(rule: str, script: str) -> str:
    """Return the name under which a rule has an instance of a script for itself."""
    return f"{rule}{_PRIVATE}{script}"


def is_private(name: str) -> bool:
    """Whether a name is that of an instance which one rule has for itself."""
    return is_rule(name.partition(_PRIVATE)[0]) and _PRIVATE in name


def instance_for(rule: str, script: str, active: Mapping[str, Active]) -> Active:
    """Return the instance of a script that a rule calls. Raises ``LookupError`` where there is none."""
    found = active.get(private_name(rule, script)) or active.get(script)
    if found is None:
        raise LookupError(f"no script {script} runs")
    return found


def libraries_of(name: str, rule: Rule, files: Mapping[str, bytes]) -> dict[str, bytes]:
    """Return what only the code of a rule can import. Raises :class:`ScriptError` for libraries that are not there."""
    modules: dict[str, bytes] = {}
    for lib in rule.libs:
        if lib not in files or not is_library(lib):
            near = nearest(lib, filter(is_library, files))
            hint = f"; did you mean {near!r}?" if near else ""
            message = f"$.libs: expected a library or a wheel (.whl) in the scripts folder, got {lib!r}{hint}"
            raise ScriptError(Fault("RuleError", message, name))
        if lib.endswith(WHEEL):
            modules |= modules_of(lib, files[lib])
    return modules


class RuleCode:
    """The functions that rules call. ``active``: the running scripts, by name; they change outside."""

    def __init__(self, sources: Mapping[str, SourceSpec], active: Mapping[str, Active]) -> None:
        self._sources, self._active = sources, active

    def ask(self, rule: str, script: str, function: str, event: Any, partial: Partial) -> bool:
        """Ask a function of a script that is a condition of a rule. Raises what that raises, and ``LookupError``."""
        return instance_for(rule, script, self._active).instance.ask(function, event, partial)

    def udf(self, script: Script, rule: Rule) -> Active:
        """Return what stands for a rule without pattern; ``script``: the rule itself."""

        def find() -> ScriptInstance:
            return instance_for(script.name, rule.target.name, self._active).instance

        sources = self._sources if rule.source is None else [rule.source]
        key = next((spec.key for name, spec in self._sources.items() if name in sources), None)
        return Active(script, UdfInstance(rule, find), (BoundKeys(rule.binding_keys, key), None), stateful=True)

    def private_of(self, changed: Collection[str], deleted: Collection[str]) -> list[str]:
        """Return the instances that rules have for themselves, of those that change or go."""
        rules = {*changed, *filter(is_rule, deleted)}
        if not rules:
            return []
        return [name for name in self._active if is_private(name) and name.partition(_PRIVATE)[0] in rules]

    def problems(
        self,
        deletes: Collection[str],
        loaded: Mapping[str, Active],
        rules: Mapping[str, Compiled],
        running: RuleVersions,
    ) -> dict[str, Fault]:
        """Find what rules call and is not there: with a rule that is new, or a script that changes or goes."""
        faults: dict[str, Fault] = {}
        for name, active in loaded.items():
            if (called := _called_by(active)) and (missing := self._missing(name, called, deletes, loaded)) is not None:
                faults[name] = Fault("RuleError", missing, name)
        for name, compiled in rules.items():
            missing = self._missing(name, compiled.calls, deletes, loaded)
            problem = missing or running.problem(name, compiled)
            if problem is not None:
                faults[name] = Fault("RuleError", problem, name)
        for script in {name for name in (*loaded, *deletes) if not is_rule(name) and not is_private(name)}:
            for name, targets in self._callers(script, running):
                if name in rules or name in loaded or name in deletes or name.startswith(f"{script}#"):
                    continue
                if (missing := self._missing(name, targets, deletes, loaded)) is not None:
                    faults[script] = Fault("RuleError", f"the rule {name} calls it: {missing}", script)
        return faults

    def _callers(self, script: str, running: RuleVersions) -> Iterator[tuple[str, Sequence[Target]]]:
        """Yield the running rules that call functions of a script, and all that they call."""
        for compiled in running.callers(script):
            yield compiled.name, compiled.calls
        for name, active in self._active.items():
            called = _called_by(active)
            if any(target.name == script for target in called):
                yield name, called

    def _missing(
        self, rule: str, targets: Sequence[Target], deletes: Collection[str], loaded: Mapping[str, Active]
    ) -> str | None:
        for target in targets:
            own = private_name(rule, target.name)
            active = loaded.get(own) or loaded.get(target.name) or self._active.get(target.name)
            if active is None or target.name in deletes:
                return f"expected a function {target}, got no script {target.name}; add it first"
            try:
                active.instance.function(target.function)
            except LookupError as error:
                return f"expected a function {target}: {error}"
        return None


def _called_by(active: Active) -> Sequence[Target]:
    return [active.instance.target] if isinstance(active.instance, UdfInstance) else []
