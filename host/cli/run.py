"""``trimtab run``: the host in the foreground."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Mapping
from pathlib import Path

import structlog

from trimtab import __version__
from trimtab.cli import host_log
from trimtab.config import Config, SinkConfig, SourceConfig, load
from trimtab.host import Host
from trimtab.plugin_manager import Plugins
from trimtab.runtime import confinement


def run(config_path: Path) -> int:
    """Run the host; returns its exit code. Raises :class:`ConfigurationError` before anything has started."""
    host_log.configure()
    plugins = Plugins.load([("announcer", host_log.Announcer())])
    config = load(config_path.absolute(), plugins)
    confinement.require(config)
    host_log.configure(config.mask)
    _announce(config, config_path, plugins)
    return asyncio.run(_serve(Host(config, plugins)))


async def _serve(host: Host) -> int:
    """Run until the end. The first signal drains the host, the second one stops it at once."""
    loop = asyncio.get_running_loop()
    steps = iter([host.stop])

    def step() -> None:
        next(steps, host.abort)()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, step)
    return await host.run()


def _announce(config: Config, config_path: Path, plugins: Plugins) -> None:
    log = structlog.get_logger()
    for failure in plugins.failures:
        log.warning(f"plugin {failure.name} is not loaded: {failure.error}", distribution=failure.distribution)
    log.info(
        f"trimtab {__version__}",
        config=str(config_path),
        sources=_kinds(config.sources),
        sinks=_kinds(config.sinks),
        lanes=config.lanes,
    )


def _kinds(parts: Mapping[str, SourceConfig | SinkConfig]) -> str:
    return ", ".join(f"{name} ({part.kind.name})" for name, part in parts.items()) or "none"
