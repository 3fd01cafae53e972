"""Handles dead letters again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Container, Sequence
from typing import Any

from trimtab.api import CodecError
from trimtab.artifacts.store import ArtifactStore
from trimtab.engine.batch import Batch
from trimtab.engine.result import Lines
from trimtab.errors import UsageError
from trimtab.runtime.checkpointer import Checkpointer
from trimtab.runtime.dead_letters import DeadLetter
from trimtab.runtime.stream import Stream

REMOVED_AT_ONCE = 100
"""Letters, with one checkpoint."""


class Replayer:
    """Sends dead letters back to where they failed: to the one script, to all of them, or to the sink."""

    def __init__(
        self, stream: Stream, store: ArtifactStore, sources: Container[str], checkpointer: Checkpointer
    ) -> None:
        self._stream, self._store, self._sources, self._checkpointer = stream, store, sources, checkpointer

    async def replay(self, ids: Sequence[int], version: str | None) -> AsyncIterator[dict[str, Any]]:
        """Replay letters one by one, against the running version of their script or another one.

        Yields ``{"id", "outcome": "handled"|"failed", "error"}`` each. A letter that is handled is removed, once a
        checkpoint holds what it did; one that fails again stays. Waits while lanes and sinks are busy.
        """
        handled: list[int] = []
        try:
            async for outcome in self._outcomes(ids, version):
                if outcome["outcome"] == "handled":
                    handled.append(outcome["id"])
                if len(handled) == REMOVED_AT_ONCE:
                    await self._remove(handled)
                yield outcome
        finally:
            await self._remove(handled)

    async def _remove(self, handled: list[int]) -> None:
        if handled and await self._checkpointer.take("asked"):
            await asyncio.to_thread(self._stream.dead_letters.remove, handled)
            handled.clear()

    async def _outcomes(self, ids: Sequence[int], version: str | None) -> AsyncIterator[dict[str, Any]]:
        letters = self._stream.dead_letters
        for letter_id in ids:
            letter = await asyncio.to_thread(letters.get, letter_id)
            try:
                error = await self._replay(letter, version) if letter else "expected the id of a letter, got none such"
            except (UsageError, CodecError) as problem:
                error = str(problem)
            yield {"id": letter_id, "outcome": "failed" if error else "handled", "error": error}

    async def _replay(self, letter: DeadLetter, version: str | None) -> str | None:
        """Replay one letter; returns why it failed again, or None."""
        if letter.kind == "sink":
            return await self._rewrite(letter)
        if letter.source not in self._sources:
            return f"expected a source of the configuration, got {letter.source!r}, which is not there any more"
        target = None if letter.script is None or version is None else self._version(letter.script, version)
        if letter.script is not None and target is None and not self._stream.runs(letter.script):
            return f"{letter.script} does not run; name one of its versions with --version, or bring it back"
        fault = await self._stream.replay(self._batch(letter), letter.key, target)
        return None if fault is None else str(fault)

    async def _rewrite(self, letter: DeadLetter) -> str | None:
        sink = self._stream.sinks.get(letter.sink or "")
        if sink is None:
            return f"expected a sink of the configuration, got {letter.sink!r}, which is not there any more"
        error = await sink.try_once(Lines(letter.payload, letter.payload.count(b"\n")))
        return None if error is None else str(error)

    def _version(self, script: str, version: str) -> tuple[str, bytes]:
        return script, self._store.content(self._store.resolve(script, version).hash)

    def _batch(self, letter: DeadLetter) -> Batch:
        payload = letter.payload
        if letter.kind == "codec":
            codec = self._stream.ingests[letter.source].codec
            payload = payload if codec.is_json else codec.to_json(payload)
        return Batch(
            id=0,
            generation=0,
            source=letter.source,
            data=payload,
            count=1,
            arrival=letter.at,
            partition=letter.partition,
            positions=[letter.position],
            only=letter.script,
            timers=letter.kind == "timer",
            matches=letter.kind == "match",
        )
