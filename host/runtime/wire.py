"""What the host and its lanes say to each other: length-prefixed MessagePack frames over a Unix socket."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

import msgspec

from trimtab.engine.batch import Batch, SourceSpec
from trimtab.engine.breaker import BreakerSettings
from trimtab.engine.engine import LoadedScript, Plan
from trimtab.engine.result import BatchResult
from trimtab.engine.state import DEFAULT_VALUE_LIMIT, DueTimer, StateRow
from trimtab.errors import Fault

HEADER = struct.Struct("!I")


class Setup(msgspec.Struct):
    """What every lane needs to know and no generation changes."""

    sources: dict[str, SourceSpec]
    sinks: list[str]
    folder: str
    """Of the configuration file: relative paths in the options of resources start here."""
    roots: list[str]
    cache: str
    """Folder for what is costly to compute and can be computed again."""
    memory: int
    """Bytes that the scripts of one lane may take."""
    confined: bool | None
    """See :class:`ScriptHost`."""
    breaker: BreakerSettings = BreakerSettings()
    state_value: int = DEFAULT_VALUE_LIMIT
    """Bytes that one value of the state may take as JSON."""
    modules: list[str] = []
    """What the resources that are declared at the start import: it is imported once for all workers."""


# --- to a lane ---------------------------------------------------------------------------------------------


class Check(msgspec.Struct, tag=True):
    """Load what the plan loads and say what came of it. Answer: :class:`Checked`."""

    plan: Plan


class Prepare(msgspec.Struct, tag=True):
    """Build the next generation beside the running one. Answer: :class:`Prepared` or :class:`Refused`."""

    plan: Plan


class Commit(msgspec.Struct, tag=True):
    """Switch to the prepared generation. Answer: :class:`Committed`."""

    generation: int


class State(msgspec.Struct, tag=True):
    """State of the lane's keys, for a process that starts. Comes before :class:`Restore`, in parts."""

    rows: list[StateRow]


class Restore(msgspec.Struct, tag=True):
    """Load and switch to a generation that was committed before.

    Answers: :class:`Entering` for each script, then :class:`Committed`.
    """

    plan: Plan
    broken: dict[str, Fault]
    """Scripts that took lanes down while they were opened: not to be tried."""
    versions: dict[str, str] = {}
    """The versions of scripts that have left the state, where others may run now."""
    clocks: dict[str, int] = {}
    """How far event time had come in the lane, by source, in ms."""
    earlier: dict[str, Sequence[bytes | None]] = {}
    """The documents of rules that ran when the state was stored and since, oldest first; None: no rule ran."""


class Hold(msgspec.Struct, tag=True):
    """Have rules wait for events that were handled before, until their event time has come."""

    batch: Batch


class Abort(msgspec.Struct, tag=True):
    """Drop the prepared generation."""


class Replay(msgspec.Struct, tag=True):
    """Hand a batch to one version of a script. Answer: :class:`Done`."""

    batch: Batch
    script: str
    source: bytes


class Stop(msgspec.Struct, tag=True):
    """Close every script and end. Answer: :class:`Closed` for each, then the end of the stream."""


# --- from a lane -------------------------------------------------------------------------------------------


class Checked(msgspec.Struct, tag=True):
    """Which scripts could be loaded, and which could not."""

    loaded: dict[str, LoadedScript]
    faults: dict[str, Fault]


class Prepared(msgspec.Struct, tag=True):
    """The generation is ready to be committed."""

    generation: int


class Refused(msgspec.Struct, tag=True):
    """The generation cannot run: why, by script."""

    generation: int
    faults: dict[str, Fault]


class Committed(msgspec.Struct, tag=True):
    """The lane runs this generation. ``faults``: scripts that could not be restored."""

    generation: int
    faults: dict[str, Fault]
    changes: list[StateRow] = []
    """What is different in the state."""


class Started(msgspec.Struct, tag=True):
    """The events of a batch are in flight; the lane can take more meanwhile."""

    batch: int


class Done(msgspec.Struct, tag=True):
    """A batch was handled."""

    batch: int
    result: BatchResult
    busy: int
    """Nanoseconds it took."""


class Entering(msgspec.Struct, tag=True):
    """The lane is about to open this script again, or to run it on an isolated batch, or on one timer of such."""

    script: str
    timer: DueTimer | None = None


class Closed(msgspec.Struct, tag=True):
    """An old version of a script was closed."""

    script: str
    version: str
    fault: Fault | None


class Logged(msgspec.Struct, tag=True):
    """Scripts have logged something."""

    entries: bytes
    """A list of :class:`LogEntry` as JSON text, which holds any number."""


class Recycling(msgspec.Struct, tag=True):
    """The lane ends by itself after this message, to be started afresh."""

    reason: str


ToLane = Check | Prepare | Commit | State | Restore | Hold | Abort | Batch | Replay | Stop
FromLane = Checked | Prepared | Refused | Committed | Started | Done | Entering | Closed | Logged | Recycling

_encoder = msgspec.msgpack.Encoder()
_to_lane: msgspec.msgpack.Decoder[ToLane] = msgspec.msgpack.Decoder(ToLane)
_from_lane: msgspec.msgpack.Decoder[FromLane] = msgspec.msgpack.Decoder(FromLane)


def encode(message: Any) -> bytes:
    """Return the message as one frame."""
    body = _encoder.encode(message)
    return HEADER.pack(len(body)) + body


def decode_to_lane(body: bytes) -> ToLane:
    """Read the body of a frame sent to a lane."""
    return _to_lane.decode(body)


def decode_from_lane(body: bytes) -> FromLane:
    """Read the body of a frame sent by a lane."""
    return _from_lane.decode(body)
