"""The one door for plugins: everything a plugin may import lives here (a test pins the names).

A plugin is a module or object with functions marked :data:`hookimpl`; the hooks are specified in
``trimtab.plugins.hookspecs``. Installed plugins are found through the entry point group ``trimtab.plugins``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import msgspec
import pluggy

from trimtab.artifacts.names import is_ignored, name_problem
from trimtab.durations import Duration, check_positive_duration, parse_duration
from trimtab.engine.batch import Events
from trimtab.engine.calls import Caller
from trimtab.engine.objects import Pages, Scope, ScriptObject
from trimtab.engine.reach import ANYWHERE, Reach
from trimtab.engine.run import Hand, HandlerRun
from trimtab.engine.script import HandlerSpec, LogEntry, Script, ScriptHost
from trimtab.engine.state import Timer
from trimtab.errors import (
    CallError,
    CodecError,
    Fault,
    OutsideError,
    PluginError,
    Problem,
    ScriptError,
    SinkError,
    SourceError,
    StateError,
    TrimtabError,
)

if TYPE_CHECKING:
    import asyncio  # lanes load this module too, and have no use for it

    from starlette.routing import BaseRoute

__all__ = [
    "ANYWHERE",
    "INTERNAL",
    "Binding",
    "CallError",
    "Caller",
    "Codec",
    "CodecError",
    "Connector",
    "Discoverer",
    "DiscovererContext",
    "DiscovererKind",
    "Duration",
    "Events",
    "Fault",
    "Hand",
    "HandlerRun",
    "HandlerSpec",
    "LogEntry",
    "Notice",
    "OutsideError",
    "Pages",
    "PluginError",
    "Position",
    "Problem",
    "Reach",
    "Records",
    "Resource",
    "ResourceBinding",
    "ResourceKind",
    "Scope",
    "Script",
    "ScriptEngine",
    "ScriptError",
    "ScriptHost",
    "ScriptInstance",
    "ScriptObject",
    "Sink",
    "SinkContext",
    "SinkError",
    "SinkKind",
    "Snapshot",
    "Source",
    "SourceContext",
    "SourceError",
    "SourceKind",
    "StateError",
    "Timer",
    "TrimtabError",
    "check_positive_duration",
    "hookimpl",
    "is_ignored",
    "name_problem",
    "parse_duration",
]

hookimpl = pluggy.HookimplMarker("trimtab")
"""Marks a function of a plugin as the implementation of the hook of that name."""

Options = TypeVar("Options", bound=msgspec.Struct)


# --- sources -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Records:
    """Some consecutive records of a source, as read: the unit in which sources deliver.

    ``data``: one record a line, separated by (not ended by) ``\\n``; a record never contains a raw newline.
    ``start``: position of the first record. With ``positions`` None, positions are byte offsets: each record's
    is ``start`` plus its offset in ``data``. Else ``positions`` gives one number a record, ascending.
    ``partition``: what positions count in (a file's identity, a start of the host, ...). Partition and
    position make the ``event.id``, so they must be the same when the same record is read again.
    ``end``: the position at which reading goes on after these records; None: right behind the last one (its newline
    included, for byte offsets).
    ``whole``: they go to the lanes at once or not at all, so a checkpoint never falls between them, nor before what the
    source does when ``deliver`` has returned, up to its next ``await``.
    """

    data: bytes
    start: int = 0
    positions: Sequence[int] | None = None
    partition: str = ""
    end: int | None = None
    whole: bool = False


class Position(msgspec.Struct, frozen=True):
    """How far a source had come at a checkpoint: everything before it is handled and counted."""

    partition: str
    next: int
    """Where reading goes on in the partition: the position behind the last record."""
    noted: Any = None
    """What :meth:`Source.note` had returned."""


class Codec(ABC):
    """How the bytes of one record become one event. Stateless; called in the host process, must not block."""

    name: str
    lines: bool = True
    """Records of this codec never contain a newline, so they can be told apart in a file or a pipe."""
    is_json: bool = False
    """Records are JSON texts already; :meth:`to_json` is skipped and the lanes check them."""

    @abstractmethod
    def to_json(self, record: bytes) -> bytes:
        """Return the event as JSON text in one line. Raises :class:`CodecError` with the reason."""


class SourceContext(ABC):
    """What the host gives a source. Made by the host, one a source."""

    name: str
    folder: Path
    """The folder of the configuration file: relative paths start here."""
    codec: Codec
    partition: str
    """A partition for sources that count their own records: different in every run of the host."""

    @abstractmethod
    async def deliver(self, records: Records) -> asyncio.Future[None]:
        """Hand records to the stream; waits while the lanes are busy (backpressure).

        Returns a future that is done once a checkpoint holds what every record did: it need never be read again. A
        source may ignore it; one that acknowledges to its own origin waits for it.
        """

    @abstractmethod
    async def accept(self, records: Sequence[bytes]) -> None:
        """Take records that cannot be read again: they are in the journal, so on the disk, when this returns.

        They are delivered from there, in the order in which they were accepted, with positions that the journal
        gives them; also by the next run, if this one ends before. Raises :class:`StateError` where the journal cannot
        be written; then none was taken.
        """

    @abstractmethod
    async def reject(self, record: bytes, position: int, reason: str, partition: str | None = None) -> None:
        """Put a record that is not valid into the dead letters. The stream goes on.

        ``partition``: what the position counts in; None: :attr:`partition`.
        """

    @abstractmethod
    def has_room(self) -> bool:
        """Whether :meth:`deliver` would take records at once. For sources that answer 'busy' instead of waiting."""


class Source(ABC):
    """One stream of events."""

    @abstractmethod
    async def run(self) -> None:
        """Read and deliver until the end. Called once, in the host's event loop; must not block it.

        Return when a finite source is exhausted. Cancelled when the host drains: what was delivered before is
        still handled. Raise :class:`SourceError` with ``retryable`` True to be started again after a back-off.
        """

    def routes(self) -> Sequence[BaseRoute]:
        """HTTP routes that the host serves for this source, below ``/sources/NAME``. Called once, before run.

        An endpoint may have an attribute ``openapi``: its OpenAPI operations by method in lower case, for
        ``/openapi.json``; the security scheme ``source`` is a bearer token of the source.
        """
        return ()

    def position(self) -> str | None:
        """Where the source stands, in its own words, for ``status``; None: it has no word for it."""
        return None

    def resume(self, position: Position) -> None:  # noqa: B027 - optional
        """Go on from the last checkpoint. Called once, before run, where an earlier run has left one.

        Only for sources that can read again; what was accepted into the journal is delivered again by the host.
        """

    def note(self) -> Any:
        """What a checkpoint is to keep for :meth:`resume` beside the position: a JSON value.

        Called at the moment of a checkpoint, between two deliveries; must not block.
        """
        return None


@dataclass(frozen=True, slots=True)
class SourceKind(Generic[Options]):
    """A type of source: ``name`` is the ``type`` in the configuration, ``options`` the struct of its own keys.

    ``create`` is called once at start, may check what the options alone cannot say, and raises
    :class:`TrimtabError` with a message for the operator. It must not open anything.
    """

    name: str
    options: type[Options]
    create: Callable[[Options, SourceContext], Source]
    finite: Callable[[Options], bool] = lambda _options: False
    """Whether a source with these options ends by itself."""


INTERNAL = "internal"
"""The type of the sources whose events are what rules find."""


# --- sinks -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SinkContext:
    """What the host gives a sink: its name and the folder of the configuration file."""

    name: str
    folder: Path


class Sink(ABC):
    """Where emitted values go. All calls come from the host's event loop, never two at a time."""

    async def open(self) -> None:  # noqa: B027 - optional
        """Called once before the first write. Raise :class:`SinkError` to refuse the start."""

    @abstractmethod
    async def write(self, lines: bytes, count: int) -> None:
        """Take ``count`` values, each one JSON text ended by a newline. Waiting here slows the stream down.

        Raise :class:`SinkError`: retryable, and the same lines come again after a back-off; else they go to the
        dead letters. All or nothing where the outside system allows it: lines that were taken before an error
        come again.
        """

    async def flush(self) -> None:  # noqa: B027 - optional
        """Make sure that what was written outlives a crash of this machine. Called before a checkpoint is complete.

        Raises :class:`SinkError`; then the checkpoint is not taken, and the next one asks again.
        """

    async def close(self) -> None:  # noqa: B027 - optional
        """Called once after the last write, also when a write failed."""


@dataclass(frozen=True, slots=True)
class SinkKind(Generic[Options]):
    """A type of sink: ``name`` is the ``type`` in the configuration, ``options`` the struct of its own keys."""

    name: str
    options: type[Options]
    create: Callable[[Options, SinkContext], Sink]


# --- scripts -----------------------------------------------------------------------------------------------


class ScriptInstance(ABC):
    """One version of one script, loaded in one lane. Every call comes on the lane's main thread."""

    handlers: Sequence[HandlerSpec]
    libraries: frozenset[str]
    """Names of the library artifacts that it uses, directly or not: a change in one reloads it."""
    decodes: bool = True
    """Whether :meth:`process` asks for decoded events; an engine that reads the JSON text itself says False."""
    discards_state: bool = False
    """The script starts with empty state when it takes the place of another version."""
    migrates: bool = False
    """The script turns the state that another version has left into its own: :meth:`migrate`."""
    pattern: Any = None
    """The pattern that the script looks for, as :func:`trimtab.cep.read_rule` takes it, and one of the handlers is for
    matches; None: it looks for none."""

    @abstractmethod
    def open(self) -> None:
        """Run the script's ``open()``, under the default time limit. Raises :class:`ScriptError`."""

    @abstractmethod
    def process(self, handler: int, events: Events, selection: Sequence[int], run: HandlerRun) -> None:
        """Call handler number ``handler`` on the selected events, in order, and record into ``run``.

        ``selection`` holds ascending indexes into ``events``. A failing event is recorded with
        ``run.fail`` and the next one goes on; what a failed event had emitted is dropped. Never raises for
        what user code does.
        """

    def start(self, handler: int, run: HandlerRun, done: Callable[[], None]) -> None:
        """Begin to handle the event ``run.index`` with an asynchronous handler, and record into ``run``.

        ``done`` is called once, when the event is handled or has failed: during this call or later, from the event
        loop of ``ScriptHost.tasks``. Only for handlers that say that they are asynchronous.
        """
        raise NotImplementedError

    def cancel(self, run: HandlerRun) -> tuple[str, int] | None:
        """Give up an event that was started: its time is up. ``done`` is not called for it any more.

        Returns where in the script it waits, as file and line, if that is known.
        """
        raise NotImplementedError

    def migrate(self, states: Sequence[tuple[dict[str, Any], str]]) -> Sequence[dict[str, Any] | Fault]:
        """Call the script's ``migrate`` with values by name and the version that left them, for several keys.

        Returns the values that take their place, or why there are none. Only where :attr:`migrates` is true.
        """
        raise NotImplementedError

    def function(self, name: str) -> int:
        """Return the number of the handler that is a function of the script, for what rules find; :meth:`process`
        then calls it. Raises ``LookupError`` saying which functions there are.
        """
        raise LookupError(f"scripts of this language have no functions for rules such as {name}")

    def ask(self, function: str, event: Any, partial: Mapping[str, list[Any]]) -> bool:  # noqa: ARG002
        """Call a function of the script as a condition: with an event, and with the events that each stage of a partial
        match has taken. Raises :class:`ScriptError`, and ``LookupError`` where there is no such function.
        """
        raise LookupError(f"scripts of this language have no conditions such as {function}")

    @abstractmethod
    def settings_changed(self) -> None:
        """``ScriptHost.settings`` has new values."""

    @abstractmethod
    def close(self) -> None:
        """Run the script's ``close()`` and let go of everything. Raises :class:`ScriptError`."""


class ScriptEngine(ABC):
    """A language. Made once a process (lane or scratch process)."""

    name: str
    suffixes: tuple[str, ...]
    """Endings of the file names that this engine runs, with the dot."""

    @abstractmethod
    def load(self, script: Script, libraries: Mapping[str, bytes], host: ScriptHost) -> ScriptInstance:
        """Compile the script and run its top level, under limits. Raises :class:`ScriptError`.

        ``libraries``: the bytes of every library artifact of the generation, by name. Nothing that the load
        leaves behind may be visible to another script or version.
        """

    def reaches(self, name: str, source: bytes) -> Reach:  # noqa: ARG002 - most need nothing
        """Return what a script needs beside the declared resources, where the configuration does not say what scripts
        may reach. Called in the host: looks at the text and runs nothing.
        """
        return Reach()


class Binding(ABC):
    """Something scripts import from ``trimtab`` by ``name``, the same in every language."""

    name: str

    @abstractmethod
    def bind(self, script: Script, host: ScriptHost) -> ScriptObject:
        """Return what the script gets. Called once a script version and lane; must not connect to anything."""


# --- resources ---------------------------------------------------------------------------------------------


class Resource(ABC):
    """The connections of one ``[resources.KIND.NAME]`` in one process.

    Opened when they are first needed, kept, and replaced when they are broken. Calls come from many threads at the same
    time: from the main thread, where any may be broken off by a ``BaseException``, the time limit, and a connection
    that was in use is then not used again; and, for asynchronous handlers, from threads where nothing breaks them off,
    so each must end by itself, also when nobody waits for it any more. A thread that finds all connections in use
    waits for one. What calls raise for an outside system that fails is a :class:`CallError`.
    """

    @abstractmethod
    def check(self) -> None:
        """Connect and ask for a sign of life. May block; a time limit of the caller's is in force.

        Called in a process of its own before a change is committed. Raises :class:`CallError` to refuse the change.
        """

    @abstractmethod
    def close(self) -> None:
        """Close all connections. Called once, from any thread, after the last call or before the first.

        Must not fail.
        """


@dataclass(frozen=True, slots=True)
class ResourceKind(Generic[Options]):
    """A type of resource: ``name`` is the KIND of ``[resources.KIND.NAME]``, ``options`` the struct of its keys.

    ``create`` gets the options, the full name (``sql.orders``) and the folder of the configuration file, where
    relative paths start. It must not connect, and raises :class:`CallError` for options that cannot be meant.
    """

    name: str
    options: type[Options]
    create: Callable[[Options, str, Path], Resource]
    implied: frozenset[str] = frozenset()
    """Names that are there, with the default options, also where the configuration does not declare them."""
    modules: Callable[[Options], Iterable[str]] = lambda _options: ()
    """The modules that ``create`` imports. The process that lanes are forked from imports them once for all, where the
    configuration declares such a resource at the start."""
    reaches: Callable[[Options, Path], Reach] = lambda _options, _folder: ANYWHERE
    """The servers and files that it needs with these options, and the folder of the configuration file: a lane that is
    confined has no others. Called in the host; must not connect, nor import a driver that takes long."""


class ResourceBinding(Binding):
    """A binding that is called with the name of a resource: ``sql("orders")``.

    ``name`` is the KIND. ``connect`` makes what scripts then hold, once a script version and resource.
    """

    @abstractmethod
    def connect(self, caller: Caller, host: ScriptHost) -> ScriptObject:
        """Return what ``KIND(name)`` gives to a script. Its calls go through ``caller``, so to the resource of that
        name in whatever generation runs. Must not connect to anything.
        """

    def bind(self, script: Script, host: ScriptHost) -> ScriptObject:
        """See :class:`Binding`."""
        return Connector(self.name, script, host, self.connect)


class Connector(ScriptObject):
    """``sql``, ``redis``, ...: called with a name, gives what talks to the resource of that name."""

    methods = frozenset({"__call__"})

    def __init__(
        self, kind: str, script: Script, host: ScriptHost, connect: Callable[[Caller, ScriptHost], ScriptObject]
    ) -> None:
        self._kind, self._script, self._host, self._connect = kind, script, host, connect
        self._connected: dict[str, ScriptObject] = {}

    def __call__(self, name: str) -> ScriptObject:
        """Return what talks to the resource. Raises :class:`CallError` where it is not declared."""
        resource = f"{self._kind}.{name}"
        self._host.resources.require(resource)
        if name not in self._connected:
            caller = Caller(self._host.resources, self._script.name, resource)
            self._connected[name] = self._connect(caller, self._host)
        return self._connected[name]


# --- discovery ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All artifacts that a discoverer sees now: their bytes by name, and the ones it cannot take, with why."""

    artifacts: Mapping[str, bytes]
    refused: Mapping[str, Fault]


def _undeclared(name: str) -> Any:
    raise OutsideError(f"expected a declared resource, got {name}, and none is declared", retryable=False)


@dataclass(frozen=True, slots=True)
class DiscovererContext:
    """What the host gives a discoverer."""

    folder: Path
    """The folder of the configuration file."""
    scripts: tuple[Path, ...]
    """The watched folders, absolute."""
    state: Path
    """The state folder, absolute: never discovered."""
    suffixes: frozenset[str]
    """Endings of the file names that are artifacts: of what some script engine runs, and of rules."""
    resource: Callable[[str], Any] = _undeclared
    """Gives the options of a declared resource (``sql.orders``) as it runs at that moment; before it runs, as the
    configuration declares it. Called in the host's event loop. Raises :class:`OutsideError` where there is none."""


class Discoverer(ABC):
    """Finds artifacts somewhere: a folder, a database, a list on a server."""

    name: str
    alone: bool = False
    """Whether each of its artifacts stands for itself: one that is refused keeps no other one from being taken. Else
    what has changed between two scans is taken as a whole or not at all."""

    @abstractmethod
    async def scan(self) -> Snapshot:
        """Return everything that is there now, whole. Raises :class:`OutsideError`; then nothing changes."""

    @abstractmethod
    async def wait(self) -> None:
        """Return when something may have changed and has settled, so that a scan sees whole files."""

    @abstractmethod
    async def restore(self, name: str, content: bytes | None) -> bool:
        """After a rollback: make the place hold ``content`` for ``name`` (None: nothing) again.

        Returns False where that cannot be done; the host then ignores the bytes that lie there until they change.
        """


@dataclass(frozen=True, slots=True)
class DiscovererKind(Generic[Options]):
    """A type of discoverer: ``name`` is the ``type`` of ``[discoverers.NAME]``, ``options`` the struct of its own keys.

    ``create`` gets the options, NAME and the context. It must not connect to anything.
    """

    name: str
    options: type[Options]
    create: Callable[[Options, str, DiscovererContext], Discoverer]


@dataclass(frozen=True, slots=True)
class Notice:
    """What a lifecycle hook is told of one generation."""

    generation: int
    reason: str
    """``start``, ``change`` or ``rollback``"""
    changes: Mapping[str, str]
    """By artifact name: ``added``, ``changed``, ``reloaded`` (a library of it changed) or ``deleted``."""
    faults: Mapping[str, Fault]
    """By artifact name, why it was refused."""
    seconds: Mapping[str, float]
    """How long each step took: ``check``, ``prepare``, ``commit``."""
