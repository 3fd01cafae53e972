"""The host: puts store, stream, deployment and control API together, and runs until it is stopped."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec
import structlog

from trimtab.api import Discoverer, Notice, SourceError, TrimtabError
from trimtab.artifacts.store import FILE_NAME, ArtifactStore
from trimtab.config import Config, expand
from trimtab.control.endpoint import lock, published, token
from trimtab.control.rules import choice, running_rules
from trimtab.control.running import RunningStatus
from trimtab.deploy.deployer import Deployer
from trimtab.deploy.discoverers import find_discoverers
from trimtab.deploy.plans import earlier_rules, restore_plan
from trimtab.engine.engine import Plan
from trimtab.errors import StateError
from trimtab.plugin_manager import Plugins
from trimtab.runtime.checkpointer import Checkpointer
from trimtab.runtime.confinement import Confinement
from trimtab.runtime.dead_letters import DeadLetters
from trimtab.runtime.durable import Durable
from trimtab.runtime.replay import Replayer
from trimtab.runtime.stream import Stream

if TYPE_CHECKING:
    from starlette.routing import BaseRoute

SCAN_AGAIN = 1.0
"""Seconds until a discoverer that failed is asked again."""
CHECKPOINT_AGAIN = 0.1
"""Seconds between checkpoints while sources end."""


class Host:
    """One running host. Make it in a running event loop's thread and call :meth:`run` once."""

    store: ArtifactStore
    dead_letters: DeadLetters
    source_routes: Mapping[str, Sequence[BaseRoute]]

    def __init__(self, config: Config, plugins: Plugins) -> None:
        self._config, self._plugins = config, plugins
        self._expand = partial(expand, learn=config.mask.learn)
        self._stop = asyncio.Event()
        self._started = time.monotonic()
        self._log = structlog.get_logger("trimtab")
        self._main: asyncio.Task[Any] | None = None

    # --- running ---

    async def run(self) -> int:
        """Run until :meth:`stop`, or until every source has ended. Returns the exit code.

        Raises :class:`TrimtabError` when it cannot start, or when a source fails for good.
        """
        self._main = asyncio.current_task()
        try:
            with contextlib.ExitStack() as stack:
                stack.enter_context(lock(self._config.state))
                self.store = stack.enter_context(ArtifactStore(self._config.state / FILE_NAME))
                durable = stack.enter_context(Durable(self._config))
                self.dead_letters = durable.dead_letters
                await self._run(durable)
        except asyncio.CancelledError:
            self._log.warning("stopped at once: events under way were not handled to the end")
            return 1
        return 0

    def stop(self) -> None:
        """Stop reading, handle what was read, and end."""
        self._log.info("stopping: events under way are handled first; once more stops at once")
        self._stop.set()

    def abort(self) -> None:
        """End at once."""
        if self._main is not None:
            self._main.cancel()

    async def _run(self, durable: Durable) -> None:
        number, rolled_back = self.store.latest_number(), self.store.rolled_back()
        earlier = earlier_rules(self.store, 0 if durable.checkpoint is None else durable.checkpoint.generation)
        confinement = Confinement(self._config, self._plugins)
        self._stream = Stream(self._config, durable, self._plan_of, number, rolled_back, earlier, confinement)
        self._checkpointer = Checkpointer(self._stream, durable, self._config.checkpoint_interval)
        self._deployer = Deployer(self.store, self._stream, self._expand, self._plugins.notify)
        self._replayer = Replayer(self._stream, self.store, self._config.sources, self._checkpointer)
        self._discoverers = find_discoverers(self._config, self._plugins, self._running)
        async with self._stream:
            # Imported while the lanes start: the web server takes as long to import as they take to come up.
            from trimtab.control.app import create_app
            from trimtab.control.server import serving

            self.source_routes = self._stream.source_routes
            await self._deployer.learn()
            self._stream.loaded = self._deployer.book.loaded
            await self._deployer.start(self._discoverers)
            for name, outage in self._deployer.book.places.outages.items():
                self._log.error("a place is out of reach; what it had last is used", where=name, error=outage)
            listen = self._config.listen
            app = create_app(self, token(self._config.state))
            async with serving(app, listen.host, listen.port) as url:
                with published(self._config.state, url):
                    self._log.info(self._what_runs(), url=url)
                    # What is there now stays: the collector need not look at it again, which takes long enough to be
                    # felt as a pause, and collects soon what each change leaves behind.
                    gc.freeze()
                    await self._serve()

    async def _serve(self) -> None:
        watchers = [asyncio.create_task(self._watch(discoverer)) for discoverer in self._discoverers]
        replays = asyncio.create_task(self._replay_requested())
        checkpoints = asyncio.create_task(self._checkpointer.run())
        ending = asyncio.create_task(self._to_the_end(watchers, checkpoints))
        broken = asyncio.create_task(self._stream.broken())
        tasks = (*watchers, replays, checkpoints, ending, broken)
        left = {ending, broken, checkpoints}
        try:
            while ending in left:
                done, left = await asyncio.wait(left, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _to_the_end(self, watchers: Sequence[asyncio.Task[None]], checkpoints: asyncio.Task[None]) -> None:
        """Run the sources, let a change that is under way come to its end, and drain without beginning another.

        The last checkpoint holds everything.

        Raises :class:`SourceError` when a source failed for good; what was read is handled before.
        """
        failure: SourceError | None = None
        try:
            await self._until_the_end()
        except SourceError as error:
            failure = error
        async with self._deployer.at_rest():
            for task in watchers:
                task.cancel()
            await self._stream.finish_event_time()
            await self._stream.drain()
            self._checkpointer.stop()
            await checkpoints
            await self._checkpointer.take("end")
            await self._stream.close_scripts()
        if failure is not None:
            raise failure

    async def _until_the_end(self) -> None:
        """Run the sources until they have all ended, or somebody stops the host."""
        stopped = asyncio.create_task(self._stop.wait())
        sources = asyncio.create_task(self._stream.run_sources())
        try:
            if self._config.sources:
                await asyncio.wait({stopped, sources}, return_when=asyncio.FIRST_COMPLETED)
            else:
                await stopped
            if sources.done():
                sources.result()
        finally:
            stopped.cancel()
            sources.cancel()
            async with self._stream.reporting():
                while not sources.done():  # one that acknowledges outside waits for a checkpoint
                    await self._checkpointer.take("asked")
                    await asyncio.wait({sources}, timeout=CHECKPOINT_AGAIN)
            await asyncio.gather(stopped, sources, return_exceptions=True)

    async def _watch(self, discoverer: Discoverer) -> None:
        """Deploy whatever changes where a discoverer looks. An outage there changes nothing."""
        told = self._deployer.book.places.outages.get(discoverer.name)  # it was out of reach at the start
        waits = told is None
        while True:
            try:
                if waits:
                    await discoverer.wait()
                else:
                    await discoverer.scan()  # not while the deployer is locked: a silent place takes its time
                await self._deployer.offer(discoverer)
                if told is not None:
                    self._log.info("changes are taken again", where=discoverer.name)
                waits, told = True, None
            except TrimtabError as error:
                waits = not isinstance(error, StateError)  # then the discoverer has said all it will say
                if str(error) != told:
                    told = str(error)
                    self._log.error("a change cannot be taken; nothing is changed", where=discoverer.name, error=told)
                await asyncio.sleep(SCAN_AGAIN)
            except Exception:  # noqa: BLE001 - a fault of ours or of a plugin must not end the watching
                self._log.exception("a change failed in an unforeseen way", where=discoverer.name)
                await asyncio.sleep(SCAN_AGAIN)

    async def _replay_requested(self) -> None:
        """Replay the dead letters that somebody asked for while no host ran."""
        try:
            for letter, version in self.dead_letters.pending_replays():
                async for outcome in self._replayer.replay([letter], version):
                    self._log.info("dead letter replayed", **outcome)
                self.dead_letters.settle_replays([letter])
        except StateError as error:
            self._log.error("dead letters are not replayed; the next start tries again", error=str(error))

    def _plan_of(self, generation: int) -> Plan:
        return restore_plan(self.store, generation, self._expand)

    def _running(self, name: str) -> bytes | None:
        """Return the bytes that run under a name."""
        version = self._deployer.book.active.get(name)
        return None if version is None else self.store.content(version.hash)

    # --- what the control API asks (trimtab.control.app.ControlledHost) ---

    def status(self) -> dict[str, Any]:
        """Return the document of ``status --json``."""
        return {
            "running": True,
            "generation": self._deployer.book.generation,
            "uptime_s": round(time.monotonic() - self._started, 3),
            **RunningStatus(self._deployer.book, self._stream, self._config.mask).parts(self._discoverers),
            "checkpoint": msgspec.to_builtins(self._checkpointer.status),
            "dead_letters": self.dead_letters.count(),
        }

    def rules(self, name: str | None, after: str, limit: int) -> list[dict[str, Any]]:
        """Return the documents of ``rules --json``."""
        return running_rules(self._deployer.book, self._stream, self._config.mask, choice(name, after, limit))

    async def rollback(self, name: str, to: str | None) -> dict[str, Any]:
        """Roll one artifact back. Raises :class:`UsageError` or :class:`ChangeRefused`."""
        return _document(await self._deployer.rollback(name, to, self._discoverers))

    async def rollback_generation(self, number: int) -> dict[str, Any]:
        """Roll everything back to a generation. Raises :class:`UsageError` or :class:`ChangeRefused`."""
        return _document(await self._deployer.rollback_generation(number, self._discoverers))

    def replay(self, ids: Sequence[int], version: str | None) -> AsyncIterator[dict[str, Any]]:
        """Replay dead letters. Raises :class:`UsageError` for an unknown version."""
        return self._replayer.replay(ids, version)

    def _what_runs(self) -> str:
        book = self._deployer.book
        scripts = [f"{name} {book.active[name].hash[:12]}" for name in sorted(book.active.of_kind("script"))]
        rules = [f"{book.active.count('rule')} rules"] if book.active.count("rule") else []
        return f"listening; generation {book.generation} runs {', '.join(scripts + rules) or 'no script yet'}"


def _document(notice: Notice) -> dict[str, Any]:
    document: dict[str, Any] = msgspec.to_builtins(notice)
    return document
