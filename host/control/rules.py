"""What the command ``rules`` and ``GET /api/rules`` tell of each rule."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from heapq import nsmallest
from typing import Any

from trimtab.artifacts.names import is_rule
from trimtab.artifacts.records import Version
from trimtab.artifacts.store import ArtifactStore
from trimtab.control.views import artifact_status
from trimtab.deploy.book import Book
from trimtab.engine.engine import LoadedScript
from trimtab.runtime.stats import RuleStats
from trimtab.runtime.stream import Stream

RULES_LIMIT = 100
"""Rules of one answer, unless more or fewer are asked for."""


def rule_status(
    name: str,
    running: Version | None,
    error: str | None,
    *,
    rolled_back: bool = False,
    loaded: LoadedScript | None = None,
    stats: RuleStats | None = None,
    open_matches: int = 0,
) -> dict[str, Any]:
    """Return what is told of one rule. ``error``: why newer bytes were refused."""
    counts = stats or RuleStats()
    return {
        "name": name,
        **artifact_status(running, error, rolled_back=rolled_back),
        "bound_keys": None if loaded is None else loaded.bound,
        "open": open_matches,
        "matches": counts.matches,
        "timeouts": counts.timeouts,
        "condition_errors": counts.condition_errors,
        "last_condition_error": counts.last_error,
        "stopped": counts.stopped,
        "p50_us": counts.percentile(0.5),
        "p99_us": counts.percentile(0.99),
    }


def running_rules(
    book: Book, stream: Stream, mask: Callable[[str], str], chosen: Callable[[Iterable[str]], Sequence[str]]
) -> list[dict[str, Any]]:
    """Return what is told of the rules of a running host; ``chosen`` picks them among all that run or were refused.

    Patterns of scripts stand under the name of their script and ``#pattern``.
    """
    refused = [name for name in book.errors if is_rule(name)]
    patterns = [name for name in stream.rules if name.endswith("#pattern")]
    documents = []
    for name in chosen({*book.active.of_kind("rule"), *refused, *patterns}):
        artifact = name.removesuffix("#pattern")
        error = book.error(artifact) or stream.unrestored_because(artifact)
        documents.append(
            rule_status(
                name,
                book.active.get(artifact),
                mask(str(error)) if error else None,
                rolled_back=artifact in book.rolled_back,
                loaded=book.loaded.get(artifact) if is_rule(name) else None,
                stats=stream.rules.get(name),
                open_matches=sum(lane.partial_matches.get(name, 0) for lane in stream.lanes),
            )
        )
    return documents


def stopped_rules(store: ArtifactStore, chosen: Callable[[Iterable[str]], Sequence[str]]) -> list[dict[str, Any]]:
    """Return what is told of the rules of a host that does not run."""
    active, refused, rolled_back = store.active(), store.refused(), store.rolled_back()
    errors = {name: str(refusal.fault) for name, refusal in refused.items() if is_rule(name)}
    names = {*filter(is_rule, active), *errors}
    return [
        rule_status(name, active.get(name), errors.get(name), rolled_back=name in rolled_back) for name in chosen(names)
    ]


def choice(name: str | None, after: str, limit: int) -> Callable[[Iterable[str]], Sequence[str]]:
    """Return what picks rules: one by name, or the first ones, in their order, behind another one."""

    def chosen(names: Iterable[str]) -> Sequence[str]:
        if name is not None:
            return [each for each in names if each == name]
        return nsmallest(limit, (each for each in names if each > after))

    return chosen
