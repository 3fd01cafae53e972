"""A host in which nothing runs: it answers the control API as a running one does."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import BaseRoute, Route

from trimtab.artifacts.records import Change
from trimtab.artifacts.store import ArtifactStore
from trimtab.control import endpoint
from trimtab.control.app import create_app
from trimtab.control.rules import rule_status
from trimtab.control.server import serving
from trimtab.errors import ChangeRefused, Fault, TrimtabError, UsageError
from trimtab.runtime.dead_letters import DeadLetters

FAULT = Fault("SyntaxError", "unexpected end", "a.js", 2, 1)


async def take(request: Request) -> JSONResponse:
    return JSONResponse({"took": len(await request.body())}, 202)


class StillHost:
    """A host in which nothing runs: it answers as a running one does."""

    def __init__(self, folder: Path) -> None:
        self.store = ArtifactStore(folder / "artifacts.db")
        self.dead_letters = DeadLetters(folder / "dead-letters.db")
        self.source_routes: dict[str, Sequence[BaseRoute]] = {"gps": [Route("/", take, methods=["POST"])], "tail": ()}
        for content in (b"one\n", b"two\n"):
            version = self.store.stage("a.js", content, "folder")
            self.store.record_committed("change", {"a.js": Change("changed", version.seq)}, {"check": 0.1})

    def close(self) -> None:
        self.store.close()
        self.dead_letters.close()

    def rules(self, name: str | None, after: str, limit: int) -> list[dict[str, Any]]:
        return [rule_status("heat.rule.json", None, "RuleError: $.nodes")][:limit]

    def status(self) -> dict[str, Any]:
        script = {"name": "a.js", "seq": 2, "version": "ab" * 6, "state": "active", "error": None}
        return {
            "running": True,
            "generation": self.store.latest_number(),
            "uptime_s": 12.5,
            "scripts": [{**script, "handled": 7, "failed": 1, "p50_us": 3, "p99_us": 9}],
            "rules": {"running": 3, "rolled_back": 1, "refused": 1, "errors": {"heat.rule.json": "RuleError: $.nodes"}},
            "sources": {"gps": {"received": 8, "handled": 8, "lag": 0}},
            "sinks": {"alarms": {"written": 5, "failed": 0}},
            "resources": {"sql.orders": {"state": "active", "calls": 3, "scripts": {}}},
            "settings": {"settings": {"state": "active"}},
            "discoverers": {"folder": {"error": None}},
            "lanes": [{"pid": 1, "state": "running", "restarts": 0}],
            "dead_letters": self.dead_letters.count(),
        }

    async def rollback(self, name: str, to: str | None) -> dict[str, Any]:
        if to == "broken":
            raise ChangeRefused({name: FAULT})
        return {"generation": 3, "changes": {name: "changed"}}

    async def rollback_generation(self, number: int) -> dict[str, Any]:
        self.store.generation_set(number)
        return {"generation": 3, "changes": {}}

    async def replay(self, ids: Sequence[int], version: str | None) -> AsyncIterator[dict[str, Any]]:
        if version == "unknown":
            raise UsageError("unknown version")
        for number in ids:
            if number == 13:
                raise TrimtabError("the lanes are gone")
            fault = "TypeError: again" if number == 2 else None
            yield {"id": number, "outcome": "failed" if fault else "handled", "error": fault}


@contextmanager
def running(state: Path) -> Iterator[str]:
    """Serve a still host on a state folder, as a process of its own would; gives the URL."""
    url: Future[str] = Future()
    stop = asyncio.Event()

    async def serve() -> None:
        host = StillHost(state)
        async with serving(create_app(host, endpoint.token(state)), "127.0.0.1", 0) as at:
            with endpoint.published(state, at):
                url.set_result(at)
                await stop.wait()
        host.close()

    with endpoint.lock(state):
        loop = asyncio.new_event_loop()
        thread = threading.Thread(target=loop.run_until_complete, args=[serve()])
        thread.start()
        try:
            yield url.result(10)
        finally:
            loop.call_soon_threadsafe(stop.set)
            thread.join()
            loop.close()
