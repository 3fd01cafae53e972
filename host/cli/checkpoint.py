"""``trimtab checkpoint``: read from the database, whether a host runs or not."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from trimtab.api import Position
from trimtab.cli.output import moment, print_json, print_table, short
from trimtab.cli.project import open_project
from trimtab.engine.state import TIMER, VERSION, StateRow, Timer
from trimtab.errors import StateError, TrimtabError, UsageError
from trimtab.runtime.checkpoints import FILE_NAME, KEPT, Checkpoint, CheckpointStore, ScriptState

_decode_timer = msgspec.json.Decoder(Timer).decode


class NamedTimer(Timer, frozen=True, kw_only=True):
    """A timer of a key, with its name."""

    name: str


class KeyState(msgspec.Struct):
    """The state of one key in one script."""

    version: str | None = None
    """The full hash of the version that has written it last."""
    values: dict[str, msgspec.Raw] = {}
    expires: dict[str, int] = {}
    """When values expire that do, in ms since the epoch."""
    timers: list[NamedTimer] = []


def show_list(config: Path, *, limit: int, as_json: bool) -> int:
    """Print the newest checkpoints."""
    with _store(config) as store:
        found = store.list(limit)
    if as_json:
        print_json({"checkpoints": found})
    else:
        columns = ("id", "at", "generation", "reason", "seconds", "changed")
        rows = ((c.id, moment(c.at), c.generation, c.reason, f"{c.seconds:.3f}", c.changed) for c in found)
        print_table(columns, rows, empty="")
    return 0


def inspect(config: Path, checkpoint_id: int | None, *, as_json: bool) -> int:
    """Print one checkpoint, the latest by default. Raises :class:`UsageError` for an id that is not kept."""
    with _store(config) as store, store.snapshot():
        checkpoint = _chosen(store, checkpoint_id)
        is_latest = checkpoint == store.latest()
        state = store.summary() if is_latest else None
    if as_json:
        print_json({"checkpoint": checkpoint, "state": state})
    else:
        _print_checkpoint(checkpoint)
        _print_scripts(checkpoint, state)
    return 0


def state(config: Path, key: str, script: str | None, *, as_json: bool) -> int:
    """Print the state of a key. Raises :class:`TrimtabError` where it has none."""
    with _store(config) as store, store.snapshot():
        for text in _readings(key):
            if rows := store.state_of(text, script):
                break
        else:
            raise TrimtabError(_without_state(key, script, store.summary()))
    states = {name: _key_state(group) for name, group in itertools.groupby(rows, lambda row: row.script)}
    if as_json:
        print_json({"key": msgspec.Raw(rows[0].key.encode()), "scripts": states})
    else:
        for name, found in states.items():
            _print_state(name, found)
    return 0


@contextlib.contextmanager
def _store(config: Path) -> Iterator[CheckpointStore]:
    """The store. Raises :class:`StateError` where there is no checkpoint yet."""
    path = open_project(config).state / FILE_NAME
    missing = f"expected a checkpoint of a host that has run, got none in {path.parent}; trimtab run takes them"
    if not path.exists():
        raise StateError(missing)
    with contextlib.closing(CheckpointStore(path)) as store:
        if store.latest() is None:
            raise StateError(missing)
        yield store


def _chosen(store: CheckpointStore, checkpoint_id: int | None) -> Checkpoint:
    found = store.latest() if checkpoint_id is None else store.get(checkpoint_id)
    if found is None:
        kept = [each.id for each in store.list(KEPT)]
        raise UsageError(f"expected the id of a checkpoint from {kept[-1]} to {kept[0]}, got {checkpoint_id}")
    return found


def _readings(key: str) -> Iterator[str]:
    """What a key may be that somebody has typed, as JSON text: JSON first, because text can be typed with quotes."""
    with contextlib.suppress(msgspec.DecodeError):
        yield msgspec.json.encode(msgspec.json.decode(key)).decode()
    yield msgspec.json.encode(key).decode()


def _without_state(key: str, script: str | None, summary: Mapping[str, ScriptState]) -> str:
    where = "" if script is None else f" in {script}"
    there = ", ".join(f"{found.keys} in {name}" for name, found in summary.items()) or "none"
    return f"expected a key that has state{where}, got {key!r}; keys that have: {there}"


def _key_state(rows: Iterable[StateRow]) -> KeyState:
    state = KeyState()
    for row in rows:
        value = row.value or b"null"
        if row.name == VERSION:
            state.version = msgspec.json.decode(value, type=str)
        elif row.name.startswith(TIMER):
            timer = _decode_timer(value)
            name = row.name.removeprefix(TIMER)
            state.timers.append(NamedTimer(timer.at, timer.time, timer.source, timer.data, name=name))
        else:
            state.values[row.name] = msgspec.Raw(value)
            if row.expires is not None:
                state.expires[row.name] = row.expires
    return state


# --- for people ---


def _print_checkpoint(checkpoint: Checkpoint) -> None:
    print(f"checkpoint {checkpoint.id} ({checkpoint.reason}), {moment(checkpoint.at)}")
    print(f"generation {checkpoint.generation}, {checkpoint.changed} rows changed in {checkpoint.seconds:.3f} s\n")
    names = sorted({*checkpoint.sources, *checkpoint.watermarks})
    rows = [_source_row(name, checkpoint.sources.get(name), checkpoint.watermarks.get(name)) for name in names]
    print_table(("source", "partition", "next", "noted", "watermark"), rows, empty="no sources")


def _source_row(name: str, position: Position | None, watermark: int | None) -> Sequence[object]:
    where = (None, None, None) if position is None else (position.partition, position.next, _text(position.noted))
    return (name, *where, _when(watermark))


def _print_scripts(checkpoint: Checkpoint, state: Mapping[str, ScriptState] | None) -> None:
    known = state or {}
    rows = [
        (name, short(checkpoint.versions.get(name)), *(msgspec.structs.astuple(known[name]) if name in known else ()))
        for name in sorted({*checkpoint.versions, *known})
    ]
    print_table(("script", "version", "keys", "values", "bytes", "timers"), rows, empty="no scripts")
    if state is None:
        print("only the latest checkpoint has its state kept")


def _print_state(script: str, state: KeyState) -> None:
    print(f"{script}, version {short(state.version) or 'unknown'}\n")
    values = [(name, bytes(value).decode(), _when(state.expires.get(name))) for name, value in state.values.items()]
    print_table(("name", "value", "expires"), values, empty="no values")
    if state.timers:
        timers = [(each.name, _when(each.at), each.time, each.source, _text(each.data)) for each in state.timers]
        print_table(("timer", "at", "time", "source", "data"), timers, empty="")


def _text(value: Any) -> str | None:
    return None if value is None else msgspec.json.encode(value).decode()


def _when(at: int | None) -> str | None:
    """A time that comes from events: where it is none that a calendar has, as it is."""
    if at is None:
        return None
    try:
        return moment(at)
    except (ValueError, OverflowError, OSError):
        return str(at)
