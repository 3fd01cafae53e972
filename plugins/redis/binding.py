"""The binding ``redis``: what scripts hold."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from trimtab.api import Caller, ResourceBinding, ScriptHost, ScriptObject
from trimtab.plugins.redis import scans
from trimtab.plugins.redis.arguments import Command, command
from trimtab.plugins.redis.pipelines import Pipeline
from trimtab.plugins.redis.rehearsal import rehearsed
from trimtab.plugins.redis.resource import RedisResource
from trimtab.plugins.redis.values import plain


class Redis(ScriptObject):
    """One Redis. Any command by its name; a name that the driver does not know is sent as it is."""

    methods = frozenset({"command", "bytes", "scan_iter", "hscan_iter", "sscan_iter", "zscan_iter"})
    outside = frozenset({"command", "call_any"})
    scopes: ClassVar[Mapping[str, str]] = {"pipeline": "_new_pipeline"}
    any_method = True

    def __init__(self, caller: Caller, *, as_bytes: bool = False) -> None:
        self._caller = caller
        self._as_bytes = as_bytes

    def call_any(self, name: str, *arguments: Any, **options: Any) -> Any:
        """Send one command and return the answer."""
        return self._send(name, arguments, options, command(name, arguments, options))

    def command(self, name: str, *words: Any) -> Any:
        """Send one command as it is: its name, and all that follows it."""
        return self._send("command", (name, *words), {}, Command(name.upper(), "execute_command", (name, *words), {}))

    def bytes(self) -> Redis:
        """Return the same Redis with answers as bytes in place of text."""
        return Redis(self._caller, as_bytes=True)

    # --- pipelines ---

    def pipeline(self, function: Callable[[Pipeline], Any], *, transaction: bool = True) -> Any:
        """Call ``function`` with what collects commands, then send them at once; returns the list of answers.

        When the function raises, nothing is sent.
        """
        pipeline = self._new_pipeline(transaction=transaction)
        try:
            function(pipeline)
        except BaseException:
            pipeline.rollback()
            raise
        return pipeline.commit()

    def _new_pipeline(self, *, transaction: bool = True) -> Pipeline:
        """Return what collects commands. Not for scripts: theirs are sent when their function returns."""
        return Pipeline(self._caller, self._plain, transaction=transaction)

    # --- scans ---

    def scan_iter(self, *, match: str | None = None, count: int | None = None, type: str | None = None) -> scans.Scan:  # noqa: A002 - as Redis calls it
        """Find keys; on a cluster, of all masters."""
        return self._scan("scanIter", (), scans.keys({"match": match, "count": count, "_type": type}))

    def hscan_iter(self, key: str, *, match: str | None = None, count: int | None = None) -> scans.Scan:
        """Find the fields of a hash: pairs of name and value."""
        return self._scan("hscanIter", (key,), scans.parts("hscan", key, {"match": match, "count": count}))

    def sscan_iter(self, key: str, *, match: str | None = None, count: int | None = None) -> scans.Scan:
        """Find the members of a set."""
        return self._scan("sscanIter", (key,), scans.parts("sscan", key, {"match": match, "count": count}))

    def zscan_iter(self, key: str, *, match: str | None = None, count: int | None = None) -> scans.Scan:
        """Find the members of a sorted set: pairs of member and score."""
        return self._scan("zscanIter", (key,), scans.parts("zscan", key, {"match": match, "count": count}))

    def _scan(self, method: str, arguments: tuple[Any, ...], step: scans.Step) -> scans.Scan:
        return scans.Scan(self._caller, method, arguments, step, self._plain)

    def _send(self, method: str, arguments: tuple[Any, ...], options: Mapping[str, Any], sent: Command) -> Any:
        def work(resource: RedisResource) -> Any:
            return self._plain(resource.use(sent.name, sent.send))

        shown = (*arguments, dict(options)) if options else arguments
        return self._caller.call(method, shown, work, rehearsed(sent.name))

    def _plain(self, answer: Any) -> Any:
        return plain(answer, as_bytes=self._as_bytes, name=self._caller.resource.partition(".")[2])


class RedisBinding(ResourceBinding):
    """Gives scripts ``redis(name)``."""

    name = "redis"

    def connect(self, caller: Caller, host: ScriptHost) -> Redis:  # noqa: ARG002 - of the interface
        """See :class:`ResourceBinding`."""
        return Redis(caller)
