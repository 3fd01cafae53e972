"""The guide to discoverers: its project is run, with the places that it names."""

from __future__ import annotations

import functools
import http.server
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.docs.documents import GUIDES, blocks
from tests.docs.walkthrough import PATIENCE, Walkthrough, environment
from tests.servers.redis_servers import RedisServer
from tests.servers.sql_servers import PostgresServer

PAGE = GUIDES / "discovery.md"


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Serves a folder and prints nothing."""

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing."""


@contextmanager
def web_server(folder: Path) -> Iterator[str]:
    """Serve a folder; gives the URL."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=folder)) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def database() -> Iterator[str]:
    """Run a PostgreSQL; gives the URL."""
    server = PostgresServer()
    try:
        server.start()
        yield server.url
    finally:
        server.remove()


@contextmanager
def host(folder: Path, variables: dict[str, str]) -> Iterator[None]:
    """Run a host on the project in a folder."""
    with (folder / "host.log").open("w") as log:
        command = [sys.executable, "-m", "trimtab", "run"]
        process = subprocess.Popen(command, cwd=folder, env=variables, stdout=log, stderr=log)
    try:
        yield
        assert process.poll() is None
    except BaseException as error:
        error.add_note((folder / "host.log").read_text())
        raise
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            os.kill(process.pid, signal.SIGKILL)
            process.wait()


@pytest.mark.timeout(300)
def test_the_project_of_the_guide_does_what_it_shows(tmp_path: Path) -> None:
    for block in blocks(PAGE):
        if block.title is not None:
            path = tmp_path / block.title
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.text)
    (tmp_path / "events.jsonl").touch()
    with (
        web_server(tmp_path / "published") as center,
        RedisServer(tmp_path / "redis") as redis,
        database() as postgres,
    ):
        variables = environment(CENTER=center, REDIS=redis.url, DATABASE=postgres)
        with host(tmp_path, variables):
            Walkthrough(tmp_path, environment=variables).follow(PAGE)
