"""Which versions of rules run in a lane, and what becomes of their partial matches when they change.

What a version holds is stored in rows under its rule's name, the stream and the version. Documents of versions that are
not the running one, but still needed, are in rows that every lane has.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NamedTuple

import msgspec

from trimtab.cep.bindings import Key, as_key, of_key
from trimtab.cep.machine import Machine
from trimtab.cep.pattern import FunctionCall, Pattern, Stage
from trimtab.cep.placed import Placed
from trimtab.cep.rule import Rule, Target, read_target
from trimtab.cep.runs import Partials
from trimtab.cep.snapshot import StoredPartials, load, store
from trimtab.engine.rule_streams import StreamId, Streams
from trimtab.engine.state import StateRow, cleared
from trimtab.errors import ScriptError

EVERYWHERE = "\0rules"
"""``script`` of rows that every lane has."""
PARTIAL = "\0partial:"
"""How the names of rows begin that hold partial matches."""
_PREVIOUS = "previous"
_DRAINING = "draining:"

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode
_decode_partials = msgspec.json.Decoder(StoredPartials).decode


@dataclass(slots=True)
class Compiled:
    """A version of a rule that was read and compiled."""

    name: str
    rule: Rule
    version: str
    document: bytes
    machine: Machine
    _errors: int = field(init=False)

    def __post_init__(self) -> None:
        self._errors = self._count_errors()  # conditions are shared with other rules, and may have failed before

    def make(self) -> Placed:
        """Make what looks at one stream."""
        return Placed(self.name, self.version, self.rule, self.machine)

    def new_errors(self) -> int:
        """Return how often its conditions could not work with an event since the last time."""
        before, self._errors = self._errors, self._count_errors()
        return self._errors - before

    @property
    def last_error(self) -> str | None:
        """Why they could not, one of the last times."""
        return next((asked.last_error for asked in self.machine.asked.values() if asked.last_error), None)

    @property
    def calls(self) -> list[Target]:
        """The functions of scripts that it needs."""
        targets = [target for target in (self.rule.target, self.rule.timeouts) if target is not None]
        conditions = [read_target(each.function, "") for each in self.machine.asked if isinstance(each, FunctionCall)]
        return [target for target in (*targets, *conditions) if target.kind == "call"]

    def _count_errors(self) -> int:
        return sum(asked.errors for asked in self.machine.asked.values())


@dataclass(slots=True)
class Running:
    """A rule that runs. ``draining``: older versions that finish what they have begun."""

    compiled: Compiled
    placed: dict[StreamId, Placed] = field(default_factory=dict)
    draining: dict[StreamId, list[Placed]] = field(default_factory=dict)

    def versions(self, sid: StreamId) -> list[Placed]:
        """Return every version that looks at a stream."""
        current = self.placed.get(sid)
        return [*([] if current is None else [current]), *self.draining.get(sid, ())]


class _Switch(NamedTuple):
    """A change of a rule that waits in one stream for its time, in ms."""

    at: int
    name: str
    compiled: Compiled


class RuleVersions:
    """The versions of all rules of a lane, by the names of their artifacts.

    ``compile_rule``: reads and compiles a document that ran before, of a rule with this name.
    """

    def __init__(self, streams: Streams, compile_rule: Callable[[str, bytes], Compiled]) -> None:
        self.running: dict[str, Running] = {}
        self._streams = streams
        self._compile = compile_rule
        self._switches: dict[StreamId, list[_Switch]] = {}
        self._late: dict[StreamId, dict[str, Placed]] = {}
        """Rules that want to know of events that come too late."""
        self._callers: dict[str, dict[str, None]] = {}
        """Rules by the scripts whose functions they call."""
        self._stored: dict[str, list[StateRow]] = {}
        """Rows of rules that do not run yet."""
        self._documents: dict[str, dict[str, bytes]] = {}
        """By rule and name of the row."""

    @property
    def empty(self) -> bool:
        """Whether no rule runs, and none is to."""
        return not self.running and not self._switches

    # --- what is stored ---

    def restore(self, rows: Iterable[StateRow]) -> list[StateRow]:
        """Take rows of rules, for when they run; return the others."""
        others: list[StateRow] = []
        for row in rows:
            if row.script == EVERYWHERE:
                self._restore_document(row)
            elif row.name.startswith(PARTIAL):
                self._stored.setdefault(row.script, []).append(row)
            else:
                if not row.name:
                    self._stored.pop(row.script, None)
                others.append(row)
        return others

    def _restore_document(self, row: StateRow) -> None:
        documents = self._documents.setdefault(_decode(row.key), {})
        documents.pop(row.name, None)
        if row.value is not None:
            documents[row.name] = row.value

    def row(self, sid: StreamId, placed: Placed, key: Key) -> StateRow:
        """Return what is to be stored of a rule for a key."""
        partials = self._streams.get(sid).open.find(placed, key)
        return _row(sid, placed, key, partials)

    def take_changed(self, sid: StreamId) -> Iterator[StateRow]:
        """Yield what is different in what is stored of a stream since the last time."""
        stream = self._streams.get(sid)
        changed, stream.changed = stream.changed or {}, {}
        for (placed, key), is_new in changed.items():
            partials = stream.open.find(placed, key)
            if partials is not None or not is_new:  # else it has begun and ended since
                yield _row(sid, placed, key, partials)

    # --- changes ---

    def problem(self, name: str, compiled: Compiled) -> str | None:
        """Return why a version cannot take the place of the running one."""
        running = self.running.get(name)
        if compiled.rule.on_change != "carry" or running is None:
            return None
        old, new = running.compiled.rule, compiled.rule
        if old.pattern is not None and new.pattern is not None and _shape(old.pattern) == _shape(new.pattern):
            return None
        return (
            "on_change: expected stages, edges, quantifiers and after-match strategy as they were, for carry, "
            "got a pattern of another shape"
        )

    def callers(self, script: str) -> list[Compiled]:
        """Return the rules that call functions of a script, or will when their time has come."""
        running = [self.running[name].compiled for name in self._callers.get(script, ())]
        waiting = [switch.compiled for switches in self._switches.values() for switch in switches]
        return [*running, *(each for each in waiting if any(target.name == script for target in each.calls))]

    def put(self, name: str, compiled: Compiled) -> list[StateRow]:
        """Have a version run, now or from its time on. Returns what is different in what is stored.

        The version that runs already goes on with what it has begun, and no other one takes its place.
        """
        self._begin_with_previous(name)
        stays = name in self.running and self.running[name].compiled.version == compiled.version
        self._unschedule(name, but=compiled.version if stays else None)
        if stays:
            return list(self._take_stored(name))
        at, sids = compiled.rule.effective_at, self._streams.ids(compiled.rule)
        waiting = [] if at is None else [sid for sid in sids if not self._is_past(sid, at)]
        rows: list[StateRow] = []
        if waiting and at is not None:
            if name in self.running:
                rows.append(self._keep(name, _PREVIOUS, self.running[name].compiled.document))
            for sid in waiting:
                self._streams.get(sid)
                self._switches.setdefault(sid, []).append(_Switch(at, name, compiled))
                self._switches[sid].sort(key=lambda switch: switch.at)
        old = self.running[name].placed if name in self.running else {}
        ready = [sid for sid in dict.fromkeys([*old, *sids]) if sid not in waiting]
        if not waiting or any(sid in sids for sid in ready):
            rows += self._switch(name, compiled, ready)
        if at is None and compiled.rule.on_change == "discard":
            rows += self._forget_drained(name)
        return [*rows, *self._take_stored(name)]

    def catch_up(self, name: str, documents: Iterable[bytes | None]) -> list[StateRow]:
        """After a start: have versions run that ran before, one after the other; None: the rule did not run.

        Returns what is different in what is stored.
        """
        rows: list[StateRow] = []
        for document in documents:
            try:
                rows += self.drop(name) if document is None else self.put(name, self._compile(name, document))
            except ScriptError:  # it names what is no longer there: what it had begun can neither end nor be passed on
                rows += self.drop(name)
        return rows

    def has_stored(self, name: str) -> bool:
        """Whether partial matches of a rule wait for a version of it to run."""
        return name in self._stored

    def stored_names(self) -> list[str]:
        """Return the rules of which something is stored and no version has run since the start."""
        return [name for name in {*self._stored, *self._documents} if name not in self.running]

    def drop(self, name: str) -> list[StateRow]:
        """Have a rule run no more."""
        self._unschedule(name)
        running = self.running.pop(name, None)
        if running is None:
            stored = self._stored.pop(name, None)
            return [*([] if stored is None else [cleared(name)]), *self._forget_documents(name)]
        for target in running.compiled.calls:
            self._callers.get(target.name, {}).pop(name, None)
        for sid, placed in running.placed.items():
            self._streams.get(sid).remove(placed)
            self._late.get(sid, {}).pop(name, None)
        for sid in {*running.placed, *running.draining}:
            for placed in running.versions(sid):
                self._streams.get(sid).forget(placed)
        return [cleared(name), *self._forget_documents(name)]

    def due(self, sid: StreamId, time: int) -> int | None:
        """Return when the next change in a stream has its place in the order of events, if by a time, in ms."""
        switches = self._switches.get(sid)
        return switches[0].at if switches and switches[0].at <= time else None

    def switch_next(self, sid: StreamId) -> list[StateRow]:
        """Make the next change in a stream: every event before it was taken, and none behind it."""
        switch = self._switches[sid].pop(0)
        if not self._switches[sid]:
            del self._switches[sid]
        return self._switch(switch.name, switch.compiled, [sid])

    def looks_at(self, sid: StreamId) -> bool:
        """Whether a rule looks at a stream, or will."""
        rules = self.running.values()
        return sid in self._switches or any(sid in rule.placed or sid in rule.draining for rule in rules)

    def wanting_late(self, sid: StreamId) -> Iterable[Placed]:
        """Return the rules that want to know of events of a stream that come too late."""
        return self._late.get(sid, {}).values()

    def _begin_with_previous(self, name: str) -> None:
        """After a start: what ran before the version that waits for its time, or had its time a while ago."""
        document = self._documents.get(name, {}).get(_PREVIOUS)
        if name in self.running or document is None:
            return
        try:
            compiled = self._compile(name, document)
        except ScriptError:  # it names what is no longer there, and would have been replaced
            return
        self.running[name] = running = Running(compiled)
        for sid in self._streams.ids(compiled.rule):
            self._add(name, running, sid, compiled)

    def _switch(self, name: str, new: Compiled, sids: Sequence[StreamId]) -> list[StateRow]:
        """Put a version in the place of the running one, in some streams."""
        running = self.running.setdefault(name, Running(new))
        old, running.compiled = running.compiled, new
        for target in old.calls:
            self._callers.get(target.name, {}).pop(name, None)
        for target in new.calls:
            self._callers.setdefault(target.name, {})[name] = None
        wanted = set(self._streams.ids(new.rule))
        self._forget_finished(running)
        rows: list[StateRow] = []
        if new.rule.on_change == "drain" and old is not new:
            rows.append(self._keep(name, _DRAINING + old.version, old.document))
        for sid in sids:
            before = running.placed.pop(sid, None)
            self._late.get(sid, {}).pop(name, None)
            placed = self._add(name, running, sid, new) if sid in wanted else None
            if before is not None:
                self._streams.get(sid).remove(before)
                rows += self._hand_over(running, sid, before, placed)
        return rows

    def _hand_over(self, running: Running, sid: StreamId, old: Placed, new: Placed | None) -> Iterator[StateRow]:
        """Drop, keep, or pass on the partial matches of a version in one stream."""
        stream, how = self._streams.get(sid), running.compiled.rule.on_change
        if how == "drain":
            for key in stream.keys_of(old):
                if stream.open[key][old].stopped:  # there is nothing to finish
                    stream.put(old, key, Partials())
                    yield self.row(sid, old, key)
            running.draining.setdefault(sid, []).append(old)
            return
        dropped = [old] if how == "carry" else [old, *running.draining.pop(sid, ())]
        for placed in dropped:
            for key in stream.keys_of(placed):
                partials = stream.open[key][placed]
                stream.put(placed, key, Partials())
                yield self.row(sid, placed, key)
                if how == "carry" and new is not None and not partials.stopped:
                    partials.alarm = None
                    stream.put(new, key, partials)
                    yield self.row(sid, new, key)

    def _add(self, name: str, running: Running, sid: StreamId, compiled: Compiled) -> Placed:
        placed = running.placed[sid] = compiled.make()
        if compiled.rule.late is not None:
            self._late.setdefault(sid, {})[name] = placed
        self._streams.get(sid).add(placed)
        return placed

    def _unschedule(self, name: str, but: str | None = None) -> None:
        """Have no version wait for its time; ``but`` this one."""
        for sid, switches in list(self._switches.items()):
            left = [each for each in switches if each.name != name or each.compiled.version == but]
            if left:
                self._switches[sid] = left
            else:
                del self._switches[sid]

    def _is_past(self, sid: StreamId, at: int) -> bool:
        time = self._streams.time_of(sid)
        return time is not None and time >= at

    def _forget_finished(self, running: Running) -> None:
        """Let go of versions that have finished what they had begun. Other lanes may still need their documents."""
        for sid, several in list(running.draining.items()):
            running.draining[sid] = [placed for placed in several if self._streams.get(sid).keys_of(placed)]
            if not running.draining[sid]:
                del running.draining[sid]

    def _forget_drained(self, name: str) -> list[StateRow]:
        """Drop the documents of versions of which no lane has partial matches any more."""
        documents = self._documents.get(name, {})
        gone = [row for row in documents if row.startswith(_DRAINING)]
        for row in gone:
            del documents[row]
        return [StateRow(EVERYWHERE, key_text(name), row, None) for row in gone]

    def _keep(self, name: str, row: str, document: bytes) -> StateRow:
        self._documents.setdefault(name, {})[row] = document
        return StateRow(EVERYWHERE, key_text(name), row, document)

    def _forget_documents(self, name: str) -> Iterator[StateRow]:
        for row in self._documents.pop(name, {}):
            yield StateRow(EVERYWHERE, key_text(name), row, None)

    # --- after a start ---

    def _take_stored(self, name: str) -> Iterator[StateRow]:
        """Give a rule the partial matches that were stored. Returns rows for what no version of it wants any more."""
        rows = {(row.key, row.name): row for row in self._stored.pop(name, ())}
        running = self.running.get(name)
        for row in rows.values():
            if row.value is None:
                continue
            found = None if running is None else self._version_of(name, running, row.name)
            if found is None:
                yield StateRow(name, row.key, row.name, None)
                continue
            sid, placed = found
            stream = self._streams.get(sid)
            stream.put(placed, as_key(_decode(row.key)), load(_decode_partials(row.value), stream.next_number))

    def _version_of(self, name: str, running: Running, row: str) -> tuple[StreamId, Placed] | None:
        sids = dict.fromkeys([*running.placed, *running.draining])
        for sid in sids:
            for placed in running.versions(sid):
                if _row_name(sid, placed.version) == row:
                    return sid, placed
        for document, content in self._documents.get(name, {}).items():
            version = document.removeprefix(_DRAINING)
            its = next((sid for sid in sids if _row_name(sid, version) == row), None)
            if document.startswith(_DRAINING) and its is not None:
                return its, self._drained(name, running, its, content)
        return None

    def _drained(self, name: str, running: Running, sid: StreamId, document: bytes) -> Placed:
        placed = self._compile(name, document).make()
        running.draining.setdefault(sid, []).append(placed)
        return placed


def _row(sid: StreamId, placed: Placed, key: Key, partials: Partials | None) -> StateRow:
    value = None if partials is None else _encode(store(partials))
    return StateRow(placed.name, key_text(key), _row_name(sid, placed.version), value)


def key_text(key: Key) -> str:
    """Return a key as what is stored belongs to it: its JSON text."""
    return _encode(of_key(key)).decode()


@lru_cache(maxsize=1024)
def _row_name(sid: StreamId, version: str) -> str:
    return f"{PARTIAL}{sid.source}:{sid.key or ''}:{'event' if sid.event_time else 'arrival'}:{version[:16]}"


def _shape(pattern: Pattern) -> Any:
    """Return what partial matches depend on: all but conditions and times."""
    return pattern.skip, _shape_of(pattern.stages)


def _shape_of(stages: tuple[Stage, ...]) -> Any:
    return [
        (
            stage.name,
            stage.edge,
            {window.type for window in stage.windows},
            (stage.quantifier.repeat, stage.quantifier.least, stage.quantifier.most, stage.quantifier.inner),
            (stage.quantifier.optional, stage.quantifier.greedy, stage.quantifier.until is not None),
            None if stage.group is None else _shape_of(stage.group),
        )
        for stage in stages
    ]
