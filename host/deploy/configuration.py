"""Finds the settings and the resources in the configuration file."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import structlog

from trimtab.api import Discoverer, Fault, Snapshot
from trimtab.artifacts.names import SETTINGS, artifact_name
from trimtab.config import Config
from trimtab.errors import ConfigurationError

LOOK_EVERY = 0.2
"""Seconds between two looks at the file."""


class ConfigurationDiscoverer(Discoverer):
    """Watches the configuration file. What else changes in it is told to need a restart.

    ``load`` reads the file and raises :class:`ConfigurationError`.
    """

    name = "configuration"

    def __init__(self, config: Config, load: Callable[[], Config]) -> None:
        self._config = config
        self._load = load
        self._seen = _signature(config.path)
        self._last: dict[str, bytes] = _artifacts(config)
        self._log = structlog.get_logger("trimtab.configuration")

    async def scan(self) -> Snapshot:
        """Return what is in the file now; a file that is not valid refuses its settings, and the rest stays."""
        try:
            config = self._load()
        except ConfigurationError as error:
            stays = {name: content for name, content in self._last.items() if name != SETTINGS}
            return Snapshot(stays, {SETTINGS: Fault("ConfigurationError", str(error), self._config.path.name)})
        self._config.mask.learn(config.secrets)
        self._warn_of_the_rest(config)
        self._last = _artifacts(config)
        return Snapshot(self._last, {})

    async def wait(self) -> None:
        """Return when the file has changed and is at rest."""
        while (signature := _signature(self._config.path)) == self._seen:  # noqa: ASYNC110 - a file is polled
            await asyncio.sleep(LOOK_EVERY)
        while True:
            await asyncio.sleep(LOOK_EVERY / 2)
            latest = _signature(self._config.path)
            if latest == signature and latest is not None:
                self._seen = latest
                return
            signature = latest

    async def restore(self, name: str, content: bytes | None) -> bool:  # noqa: ARG002
        """The file is the operator's: it is left as it is, and held back until the settings in it change."""
        return False

    def _warn_of_the_rest(self, config: Config) -> None:
        changed = [
            part
            for part in ("scripts", "state", "lanes", "listen", "sources", "sinks", "discoverers", "confined", "files")
            if getattr(config, part) != getattr(self._config, part)
        ]
        if changed:
            self._log.warning("changes here take effect at the next start", changed=changed)


def _artifacts(config: Config) -> dict[str, bytes]:
    resources = {artifact_name(name): source for name, source in config.resources.items()}
    return {SETTINGS: config.settings, **resources}


def _signature(path: Path) -> tuple[int, int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino
