"""Holds the scripts of the running generation, replaces them, and hands them batches of events."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

import msgspec

from trimtab.api import ScriptEngine
from trimtab.artifacts.names import WHEEL, is_library, is_rule, nearest
from trimtab.cep.rule import Target
from trimtab.engine.batch import Batch, Events, SourceSpec
from trimtab.engine.broken import BrokenInstance
from trimtab.engine.dispatch import Dispatcher, Entering
from trimtab.engine.result import BatchResult
from trimtab.engine.rule_code import RuleCode, is_private, libraries_of, private_name
from trimtab.engine.rule_loading import RuleLoader, pattern_name, pattern_version
from trimtab.engine.rule_versions import Compiled
from trimtab.engine.rules import Rules
from trimtab.engine.script import DEFAULT_TIMEOUT, HandlerSpec, Script, ScriptHost
from trimtab.engine.state import StateRow, cleared
from trimtab.engine.steps import Active, mentions_state
from trimtab.errors import ChangeRefused, Fault, ScriptError
from trimtab.expressions import Expression, ExpressionError, compile_expression

_LONG = 3600.0
"""Seconds that nothing takes which ends by itself."""


class Plan(msgspec.Struct):
    """The way from the running generation to the next one."""

    generation: int
    upserts: dict[str, bytes]
    """Scripts and libraries that are new or changed."""
    deletes: list[str]
    reload: list[str]
    """Scripts to load: those among ``upserts``, and those that use a library that changes."""
    settings: dict[str, Any] | None = None
    """None: as they are."""
    resources: dict[str, dict[str, Any] | None] = {}
    """Options of the resources that are new or changed, by name such as ``sql.orders``; None: without it."""
    probes: list[str] = []
    """Resources to be asked for a sign of life before the change is committed."""
    keeps_state: bool = False
    """Scripts keep their state whatever they say: the change is a rollback."""


class LoadedScript(msgspec.Struct, frozen=True):
    """What a script turned out to be when it was loaded."""

    version: str
    handlers: list[HandlerSpec]
    libraries: list[str]
    stateful: bool = False
    """It may use ``state`` or ``timer``."""
    discards_state: bool = False
    """It starts with empty state in the place of another version."""
    key: str | None = None
    """Of a rule: dotted path of its own key, where it has one."""
    bound: int | None = None
    """Of a rule: how many keys and wildcards it is bound to; None: to every key."""


@dataclass(slots=True)
class _Candidate:
    """A generation that is prepared and not yet committed."""

    plan: Plan
    files: dict[str, bytes]
    loaded: dict[str, Active]
    rules: dict[str, Compiled]


class Engine:
    """One lane's worth of scripts. Not thread-safe: every call comes from one thread, the main thread.

    ``now``: ms since the epoch, for the expression function ``now()``.
    """

    def __init__(
        self,
        engines: Sequence[ScriptEngine],
        host: ScriptHost,
        sources: Mapping[str, SourceSpec],
        now: Callable[[], int],
    ) -> None:
        self.generation = 0
        self._engines = {suffix: engine for engine in engines for suffix in engine.suffixes}
        self._host = host
        self._sources = sources
        self._now = now
        self._files: dict[str, bytes] = {}
        self._active: dict[str, Active] = {}
        self._code = RuleCode(sources, self._active)
        self._loader = RuleLoader(sources, host.sinks, now, self._code.ask)
        self._rules = Rules(sources, self._loader.compile, host.timer)
        self._dispatcher = Dispatcher(host, sources, self._active, self._rules)
        self._candidate: _Candidate | None = None
        self._retired: deque[Active] = deque()

    # --- generations ---

    def check(self, plan: Plan) -> tuple[dict[str, LoadedScript], dict[str, Fault]]:
        """Load what a plan loads, run no ``open()``, keep nothing. Returns what loaded, and what did not."""
        resources = self._host.resources
        unmade = resources.prepare(plan.resources, made=False) | resources.check(plan.probes, self._host.limits)
        with self._prepared(plan):
            loaded, rules, faults = self._load_all(plan, self._next_files(plan))
        described = {name: _describe(active) for name, active in loaded.items() if not is_private(name)}
        return described | {name: _describe_rule(rule) for name, rule in rules.items()}, unmade | faults

    def prepare(self, plan: Plan) -> None:
        """Build the new instances beside the running ones and open them.

        Raises :class:`ChangeRefused` with a fault for each script that fails; then nothing has changed.
        """
        self.abort()
        files = self._next_files(plan)
        if faults := self._host.resources.prepare(plan.resources):
            self._host.resources.abort()
            raise ChangeRefused(faults)
        with self._prepared(plan):
            loaded, rules, faults = self._load_all(plan, files)
            faults |= self._code.problems(plan.deletes, loaded, rules, self._rules.versions)
            if not faults:
                faults = self._open_all(loaded)
                self._retired.extend(active for name, active in loaded.items() if faults and name not in faults)
        if faults:
            raise ChangeRefused(faults)
        self._candidate = _Candidate(plan, files, loaded, rules)

    @property
    def waits_for_flights(self) -> bool:
        """Whether no event may be in flight at the commit of the prepared generation.

        With other settings or resources it would see those of two, and what it does to state that is discarded would
        come back.
        """
        candidate = self._candidate
        if candidate is None:
            return False
        discards = any(active.instance.discards_state for active in candidate.loaded.values())
        return discards or candidate.plan.settings is not None or bool(candidate.plan.resources)

    def commit(
        self,
        versions: Mapping[str, str] = MappingProxyType({}),
        earlier: Mapping[str, Sequence[bytes | None]] = MappingProxyType({}),
    ) -> list[StateRow]:
        """Make the prepared generation the running one. The instances it replaces wait for :meth:`close_retired`.

        ``versions``: of scripts that do not run here and have left state. ``earlier``: see :meth:`Rules.catch_up`.
        Returns what is different in the state.
        """
        candidate = self._candidate
        if candidate is None:
            raise RuntimeError("commit() comes after a prepare() that succeeded")
        plan, self._candidate = candidate.plan, None
        changes = [] if plan.keeps_state else list(self._discarded(candidate.loaded, versions))
        for name in [*candidate.loaded, *plan.deletes, *self._code.private_of(candidate.rules, plan.deletes)]:
            if (old := self._active.pop(name, None)) is not None:
                self._retired.append(old)
        kept = list(self._active.values())
        for name in candidate.loaded:
            self._host.state.watch_timers(name)
            self._host.breakers.forget(name)
        self._active.update(candidate.loaded)
        with self._host.limits.running(_LONG):  # tells the host that there is life, where there are many
            changes += self._rules.catch_up(earlier, candidate.rules)
            changes += self._rules.commit(candidate.rules, self._gone_rules(candidate))
        self._files, self.generation = candidate.files, plan.generation
        self._host.resources.commit()
        self._dispatcher.forget_steps()
        if plan.settings is not None:
            self._host.settings.tree = plan.settings
            for active in kept:
                active.instance.settings_changed()
        return changes

    def _discarded(self, loaded: Mapping[str, Active], versions: Mapping[str, str]) -> Iterator[StateRow]:
        """Drop the state of scripts that want none of another version's."""
        for name, active in loaded.items():
            old = self._active[name].script.version if name in self._active else versions.get(name)
            replaces = old not in (None, active.script.version)
            if replaces and active.instance.discards_state and self._host.state.clear(name):
                yield cleared(name)

    def restore(
        self,
        plan: Plan,
        broken: Mapping[str, Fault] = MappingProxyType({}),
        entering: Callable[[str], None] = lambda _name: None,
        versions: Mapping[str, str] = MappingProxyType({}),
        clocks: Mapping[str, int] = MappingProxyType({}),
        earlier: Mapping[str, Sequence[bytes | None]] = MappingProxyType({}),
    ) -> tuple[dict[str, Fault], list[StateRow]]:
        """Prepare and commit what was committed before, in a process that starts anew.

        A script that can no longer be loaded or opened does not keep the others from running: it stands in with
        its fault, which each of its events then fails with. Returns those faults, by name, and what is different in the
        state.

        ``broken``: scripts that are not even tried, with their faults. ``entering`` is told the name of each that is.
        ``versions``, ``earlier``: see :meth:`commit`. ``clocks``: how far event time had come, by source.
        """
        files = self._next_files(plan)
        unmade = self._host.resources.prepare(plan.resources)
        loaded: dict[str, Active] = {}
        rules: dict[str, Compiled] = {}
        faults = {name: fault for name, fault in broken.items() if name in plan.reload}
        self._rules.streams.clocks.update(clocks)
        with self._prepared(plan):
            names = sorted(set(plan.reload) - faults.keys())
            for name in names:
                if is_rule(name):
                    continue
                entering(name)
                try:
                    self._load_script(name, files, loaded, rules)
                    loaded[name].instance.open()
                except ScriptError as error:
                    faults[name] = error.fault
            faults |= self._load_rules(filter(is_rule, names), files, loaded, rules)
        for name, fault in faults.items():
            if not is_rule(name):
                loaded[name] = _broken(Script.of(name, files[name]), fault, loaded.get(name))
        self._candidate = _Candidate(plan, files, loaded, rules)
        changes = self.commit(versions, earlier)
        changes += self._rules.forget_all_but({*filter(is_rule, files), *map(pattern_name, faults)})
        return faults | unmade, changes

    def abort(self) -> None:
        """Drop the prepared generation, if there is one."""
        candidate, self._candidate = self._candidate, None
        self._host.resources.abort()
        if candidate is not None:
            self._retired.extend(candidate.loaded.values())

    def close_retired(self) -> tuple[Script, Fault | None] | None:
        """Close one instance that was replaced. Returns its script and what failed, or None: none was waiting.

        One that has events in flight waits for them, as do the resources that it calls.
        """
        index = next((i for i, each in enumerate(self._retired) if not self._dispatcher.flies(each)), None)
        if index is None:
            if not self._retired:
                self._host.resources.close_retired()
            return None
        active = self._retired[index]
        del self._retired[index]
        try:
            active.instance.close()
        except ScriptError as error:
            return active.script, error.fault
        return active.script, None

    def close(self) -> list[tuple[Script, Fault | None]]:
        """Close every instance."""
        self.abort()
        self._retired.extend(self._active.values())
        self._active.clear()
        self._dispatcher.forget_steps()
        closed = list(iter(self.close_retired, None))
        self._host.resources.close()
        return closed

    # --- events ---

    def submit(self, batch: Batch, entering: Entering | None = None) -> None:
        """Hand a batch to every handler that it concerns, in path order, then fire the timers that are due.

        What comes of it is complete at once, or when the event loop of ``ScriptHost.tasks`` has run: see
        :meth:`finished`. ``entering`` is told the name of each script before it gets the events.
        """
        self._dispatcher.submit(batch, entering)

    def finished(self) -> Iterator[tuple[Batch, BatchResult]]:
        """Yield the batches whose results are complete, in the order in which they were submitted."""
        return self._dispatcher.finished()

    @property
    def flying(self) -> bool:
        """Whether any batch is not complete."""
        return self._dispatcher.flying

    @property
    def has_finished(self) -> bool:
        """Whether :meth:`finished` would yield something."""
        return self._dispatcher.has_finished

    def process(self, batch: Batch, entering: Entering | None = None) -> BatchResult:
        """Hand a batch to the handlers and wait until its result is complete. No other batch is under way."""
        self.submit(batch, entering)
        return self._only_result()

    def replay(self, batch: Batch, script: Script) -> BatchResult:
        """Hand a batch to a version of a script that is not the running one, loaded for this call alone.

        Raises :class:`ScriptError` when it cannot be loaded or opened. No other batch is under way.
        """
        active = self._load(script, self._files)
        active.instance.open()
        try:
            self._dispatcher.submit_to(active, batch)
            return self._only_result()
        finally:
            self._retired.append(active)

    def _only_result(self) -> BatchResult:
        self._host.tasks.run(lambda: not self.flying)
        ((_batch, result),) = self.finished()
        return result

    # --- loading ---

    @contextmanager
    def _prepared(self, plan: Plan) -> Iterator[None]:
        """Let scripts that are loaded and opened see the settings and the resources of their own generation."""
        with self._host.settings.prepared(plan.settings), self._host.resources.prepared():
            yield

    def _next_files(self, plan: Plan) -> dict[str, bytes]:
        files = {**self._files, **plan.upserts}
        for name in plan.deletes:
            files.pop(name, None)
        return files

    def _load_all(
        self, plan: Plan, files: dict[str, bytes]
    ) -> tuple[dict[str, Active], dict[str, Compiled], dict[str, Fault]]:
        loaded: dict[str, Active] = {}
        rules: dict[str, Compiled] = {}
        faults: dict[str, Fault] = {}
        for name in sorted(plan.reload):
            if is_rule(name):
                continue
            try:
                self._load_script(name, files, loaded, rules)
            except ScriptError as error:
                faults[name] = error.fault
        faults |= self._load_rules(filter(is_rule, plan.reload), files, loaded, rules)
        return loaded, rules, faults

    def _load_script(
        self, name: str, files: Mapping[str, bytes], loaded: dict[str, Active], rules: dict[str, Compiled]
    ) -> None:
        active = loaded[name] = self._load(Script.of(name, files[name]), files)
        if active.instance.pattern is not None:
            rules[pattern_name(name)] = self._pattern_of(active)

    def _load_rules(
        self,
        names: Iterable[str],
        files: Mapping[str, bytes],
        loaded: dict[str, Active],
        rules: dict[str, Compiled],
    ) -> dict[str, Fault]:
        """Load rules; there may be thousands. Returns the faults of those that cannot run."""
        faults: dict[str, Fault] = {}
        limits = self._host.limits
        with limits.running(DEFAULT_TIMEOUT):
            for name in names:
                limits.mark = object()
                try:
                    self._load_rule(name, files, loaded, rules)
                except ScriptError as error:
                    faults[name] = error.fault
                except BaseException as error:
                    if not limits.is_exceeded(error):
                        raise
                    faults[name] = Fault("TimeLimitExceeded", str(error), name)
        return faults

    def _load_rule(
        self, name: str, files: Mapping[str, bytes], loaded: dict[str, Active], rules: dict[str, Compiled]
    ) -> None:
        document = files[name]
        rule = self._loader.read(name, document)
        if rule.pattern is None:
            loaded[name] = self._code.udf(Script.of(name, document), rule)
            targets = [rule.target]
        else:
            rules[name] = self._loader.compile(name, document, rule)
            targets = rules[name].calls
        if rule.libs:
            libraries = libraries_of(name, rule, files)
            for script in {target.name for target in targets} & files.keys():
                own = self._load(Script.of(script, files[script]), {**files, **libraries})
                # It has no handlers of its own: the events go to the instance that all share.
                loaded[private_name(name, script)] = replace(own, filters=())

    def _load(self, script: Script, files: Mapping[str, bytes]) -> Active:
        suffix = "." + script.name.rpartition(".")[2]
        if suffix not in self._engines:
            known = ", ".join(sorted(self._engines))
            raise ScriptError(Fault("UnknownLanguage", f"expected a file ending in one of {known}", script.name))
        libraries = {name: source for name, source in files.items() if is_library(name) and not name.endswith(WHEEL)}
        instance = self._engines[suffix].load(script, libraries, self._host)
        filters = tuple(self._filter(script, spec) for spec in instance.handlers)
        stateful = mentions_state([script.source, *(libraries[name] for name in instance.libraries)])
        return Active(script, instance, filters, stateful)

    def _filter(self, script: Script, spec: HandlerSpec) -> Expression | None:
        if spec.source is not None and spec.source not in self._sources:
            hint = nearest(spec.source, self._sources)
            known = ", ".join(sorted(self._sources)) or "none is configured"
            message = f"expected a source of the configuration ({known}), got {spec.source!r}"
            message += f"; did you mean {hint!r}?" if hint else ""
            raise ScriptError(Fault("UnknownSource", message, script.name))
        if spec.where is None:
            return None
        try:
            return compile_expression(spec.where, now=self._now)
        except ExpressionError as error:
            raise ScriptError(Fault("ExpressionError", f"where = {spec.where!r}: {error}", script.name)) from error

    # --- rules ---

    def _pattern_of(self, active: Active) -> Compiled:
        """Return the pattern that a script looks for itself."""
        script, spec = active.script, next(spec for spec in active.instance.handlers if spec.match)
        target = Target("call", script.name, spec.name)
        compiled = self._loader.of_script(script.name, active.instance.pattern, target, spec.source, script.version)
        if compiled.rule.pattern is not None:
            compiled.version = pattern_version(compiled.rule.pattern, script.version)
        return compiled

    def _gone_rules(self, candidate: _Candidate) -> list[str]:
        scripts = map(pattern_name, (*candidate.loaded, *candidate.plan.deletes))
        gone = [name for name in scripts if name in self._rules.versions.running and name not in candidate.rules]
        return [*filter(is_rule, candidate.plan.deletes), *gone]

    def load_state(self, rows: Sequence[StateRow]) -> None:
        """Take rows that were stored, before the scripts and rules that they belong to are restored."""
        self._host.state.load(self._rules.versions.restore(rows))

    def hold(self, batch: Batch) -> None:
        """Take events again that wait for their event time; they were handled before, and their rules wait for them."""
        fields = self._rules.fields(batch.source, batch.rekeyed)
        events = Events(batch, self._sources[batch.source], decoded=False, fields=fields)
        for _found in self._rules.feed(events, batch.rekeyed, again=True):
            raise AssertionError("nothing is found while event time stands still")

    def _open_all(self, loaded: Mapping[str, Active]) -> dict[str, Fault]:
        """Open the instances. Returns the faults of those that cannot be opened."""
        faults: dict[str, Fault] = {}
        for name, active in loaded.items():
            try:
                active.instance.open()
            except ScriptError as error:
                faults[name] = error.fault
        return faults


def _describe_rule(compiled: Compiled) -> LoadedScript:
    rule = compiled.rule
    handler = HandlerSpec("match", source=rule.source, match=True)
    bound = len(rule.binding_keys) or None
    return LoadedScript(compiled.version, [handler], list(rule.libs), stateful=True, key=rule.key, bound=bound)


def _describe(active: Active) -> LoadedScript:
    instance = active.instance
    return LoadedScript(
        active.script.version,
        list(instance.handlers),
        sorted(instance.libraries),
        active.stateful,
        instance.discards_state,
    )


def _broken(script: Script, fault: Fault, loaded: Active | None) -> Active:
    """What fails the events that the script would get: all of them, if it could not even be loaded."""
    if loaded is None:
        return Active(script, BrokenInstance(fault), (None,))
    return Active(script, BrokenInstance(fault, loaded.instance.handlers), loaded.filters)
