"""The connections that a Lofka script makes for itself, with the addresses in its code."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from trimtab.api import Caller, CallError, Resource, Script, ScriptHost, ScriptObject
from trimtab.plugins.lofka.reach import Reach


@dataclass(slots=True)
class Connections:
    """All that one version of a script holds open. What it has not closed is closed with it."""

    script: Script
    host: ScriptHost
    reach: Reach
    _open: list[Connection] = field(default_factory=list)

    def caller(self, resource: Resource, kind: str) -> Caller:
        """Return what calls ``resource`` in the name of the script.

        All connections of a kind are counted together: a script may make up any number of addresses.
        """
        return Caller(self.host.resources, self.script.name, f"lofka.{kind}", own=resource)

    def add(self, connection: Connection) -> None:
        """Hold a connection until it is closed: scripts may keep the only reference beyond the event in hand."""
        self._open.append(connection)

    def remove(self, connection: Connection) -> None:
        """Let go of a connection that was closed."""
        if connection in self._open:
            self._open.remove(connection)

    def close(self) -> None:
        """Close everything that is open."""
        while self._open:
            self._open[-1].close()


class Connection(ScriptObject):
    """One of them. Subclasses say what can be done with it. ``name`` is for messages, such as ``sql.db:5432``."""

    methods: ClassVar[frozenset[str]] = frozenset({"close"})

    def __init__(self, connections: Connections, resource: Resource, kind: str, name: str) -> None:
        self._connections = connections
        self._resource: Resource | None = resource
        self._name = name
        self._caller = connections.caller(resource, kind)
        connections.add(self)

    def close(self) -> None:
        """Close it. Closing again does nothing."""
        resource, self._resource = self._resource, None
        self._connections.remove(self)
        if resource is not None:
            resource.close()

    def _opened(self) -> Caller:
        if self._resource is None:
            raise CallError("ConnectionError", f"expected {self._name} to be open, it was closed; make a new one")
        return self._caller
