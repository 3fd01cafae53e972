"""The documents of ``history``, ``show``, ``diff`` and ``status``, from the stores: the same from API and commands."""

from __future__ import annotations

import base64
from collections.abc import Collection, Mapping
from typing import Any

import msgspec

from trimtab.artifacts.diff import diff as diff_lines
from trimtab.artifacts.diff import readable
from trimtab.artifacts.names import is_rule, kind_of, resource_name
from trimtab.artifacts.records import Version
from trimtab.artifacts.store import ArtifactStore
from trimtab.engine.result import ScriptCount
from trimtab.errors import Fault
from trimtab.runtime.stats import ScriptStats

HISTORY_LIMIT = 100
"""Generations in a history, unless more or fewer are asked for."""
REFUSED_RULES = 100
"""Refused rules of which a status says why."""

Artifact = tuple[Version | None, str | None]
"""What ran last of a name, and why newer bytes were refused."""


def history(store: ArtifactStore, name: str | None, limit: int = HISTORY_LIMIT) -> dict[str, Any]:
    """Return the last generations, newest first; with ``name`` those that touched it, and all its versions.

    Raises :class:`UsageError` for an unknown name.
    """
    versions = [] if name is None else [msgspec.to_builtins(version) for version in store.versions(name)]
    generations = [msgspec.to_builtins(generation) for generation in store.generations(limit, name)]
    return {"generations": generations} if name is None else {"versions": versions, "generations": generations}


def show(store: ArtifactStore, name: str, version: str | None) -> dict[str, Any]:
    """Return one version with its bytes: as text, or in base64 where they are not UTF-8. Raises UsageError."""
    found = store.resolve(name, version)
    return {**msgspec.to_builtins(found), **_text(store.content(found.hash))}


def diff(store: ArtifactStore, name: str, a: str | None, b: str | None) -> dict[str, Any]:
    """Return the unified diff from version ``a`` to ``b``. Raises :class:`UsageError`.

    Without ``b`` to the active one (None if the name was deleted); without ``a`` from the one that was active
    before it, or with ``b`` given from the version before that in number.
    """
    new = store.active().get(name) if b is None else store.resolve(name, b)
    old = _before(store, name, None if b is None else new) if a is None else store.resolve(name, a)
    contents = _content(store, old), _content(store, new)
    lines = diff_lines(*(readable(*contents) if is_rule(name) else contents), _label(name, old), _label(name, new))
    return {"a": msgspec.to_builtins(old), "b": msgspec.to_builtins(new), "lines": lines}


def stopped_status(store: ArtifactStore | None, dead_letters: int) -> dict[str, Any]:
    """Return the document of ``status --json`` for a host that does not run."""
    artifacts = _artifacts(store) if store else {}
    rolled_back = store.rolled_back() if store else set()

    def status(name: str) -> dict[str, Any]:
        running, error = artifacts[name]
        return artifact_status(running, error, rolled_back=name in rolled_back)

    names = {kind: [name for name in artifacts if kind_of(name) == kind] for kind in ("script", "settings", "resource")}
    rules = {name: artifact for name, artifact in artifacts.items() if is_rule(name)}
    errors = {name: error for name, (_running, error) in rules.items() if error is not None}
    return {
        "running": False,
        "generation": store.latest_number() if store else 0,
        "uptime_s": None,
        "scripts": [
            script_status(name, *artifacts[name], rolled_back=name in rolled_back, stats=ScriptStats())
            for name in names["script"]
        ],
        "rules": rules_status(sum(running is not None for running, _ in rules.values()), errors, rolled_back),
        "sources": {},
        "sinks": {},
        "resources": {str(resource_name(name)): {**status(name), **calls_status({})} for name in names["resource"]},
        "settings": {name: status(name) for name in names["settings"]},
        "discoverers": {},
        "lanes": [],
        "checkpoint": None,
        "dead_letters": dead_letters,
    }


def rules_status(running: int, errors: Mapping[str, str], rolled_back: Collection[str]) -> dict[str, Any]:
    """Return what ``status --json`` says of the rules. ``errors``: why rules were refused, by name."""
    return {
        "running": running,
        "rolled_back": sum(map(is_rule, rolled_back)),
        "refused": len(errors),
        "errors": {name: errors[name] for name in sorted(errors)[:REFUSED_RULES]},
    }


def script_status(
    name: str,
    running: Version | None,
    error: str | None,
    *,
    rolled_back: bool,
    stats: ScriptStats,
    breaker: str = "closed",
) -> dict[str, Any]:
    """Return what ``status --json`` says of one script. ``error``: why newer bytes were refused."""
    return {
        "name": name,
        **artifact_status(running, error, rolled_back=rolled_back),
        "handled": stats.handled,
        "failed": stats.failed,
        "retried": stats.retried,
        "breaker": breaker,
        **_percentiles(stats),
    }


def artifact_status(running: Version | None, error: str | None, *, rolled_back: bool) -> dict[str, Any]:
    """Return what ``status --json`` says of any artifact. ``error``: why newer bytes were refused."""
    return {
        "seq": running.seq if running else None,
        "version": running.hash[:12] if running else None,
        "state": "rejected" if running is None else "rolled-back" if rolled_back else "active",
        "error": error,
    }


def calls_status(by_script: Mapping[str, ScriptStats], breaker: str = "closed") -> dict[str, Any]:
    """Return what ``status --json`` says of the calls to one resource."""
    every = ScriptStats()
    for stats in by_script.values():
        every.add(ScriptCount(stats.handled, stats.failed, list(stats.samples)))
    return {
        **_calls(every),
        "breaker": breaker,
        "scripts": {name: _calls(stats) for name, stats in sorted(by_script.items())},
    }


def _calls(stats: ScriptStats) -> dict[str, Any]:
    return {"calls": stats.handled + stats.failed, "failed": stats.failed, **_percentiles(stats)}


def _percentiles(stats: ScriptStats) -> dict[str, float]:
    return {"p50_us": stats.percentile(0.5), "p99_us": stats.percentile(0.99)}


def _artifacts(store: ArtifactStore) -> dict[str, Artifact]:
    """What ran last and what was refused since, in the order of the names."""
    active, refused = store.active(), store.refused()
    rejected = {name for name, refusal in refused.items() if refusal.kind != "deleted"}
    errors = {name: str(refusal.fault) for name, refusal in refused.items()}
    return {name: (active.get(name), errors.get(name)) for name in sorted(active.keys() | rejected)}


def _before(store: ArtifactStore, name: str, version: Version | None) -> Version | None:
    if version is None:
        return store.previous(name)
    older = [each for each in store.versions(name) if each.seq < version.seq]
    return store.resolve(name, str(older[-1].seq)) if older else None


def _content(store: ArtifactStore, version: Version | None) -> bytes | None:
    return None if version is None else store.content(version.hash)


def _label(name: str, version: Version | None) -> str:
    return name if version is None else f"{name} #{version.seq} {version.hash[:12]}"


def _text(content: bytes) -> dict[str, Any]:
    try:
        return {"content": content.decode()}
    except UnicodeDecodeError:
        return {"content": base64.b64encode(content).decode(), "content_encoding": "base64"}


def fault_text(fault: dict[str, Any]) -> str:
    """Return a fault of a document as one line."""
    return str(msgspec.convert(fault, Fault))
