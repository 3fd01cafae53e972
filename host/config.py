"""``trimtab.toml``: what the operator says about sources, sinks, resources and settings."""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from trimtab.api import Codec, DiscovererKind, ResourceKind, SinkKind, SourceKind
from trimtab.configuration.address import Address, parse_address
from trimtab.configuration.checking import Problems, key_path, names, one_of, read, refuse_unknown, shorten, show, table
from trimtab.configuration.schema import (
    DEFAULT_CODEC,
    SECTIONS,
    BreakerKeys,
    CheckpointKeys,
    DiscovererKeys,
    Fsync,
    HostKeys,
    JournalKeys,
    KeyReference,
    Kinds,
    SandboxKeys,
    SinkKeys,
    SourceKeys,
    reference,
)
from trimtab.configuration.settings import encode, expand
from trimtab.configuration.variables import Masker, Variables, masker
from trimtab.durations import parse_duration
from trimtab.engine.breaker import BreakerSettings
from trimtab.engine.reach import Reach
from trimtab.errors import ConfigurationError, Problem

__all__ = [
    "Address",
    "Config",
    "DiscovererConfig",
    "KeyReference",
    "Kinds",
    "SinkConfig",
    "SourceConfig",
    "expand",
    "load",
    "reference",
]

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
_ARTIFACT_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]*")
"""Of resources and discoverers: it becomes part of the name of an artifact."""
_TOML_PLACE = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)")

Thing = TypeVar("Thing")


@dataclass(frozen=True, slots=True)
class SourceConfig:
    """One ``[sources.NAME]``. ``lateness`` in seconds."""

    name: str
    kind: SourceKind[Any]
    options: msgspec.Struct
    key: str | None
    timestamp: str | None
    lateness: float
    codec: Codec


@dataclass(frozen=True, slots=True)
class SinkConfig:
    """One ``[sinks.NAME]``."""

    name: str
    kind: SinkKind[Any]
    options: msgspec.Struct


@dataclass(frozen=True, slots=True)
class DiscovererConfig:
    """One ``[discoverers.NAME]``."""

    name: str
    kind: DiscovererKind[Any]
    options: msgspec.Struct


@dataclass(frozen=True)
class Config:
    """A configuration that was read and checked. Two are equal if they say the same. Paths are absolute."""

    path: Path
    folder: Path
    scripts: tuple[Path, ...]
    state: Path
    lanes: int
    listen: Address
    sources: Mapping[str, SourceConfig]
    sinks: Mapping[str, SinkConfig]
    discoverers: Mapping[str, DiscovererConfig]
    confined: bool | None
    """Whether scripts reach only what is declared; None: as their language has it."""
    files: Reach
    """What scripts may read and write beside what the resources need."""
    must_confine: bool
    """Whether the host does not start where lanes cannot be confined."""
    resources: Mapping[str, bytes]
    """``[resources.KIND.NAME]`` by name such as ``sql.orders``: each as JSON with sorted keys, with ``${NAME}`` as
    written, so safe to store and to show."""
    modules: frozenset[str]
    """What the resources import; see :class:`ResourceKind`."""
    breaker: BreakerSettings
    checkpoint_interval: float
    """Seconds."""
    state_value: int
    """Bytes that one value of the state may take."""
    fsync: Fsync
    """When the journal is on the disk; see :class:`Journal`."""
    settings: bytes
    """``[settings]``, likewise."""
    secrets: frozenset[str]
    """What stands in the place of ``${NAME}`` anywhere in the file."""
    mask: Masker = field(compare=False)
    """Puts ``***`` in the place of the secrets."""


def load(path: Path, kinds: Kinds) -> Config:
    """Read a configuration file. Raises :class:`ConfigurationError` with everything that is wrong with it.

    ``kinds``: the types of sources and sinks and the codecs that there are.
    """
    problems = Problems()
    variables = Variables(problems)
    try:
        config = _Reader(path.absolute(), kinds, problems, variables).read(_parse(path))
    except RecursionError:
        problem = Problem(str(path), "values that are nested less deeply", "hundreds of levels; make it flatter")
        raise ConfigurationError([problem]) from None
    if problems:
        mask = masker(variables.values)
        raise ConfigurationError([Problem(p.path, p.expected, shorten(mask(p.got))) for p in problems])
    return config


def _parse(path: Path) -> dict[str, Any]:
    """Read a TOML file, or raise a :class:`ConfigurationError` with the line where it is none."""
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        problem = Problem(str(path), "a configuration file", "nothing there; create one with: trimtab init")
    except UnicodeDecodeError as error:
        problem = Problem(str(path), "a file in UTF-8", f"the byte 0x{error.object[error.start]:02x} at {error.start}")
    except OSError as error:
        problem = Problem(str(path), "a file that can be read", f"the error: {error.strerror}")
    except tomllib.TOMLDecodeError as error:
        place = _TOML_PLACE.search(str(error))
        where = f"{path}:{place[1]}:{place[2]}" if place and place[1] else str(path)
        problem = Problem(where, "valid TOML", f"the error: {_TOML_PLACE.sub('', str(error))}")
    except ValueError:  # the parser lets this one through
        problem = Problem(str(path), f"numbers of at most {sys.get_int_max_str_digits()} digits", "a longer one")
    raise ConfigurationError([problem])


