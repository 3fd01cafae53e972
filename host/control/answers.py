"""What the control API answers, for its OpenAPI document: the shapes of what :mod:`views` and the host put together."""

from __future__ import annotations

from typing import Any, Literal, NotRequired, TypedDict

import msgspec

from trimtab.artifacts.records import GenerationRecord, Kind, Reason, Version, VersionRecord
from trimtab.engine.breaker import State as Breaker
from trimtab.errors import Fault
from trimtab.runtime.checkpointer import CheckpointStatus
from trimtab.runtime.dead_letters import Kind as LetterKind
from trimtab.runtime.dead_letters import Number
from trimtab.runtime.ingest import SourceStatus
from trimtab.runtime.sinks import SinkStatus


class ErrorBody(TypedDict):
    """What went wrong. ``faults``: by name of the artifact."""

    message: str
    faults: NotRequired[dict[str, Fault]]


class Error(TypedDict):
    """Every answer but a good one."""

    error: ErrorBody


class Health(TypedDict):
    """``GET /healthz``."""

    status: Literal["ok"]


class History(TypedDict):
    """``GET /api/history``. ``versions`` only where a name was asked for."""

    versions: NotRequired[list[VersionRecord]]
    generations: list[GenerationRecord]


class Shown(Version, frozen=True):
    """``GET /api/show``: a version with its bytes, as text or in base64."""

    content: str
    content_encoding: Literal["base64"] | msgspec.UnsetType = msgspec.UNSET


class Diff(TypedDict):
    """``GET /api/diff``."""

    a: Version | None
    b: Version | None
    lines: list[str]


class RolledBack(TypedDict):
    """``POST /api/rollback``: the generation that was committed."""

    generation: int
    reason: Reason
    changes: dict[str, Kind]
    faults: dict[str, Fault]
    seconds: dict[str, float]


class Letter(TypedDict):
    """One dead letter; its payload as text or in base64."""

    id: Number
    kind: LetterKind
    payload: str
    payload_encoding: NotRequired[Literal["base64"]]
    source: str
    partition: str
    position: int
    event_id: str
    key: Any
    script: str | None
    version: str | None
    generation: Number
    fault: Fault
    at: int
    tries: Number
    sink: str | None


class Purged(TypedDict):
    """``POST /api/dead-letters/purge``."""

    purged: Number


# --- status ---


class ArtifactStatus(TypedDict):
    """One artifact."""

    seq: int | None
    version: str | None
    state: Literal["active", "rejected", "rolled-back"]
    error: str | None


class ScriptStatus(ArtifactStatus):
    """One script."""

    name: str
    handled: Number
    failed: Number
    retried: Number
    breaker: Breaker
    p50_us: float
    p99_us: float


class RulesStatus(TypedDict):
    """All rules together; ``errors``: why the first of those that were refused were, by name."""

    running: Number
    rolled_back: Number
    refused: Number
    errors: dict[str, str]


class RuleStatus(ArtifactStatus):
    """One rule. ``bound_keys``: how many keys and wildcards it is bound to; None: to every key."""

    name: str
    bound_keys: int | None
    open: Number
    matches: Number
    timeouts: Number
    condition_errors: Number
    last_condition_error: str | None
    stopped: Number
    p50_us: float
    p99_us: float


class Calls(TypedDict):
    """Calls to a resource."""

    calls: Number
    failed: Number
    p50_us: float
    p99_us: float


class ResourceStatus(ArtifactStatus):
    """One resource; ``scripts``: the calls of each."""

    calls: Number
    failed: Number
    p50_us: float
    p99_us: float
    breaker: Breaker
    scripts: dict[str, Calls]


class DiscovererStatus(TypedDict):
    """One discoverer."""

    error: str | None


class LaneStatus(TypedDict):
    """One lane."""

    pid: int | None
    state: str
    restarts: Number
    generation: Number


class Status(TypedDict):
    """``GET /api/status``."""

    running: bool
    generation: Number
    uptime_s: float | None
    scripts: list[ScriptStatus]
    rules: RulesStatus
    sources: dict[str, SourceStatus]
    sinks: dict[str, SinkStatus]
    resources: dict[str, ResourceStatus]
    settings: dict[str, ArtifactStatus]
    discoverers: dict[str, DiscovererStatus]
    lanes: list[LaneStatus]
    checkpoint: CheckpointStatus
    dead_letters: Number
