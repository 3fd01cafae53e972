"""Rollbacks while no host runs: the same road as in a running host, without lanes."""

from __future__ import annotations

import asyncio
from pathlib import Path

from trimtab.api import Notice
from trimtab.artifacts.store import ArtifactStore
from trimtab.config import expand, load
from trimtab.deploy.deployer import Deployer
from trimtab.deploy.discoverers import find_discoverers
from trimtab.engine.engine import LoadedScript, Plan
from trimtab.errors import Fault
from trimtab.plugin_manager import Plugins


class StoppedHost:
    """The versions of a host that does not run. The caller holds its state folder."""

    def __init__(self, store: ArtifactStore, config_path: Path) -> None:
        """Read the configuration, which tells where artifacts lie. Raises :class:`ConfigurationError`."""
        plugins = Plugins.load()
        self._discoverers = find_discoverers(load(config_path, plugins), plugins)
        self._deployer = Deployer(store, _NoLanes(), expand, _tell_nobody)

    def rollback(self, name: str, to: str | None) -> Notice:
        """Make another version of an artifact the one that runs next, and put its bytes back where they come from.

        ``to`` None: the version before. Raises :class:`UsageError`.
        """
        return asyncio.run(self._deployer.rollback(name, to, self._discoverers))

    def rollback_generation(self, number: int) -> Notice:
        """Make everything as it was in a generation. Raises :class:`UsageError`."""
        return asyncio.run(self._deployer.rollback_generation(number, self._discoverers))


class _NoLanes:
    """Takes every plan: what ran before is not tried again until the next start."""

    async def check(self, plan: Plan) -> tuple[dict[str, LoadedScript], dict[str, Fault]]:  # noqa: ARG002
        return {}, {}

    async def prepare(self, plan: Plan) -> None:
        """Nothing has to be built."""

    async def commit(self, plan: Plan) -> None:
        """Nothing has to be switched."""

    def unrestored(self) -> set[str]:
        """No lane runs."""
        return set()


def _tell_nobody(_hook: str, _notice: Notice) -> None:
    """Observers live in the host."""