class _Reader:
    """Reads one file; what is wrong goes to ``problems``."""

    def __init__(self, path: Path, kinds: Kinds, problems: Problems, variables: Variables) -> None:
        self._path = path
        self._kinds = kinds
        self._problems = problems
        self._variables = variables
        self._modules: set[str] = set()

    def read(self, tree: dict[str, Any]) -> Config:
        """Return the configuration; it is of use only if there was no problem."""
        refuse_unknown(tree, SECTIONS, "", self._problems)
        host = self._host(self._section(tree, "host"))
        listen = parse_address(host.listen)
        sandbox = self._sandbox(self._section(tree, "sandbox"))
        return Config(
            path=self._path,
            folder=self._path.parent,
            scripts=self._scripts(host.scripts),
            state=self._path.parent / host.state,
            lanes=host.lanes,
            listen=listen,
            sources=self._sources(self._section(tree, "sources"), listen),
            sinks=self._sinks(self._section(tree, "sinks")),
            discoverers=self._discoverers(self._section(tree, "discoverers")),
            confined=None if sandbox.resources is None else sandbox.resources == "declared",
            files=Reach(reads=self._paths(sandbox.reads), writes=self._paths(sandbox.writes)),
            must_confine=sandbox.require,
            resources=self._resources(tree.get("resources", {})),
            modules=frozenset(self._modules),
            breaker=self._breaker(self._section(tree, "breaker")),
            checkpoint_interval=self._checkpoint_interval(self._section(tree, "checkpoints")),
            state_value=sandbox.state_value,
            fsync=self._fsync(self._section(tree, "journal")),
            settings=self._settings(tree.get("settings", {})),
            secrets=frozenset(self._variables.values),
            mask=Masker(self._variables.values),
        )

    def _section(self, tree: dict[str, Any], name: str) -> dict[str, Any]:
        """A table of the top level, with the variables expanded."""
        return table(self._variables.expand(tree.get(name, {}), name), name, self._problems)

    def _host(self, keys: dict[str, Any]) -> HostKeys:
        refuse_unknown(keys, names(HostKeys), "host", self._problems)
        return read(HostKeys, keys, "host", self._problems) or HostKeys()

    def _scripts(self, value: str | list[str]) -> tuple[Path, ...]:
        written = [value] if isinstance(value, str) else value
        for folder in written:
            came = _what_is_at(self._path.parent / folder)
            if came != "a folder":
                self._problems.add(
                    "host.scripts", "a folder", f"{came} at {folder}; create the folder, or run: trimtab init"
                )
        return tuple(self._path.parent / folder for folder in written)

    def _sources(self, members: dict[str, Any], listen: Address) -> dict[str, SourceConfig]:
        found = {name: self._source(name, path, keys, listen) for name, path, keys in self._tables("sources", members)}
        return {name: source for name, source in found.items() if source is not None}

    def _source(self, name: str, path: str, keys: dict[str, Any], listen: Address) -> SourceConfig | None:
        kind = self._one(self._kinds.source_kinds(), keys.get("type"), key_path(path, "type"))
        codec = self._one(self._kinds.codecs(), keys.get("codec", DEFAULT_CODEC), key_path(path, "codec"))
        common = read(SourceKeys, keys, path, self._problems)
        options = self._options(kind.options, SourceKeys, keys, path) if kind else None
        if options is not None and not listen.is_loopback:
            self._require_token(options, path, listen)
        if kind is None or codec is None or common is None or options is None:
            return None
        lateness = parse_duration(common.lateness)
        return SourceConfig(name, kind, options, common.key, common.timestamp, lateness, codec)

    def _sinks(self, members: dict[str, Any]) -> dict[str, SinkConfig]:
        found = {name: self._sink(name, path, keys) for name, path, keys in self._tables("sinks", members)}
        return {name: sink for name, sink in found.items() if sink is not None}

    def _sink(self, name: str, path: str, keys: dict[str, Any]) -> SinkConfig | None:
        kind = self._one(self._kinds.sink_kinds(), keys.get("type"), key_path(path, "type"))
        options = self._options(kind.options, SinkKeys, keys, path) if kind else None
        return SinkConfig(name, kind, options) if kind and options is not None else None

    def _discoverers(self, members: dict[str, Any]) -> dict[str, DiscovererConfig]:
        found = {
            name: self._discoverer(name, path, keys)
            for name, path, keys in self._artifact_tables("discoverers", members)
        }
        return {name: discoverer for name, discoverer in found.items() if discoverer is not None}

    def _discoverer(self, name: str, path: str, keys: dict[str, Any]) -> DiscovererConfig | None:
        kind = self._one(self._kinds.discoverer_kinds(), keys.get("type"), key_path(path, "type"))
        options = self._options(kind.options, DiscovererKeys, keys, path) if kind else None
        return DiscovererConfig(name, kind, options) if kind and options is not None else None

    def _paths(self, written: list[str]) -> frozenset[str]:
        return frozenset(str(self._path.parent / path) for path in written)

    def _sandbox(self, keys: dict[str, Any]) -> SandboxKeys:
        refuse_unknown(keys, names(SandboxKeys), "sandbox", self._problems)
        return read(SandboxKeys, keys, "sandbox", self._problems) or SandboxKeys()

    def _breaker(self, keys: dict[str, Any]) -> BreakerSettings:
        refuse_unknown(keys, names(BreakerKeys), "breaker", self._problems)
        given = read(BreakerKeys, keys, "breaker", self._problems) or BreakerKeys()
        return BreakerSettings(parse_duration(given.window), given.failures, given.minimum, parse_duration(given.pause))

    def _checkpoint_interval(self, keys: dict[str, Any]) -> float:
        refuse_unknown(keys, names(CheckpointKeys), "checkpoints", self._problems)
        return parse_duration((read(CheckpointKeys, keys, "checkpoints", self._problems) or CheckpointKeys()).interval)

    def _fsync(self, keys: dict[str, Any]) -> Fsync:
        refuse_unknown(keys, names(JournalKeys), "journal", self._problems)
        return (read(JournalKeys, keys, "journal", self._problems) or JournalKeys()).fsync

    def _artifact_tables(self, section: str, members: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
        """Like :meth:`_tables`, where the names become parts of artifact names: no script may have the same."""
        suffixes = {suffix for engine in self._kinds.script_engines() for suffix in engine.suffixes}
        for name, path, keys in self._tables(section, members):
            if not _ARTIFACT_NAME.fullmatch(name) or f".{name}" in suffixes:
                expected = "a name of letters, digits, '_' and '-' that is not the ending of a script file"
                self._problems.add(path, expected, show(name))
            yield name, path, keys

    def _tables(self, section: str, members: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
        """Yield the name, the path and the keys of each table in a section."""
        for name, value in members.items():
            path = key_path(section, name)
            if not _NAME.fullmatch(name):
                self._problems.add(path, "a name of letters, digits, '_', '-' and '.'", show(name))
            if isinstance(value, dict):
                yield name, path, value
            else:
                self._problems.add(path, "a table", show(value))

    def _one(self, known: Mapping[str, Thing], name: object, path: str) -> Thing | None:
        """What is known by a name, or None and a problem."""
        thing = known.get(name) if isinstance(name, str) else None
        if thing is None:
            self._problems.add(path, one_of(name, known), show(name))
        return thing

    def _options(
        self, struct: type[msgspec.Struct], common: type[msgspec.Struct], keys: dict[str, Any], path: str
    ) -> msgspec.Struct | None:
        refuse_unknown(keys, names(common) + names(struct), path, self._problems)
        return read(struct, keys, path, self._problems)

    def _require_token(self, options: msgspec.Struct, path: str, listen: Address) -> None:
        """A source that can ask for a token must do so where other machines can reach it."""
        if "token" in names(type(options)) and not getattr(options, "token", None):
            reason = f"because other machines can reach host.listen = {str(listen)!r}"
            self._problems.add(key_path(path, "token"), f'a token such as "${{HOOK_TOKEN}}", {reason}', "nothing")

    def _resources(self, tree: Any) -> dict[str, bytes]:
        kinds = self._kinds.resource_kinds()
        found: dict[str, bytes] = {}
        for kind, section, members in self._tables("resources", table(tree, "resources", self._problems)):
            if kind not in kinds:
                self._problems.add(section, one_of(kind, kinds), show(kind))
                continue
            for name, path, keys in self._artifact_tables(section, members):
                self._check_resource(kinds[kind], path, keys)
                found[f"{kind}.{name}"] = encode(keys, path, self._problems)
        return found

    def _check_resource(self, kind: ResourceKind[Any], path: str, keys: dict[str, Any]) -> None:
        refuse_unknown(keys, names(kind.options), path, self._problems)
        options = read(kind.options, self._variables.expand(keys, path), path, self._problems)
        if options is not None:
            self._modules.update(kind.modules(options))

    def _settings(self, tree: Any) -> bytes:
        settings = table(tree, "settings", self._problems)
        self._variables.expand(settings, "settings")
        return encode(settings, "settings", self._problems)


def _what_is_at(path: Path) -> str:
    try:
        return "a folder" if path.is_dir() else "a file" if path.exists() else "nothing"
    except OSError:  # it cannot be a path: its name is too long, ...
        return "nothing"
