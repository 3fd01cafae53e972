"""The keys of ``trimtab.toml``, declared once: parsing, defaults, checks and documentation all come from here."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Protocol

import msgspec
from msgspec import Meta, inspect

from trimtab.api import Codec, DiscovererKind, ResourceKind, ScriptEngine, SinkKind, SourceKind
from trimtab.configuration.address import EXPECTED as EXPECTED_ADDRESS
from trimtab.configuration.address import parse_address
from trimtab.configuration.checking import describe, key_path, show
from trimtab.durations import Duration, check_positive_duration
from trimtab.engine.state import DEFAULT_VALUE_LIMIT

SECTIONS = (
    "breaker",
    "checkpoints",
    "discoverers",
    "host",
    "journal",
    "resources",
    "sandbox",
    "settings",
    "sinks",
    "sources",
)
DEFAULT_CODEC = "json"

_MAX_LANES = 256

Fsync = Literal["always", "interval", "never"]
Text = Annotated[str, Meta(min_length=1)]
Field = Annotated[Text, Meta(extra={"expected": 'a field of the event such as "vehicle_id" or "position.time"'})]


class Kinds(Protocol):
    """What plugins add to the configuration. ``Plugins`` is one."""

    def source_kinds(self) -> Mapping[str, SourceKind[Any]]:
        """The types of sources, by name."""

    def sink_kinds(self) -> Mapping[str, SinkKind[Any]]:
        """The types of sinks, by name."""

    def codecs(self) -> Mapping[str, Codec]:
        """The codecs, by name."""

    def resource_kinds(self) -> Mapping[str, ResourceKind[Any]]:
        """The types of resources, by name."""

    def discoverer_kinds(self) -> Mapping[str, DiscovererKind[Any]]:
        """The types of discoverers, by name."""

    def script_engines(self) -> tuple[ScriptEngine, ...]:
        """The script engines."""


def cpu_count() -> int:
    """The number of CPUs that this process may use, but not more than there may be lanes."""
    return min(len(os.sched_getaffinity(0)), _MAX_LANES)


class HostKeys(msgspec.Struct, frozen=True):
    """``[host]``"""

    scripts: Annotated[
        Text | Annotated[list[Text], Meta(min_length=1)],
        Meta(
            description="The watched folders. Relative to the configuration file.",
            extra={"expected": "a folder or a list of folders"},
        ),
    ] = "scripts"
    state: Annotated[
        Text,
        Meta(
            description="Where versions, history and dead letters are kept. Relative to the configuration file.",
            extra={"expected": "a folder"},
        ),
    ] = ".trimtab"
    lanes: Annotated[
        int,
        Meta(ge=1, le=_MAX_LANES, description="Worker processes.", extra={"default": "the number of CPUs"}),
    ] = msgspec.field(default_factory=cpu_count)
    listen: Annotated[
        str,
        Meta(
            description="Where the control API, the admin page and HTTP sources are served; port 0 takes a free one. "
            "Beyond loopback every HTTP source needs a token.",
            extra={"expected": EXPECTED_ADDRESS, "check": parse_address},
        ),
    ] = "127.0.0.1:8471"


Seconds = Annotated[Duration, Meta(extra={"check": check_positive_duration})]


class BreakerKeys(msgspec.Struct, frozen=True):
    """``[breaker]``: of each script, and of each resource."""

    window: Annotated[Seconds, Meta(description="The calls and events of that last time count.")] = "20s"
    failures: Annotated[
        float, Meta(gt=0, le=1, description="It opens when that share of them has failed because of the outside.")
    ] = 0.5
    minimum: Annotated[int, Meta(ge=1, description="It opens when at least so many of them have failed.")] = 10
    pause: Annotated[
        Seconds,
        Meta(
            description="How long it stays open until one is tried again; the pause doubles, up to a minute, until "
            "one succeeds."
        ),
    ] = "5s"


class CheckpointKeys(msgspec.Struct, frozen=True):
    """``[checkpoints]``"""

    interval: Annotated[
        Duration,
        Meta(
            description="The time between two checkpoints: what is handled again after a crash of the host.",
            extra={"check": check_positive_duration},
        ),
    ] = "2s"


class JournalKeys(msgspec.Struct, frozen=True):
    """``[journal]``"""

    fsync: Annotated[
        Fsync,
        Meta(
            description="When events that were accepted are on the disk: before their sender is told so, within a "
            "second, or when the system gets to it.",
        ),
    ] = "always"


class SourceKeys(msgspec.Struct, frozen=True):
    """``[sources.NAME]``: the keys of every type of source."""

    type: Annotated[Text, Meta(description="What kind of source it is.")]
    key: Annotated[
        Field | None,
        Meta(
            description="The field that routes events to lanes and keys their state. Without it, any lane takes any "
            "event.",
        ),
    ] = None
    timestamp: Annotated[
        Field | None,
        Meta(description="The field that holds the event time, in ms since the epoch. Without it, arrival time."),
    ] = None
    lateness: Annotated[
        Duration, Meta(description="How far events may be out of order: the watermark stays that far behind.")
    ] = "0s"
    codec: Annotated[Text, Meta(description="How the bytes of a record become an event.")] = DEFAULT_CODEC


class SinkKeys(msgspec.Struct, frozen=True):
    """``[sinks.NAME]``: the keys of every type of sink."""

    type: Annotated[Text, Meta(description="What kind of sink it is.")]


class DiscovererKeys(msgspec.Struct, frozen=True):
    """``[discoverers.NAME]``: the keys of every type of discoverer."""

    type: Annotated[Text, Meta(description="What kind of discoverer it is.")]


class SandboxKeys(msgspec.Struct, frozen=True):
    """``[sandbox]``"""

    resources: Annotated[
        Literal["declared", "any"] | None,
        Meta(
            description="What scripts may reach: what the configuration declares and nothing else, or any address.",
            extra={
                "default": '"declared" for JavaScript, and for Python where lanes are confined; "any" for Lofka mode'
            },
        ),
    ] = None
    state_value: Annotated[
        int, Meta(ge=1, le=1 << 30, description="Bytes that one value of `state` may take as JSON.")
    ] = DEFAULT_VALUE_LIMIT
    reads: Annotated[
        list[Text],
        Meta(
            description="Files and folders that Python scripts read, beside those that resources name. Relative to the "
            "configuration file.",
            extra={"expected": "a list of files and folders", "default": "none"},
        ),
    ] = []
    writes: Annotated[
        list[Text],
        Meta(
            description="Files and folders that Python scripts write and read, likewise.",
            extra={"expected": "a list of files and folders", "default": "none"},
        ),
    ] = []
    require: Annotated[bool, Meta(description="Refuse to start where lanes cannot be confined.")] = False


@dataclass(frozen=True, slots=True)
class KeyReference:
    """One key of the configuration, as its documentation needs it."""

    path: str
    """``sources.NAME.path``"""
    kind: str | None
    """Only sources or sinks of this type have the key; None: all have it."""
    type: str
    default: str | None
    """As text; None: the key must be given."""
    description: str


def reference(kinds: Kinds) -> Iterator[KeyReference]:
    """Yield every key that a configuration may have. ``settings`` are free and yield none."""
    yield from _keys("host", None, HostKeys)
    yield from _keys("breaker", None, BreakerKeys)
    yield from _keys("checkpoints", None, CheckpointKeys)
    yield from _keys("journal", None, JournalKeys)
    yield from _keys("sandbox", None, SandboxKeys)
    yield from _keys("sources.NAME", None, SourceKeys)
    for name, source in sorted(kinds.source_kinds().items()):
        yield from _keys("sources.NAME", name, source.options)
    yield from _keys("sinks.NAME", None, SinkKeys)
    for name, sink in sorted(kinds.sink_kinds().items()):
        yield from _keys("sinks.NAME", name, sink.options)
    for name, resource in sorted(kinds.resource_kinds().items()):
        yield from _keys(f"resources.{name}.NAME", None, resource.options)
    yield from _keys("discoverers.NAME", None, DiscovererKeys)
    for name, discoverer in sorted(kinds.discoverer_kinds().items()):
        yield from _keys("discoverers.NAME", name, discoverer.options)


def _keys(section: str, kind: str | None, struct: type[msgspec.Struct]) -> Iterator[KeyReference]:
    for field in msgspec.structs.fields(struct):
        notes = _notes(field.type)
        yield KeyReference(
            path=key_path(section, field.encode_name),
            kind=kind,
            type=describe(field.type),
            default=None if field.required else notes.get("default") or _shown_default(field),
            description=notes.get("description", ""),
        )


def _shown_default(field: msgspec.structs.FieldInfo) -> str:
    factory = field.default_factory
    default = factory() if callable(factory) else field.default
    return "none" if default is None else show(default)


def _notes(annotation: Any) -> dict[str, Any]:
    info = inspect.type_info(annotation)
    if not isinstance(info, inspect.Metadata):
        return {}
    return {**(info.extra_json_schema or {}), **(info.extra or {})}
