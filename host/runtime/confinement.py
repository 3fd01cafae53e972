"""What the lanes of a host are confined to: the host's side of ``trimtab.sandbox.confinement``."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from trimtab.api import CallError
from trimtab.artifacts.names import artifact_name
from trimtab.config import Config, Kinds, expand
from trimtab.engine.engine import Plan
from trimtab.engine.reach import ANYWHERE, Reach
from trimtab.errors import ConfigurationError, Problem
from trimtab.sandbox.confinement import missing


class Confinement:
    """What every process that runs scripts may reach. A process cannot be let out again, but replaced by another one.

    ``reach``: for the processes that are started next; None: this machine cannot confine them. Once the host runs, it
    only grows: what a generation no longer needs is closed with the next start.
    """

    def __init__(self, config: Config, kinds: Kinds) -> None:
        self._config, self._kinds = config, kinds
        self.reach = self._always() if missing() is None else None

    def with_plan(self, plan: Plan) -> Reach | None:
        """Return what a process may reach that is to try a plan."""
        return None if self.reach is None else self.reach | self._needs(plan)

    def widen(self, plan: Plan) -> None:
        """Let processes that are started from now on reach what a plan needs as well."""
        self.reach = self.with_plan(plan)

    def _always(self) -> Reach:
        cache = self._config.state / "cache"
        with suppress(OSError):  # without it, what it would hold is computed again
            cache.mkdir(exist_ok=True)
        scripts = {str(path) for root in self._config.scripts for path in (root, root / "node_modules")}
        own = Reach(reads=frozenset(scripts), writes=frozenset({str(cache)})) | self._config.files
        own |= declared_reach(configured_resources(self._config), self._kinds, self._config.folder)
        return own | ANYWHERE if self._config.confined is False else own

    def _needs(self, plan: Plan) -> Reach:
        needs = declared_reach(plan.resources, self._kinds, self._config.folder)
        if self._config.confined is None:
            suffixes = {suffix: engine for engine in self._kinds.script_engines() for suffix in engine.suffixes}
            for name, source in plan.upserts.items():
                engine = suffixes.get(Path(name).suffix)
                needs |= engine.reaches(name, source) if engine else Reach()
        return needs


def configured_resources(config: Config) -> dict[str, dict[str, Any]]:
    """Return the options of the resources of a configuration, by name, with the environment variables put in."""
    return {name: expand(source, artifact_name(name)) for name, source in config.resources.items()}


def declared_reach(resources: Mapping[str, Mapping[str, Any] | None], kinds: Kinds, folder: Path) -> Reach:
    """Return what some resources need, given their options by name. Options that are not valid need nothing."""
    reach = Reach()
    for name, options in resources.items():
        kind = kinds.resource_kinds().get(name.partition(".")[0])
        if kind is not None and options is not None:
            with suppress(CallError, ValueError):  # what is wrong with them is said when they are made
                reach |= kind.reaches(msgspec.convert(options, kind.options), folder)
    return reach


def require(config: Config) -> None:
    """Raise :class:`ConfigurationError` where lanes must be confined and cannot be."""
    lacks = missing()
    if config.must_confine and lacks is not None:
        raise ConfigurationError(
            [Problem("sandbox.require", "lanes that are confined", f"a machine that cannot: {lacks}")]
        )
