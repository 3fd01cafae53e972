"""Script files that commands load in this process: the script, its libraries, and a host for it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from trimtab.api import DiscovererContext
from trimtab.artifacts.names import is_library
from trimtab.config import Config
from trimtab.engine.calls import Call
from trimtab.engine.resources import Resources
from trimtab.engine.script import LogEntry, Script, ScriptHost
from trimtab.engine.state import StateStore
from trimtab.errors import ChangeRefused, UsageError
from trimtab.plugin_manager import Plugins
from trimtab.sandbox.limits import SignalLimits
from trimtab.sandbox.tasks import EventLoopTasks


@dataclass(frozen=True, slots=True)
class ScriptFiles:
    """Scripts as the host would find them. ``config``: None where there is no configuration."""

    config: Config | None
    plugins: Plugins

    @property
    def roots(self) -> tuple[Path, ...]:
        """The scripts folders."""
        return () if self.config is None else self.config.scripts

    def read(self, path: Path) -> Script:
        """Return a script, named by its path below the scripts folder, or by its file name elsewhere."""
        try:
            source = path.read_bytes()
        except OSError as error:
            raise UsageError(f"expected the file of a script, got {path}: {error.strerror}") from None
        root = self._root(path)
        return Script.of(path.resolve().relative_to(root.resolve()).as_posix(), source)

    def libraries(self, path: Path) -> dict[str, bytes]:
        """Return the library files that a script may use. Raises :class:`ChangeRefused` for unreadable ones."""
        root = self._root(path)
        suffixes = frozenset(suffix for engine in self.plugins.script_engines() for suffix in engine.suffixes)
        folders = self.roots if root in self.roots else (root,)
        folder, state = (root, root / ".trimtab") if self.config is None else (self.config.folder, self.config.state)
        found: dict[str, bytes] = {}
        for discoverer in self.plugins.discoverers(DiscovererContext(folder, folders, state, suffixes)):
            snapshot = asyncio.run(discoverer.scan())
            refused = {name: fault for name, fault in snapshot.refused.items() if is_library(name)}
            if refused:
                raise ChangeRefused(refused)
            found |= {name: content for name, content in snapshot.artifacts.items() if is_library(name)}
        return found

    def host(self, log: Callable[[LogEntry], None], rehearse: Callable[[Call], None]) -> ScriptHost:
        """Return what scripts get of the host. Calls to the outside go to ``rehearse``, and nowhere else."""
        config = self.config
        folder = Path() if config is None else config.folder
        return ScriptHost(
            sources=frozenset() if config is None else frozenset(config.sources),
            sinks=frozenset() if config is None else frozenset(config.sinks),
            limits=SignalLimits(),
            log=log,
            bindings=self.plugins.bindings(),
            roots=self.roots,
            resources=Resources(self.plugins.resource_kinds(), folder, time.perf_counter_ns, rehearse),
            confined=None if config is None else config.confined,
            state=StateStore() if config is None else StateStore(config.state_value),
            tasks=EventLoopTasks(),
        )

    def _root(self, path: Path) -> Path:
        resolved = path.resolve()
        return next((folder for folder in self.roots if resolved.is_relative_to(folder.resolve())), path.parent)
