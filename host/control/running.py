"""What ``status --json`` says of a running host."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import chain
from typing import Any

import msgspec

from trimtab.api import Discoverer
from trimtab.artifacts.names import ArtifactKind, artifact_name, is_rule, kind_of, resource_name
from trimtab.control.views import artifact_status, calls_status, rules_status, script_status
from trimtab.deploy.book import Book
from trimtab.runtime.stats import ScriptStats
from trimtab.runtime.stream import Stream


class RunningStatus:
    """Made for one answer, which costs little however many rules there are. ``mask`` keeps secrets out of messages."""

    def __init__(self, book: Book, stream: Stream, mask: Callable[[str], str]) -> None:
        self._book, self._stream, self._mask = book, stream, mask

    def parts(self, discoverers: Iterable[Discoverer]) -> dict[str, Any]:
        """Return everything that has parts."""
        stream = self._stream
        return {
            "scripts": [self._script(name) for name in self._names("script")],
            "rules": self._rules(),
            "sources": {name: msgspec.to_builtins(ingest.status()) for name, ingest in stream.ingests.items()},
            "sinks": {name: msgspec.to_builtins(sink.status) for name, sink in stream.sinks.items()},
            "resources": {name: self._resource(name) for name in self._resources()},
            "settings": {name: self._artifact(name) for name in self._names("settings")},
            "discoverers": {
                each.name: {"error": self._masked(self._book.places.outages.get(each.name))} for each in discoverers
            },
            "lanes": [
                {"pid": lane.pid, "state": lane.state, "restarts": lane.restarts, "generation": lane.generation}
                for lane in stream.lanes
            ],
        }

    def _names(self, kind: ArtifactKind) -> list[str]:
        """What runs, or was refused and never ran."""
        refused = {name for name in self._book.errors if kind_of(name) == kind}
        return sorted(refused.union(self._book.active.of_kind(kind)))

    def _resources(self) -> list[str]:
        """Every resource that is declared, was refused, or was called."""
        declared = map(resource_name, self._names("resource"))
        return sorted({*filter(None, declared), *self._stream.calls.resources})

    def _rules(self) -> dict[str, Any]:
        told = chain(self._book.errors, *self._book.places.taken.values(), self._stream.unrestored())
        errors = {name: self._error(name) or "" for name in filter(is_rule, told)}
        return rules_status(self._book.active.count("rule"), errors, self._book.rolled_back)

    def _script(self, name: str) -> dict[str, Any]:
        return script_status(
            name,
            self._book.active.get(name),
            self._error(name),
            rolled_back=name in self._book.rolled_back,
            stats=self._stream.stats.get(name, ScriptStats()),
            breaker=self._stream.breaker(name),
        )

    def _resource(self, name: str) -> dict[str, Any]:
        return {
            **self._artifact(artifact_name(name)),
            **calls_status(self._stream.calls.of(name), self._stream.breaker(name)),
        }

    def _artifact(self, name: str) -> dict[str, Any]:
        running = self._book.active.get(name)
        return artifact_status(running, self._error(name), rolled_back=name in self._book.rolled_back)

    def _error(self, name: str) -> str | None:
        return self._masked(self._book.error(name) or self._stream.unrestored_because(name))

    def _masked(self, error: object) -> str | None:
        return self._mask(str(error)) if error else None
