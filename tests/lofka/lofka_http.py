"""An HTTP server that answers with what it was asked, as JSON."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlsplit


class EchoServer(ThreadingHTTPServer):
    """Answers every request with ``{method, path, args, type, body, form}``; what is in ``texts`` by path, as it is.

    ``/status/404`` has that status, ``/moved`` leads to ``/get``, ``/slow`` answers after a second and a half,
    ``/meet/3`` when three requests for it are waiting.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Echo)
        self.texts: dict[str, str] = {}
        self.asked: list[str] = []
        self._lock = threading.Lock()
        self._meetings: dict[str, threading.Barrier] = {}

    def meet(self, count: str) -> None:
        """Wait until as many have come."""
        with self._lock:
            barrier = self._meetings.setdefault(count, threading.Barrier(int(count)))
        barrier.wait(30)

    @property
    def address(self) -> str:
        """``127.0.0.1:PORT``"""
        return f"127.0.0.1:{self.server_port}"

    @property
    def url(self) -> str:
        """``http://127.0.0.1:PORT``"""
        return f"http://{self.address}"


class _Echo(BaseHTTPRequestHandler):
    server: EchoServer

    def do_GET(self) -> None:
        self._answer("")

    def do_POST(self) -> None:
        self._answer(self.rfile.read(int(self.headers["content-length"])).decode())

    def _answer(self, body: str) -> None:
        url = urlsplit(self.path)
        self.server.asked.append(f"{self.command} {self.path}")
        if url.path == "/slow":
            time.sleep(1.5)
        if url.path.startswith("/meet/"):
            self.server.meet(url.path.removeprefix("/meet/"))
        status = int(url.path.removeprefix("/status/")) if url.path.startswith("/status/") else 200
        self.send_response(302 if url.path == "/moved" else status)
        self.send_header("location", "/get")
        text = self.server.texts.get(url.path, json.dumps(self._seen(url.path, url.query, body)))
        self.send_header("content-length", str(len(text.encode())))
        self.end_headers()
        self.wfile.write(text.encode())

    def _seen(self, path: str, query: str, body: str) -> dict[str, object]:
        kind = self.headers.get("content-type", "")
        form = dict(parse_qsl(body)) if "form-urlencoded" in kind else {}
        return {
            "method": self.command,
            "path": path,
            "args": dict(parse_qsl(query)),
            "type": kind.partition(";")[0],
            "body": body,
            "form": form,
        }

    def log_message(self, *_arguments: object) -> None:
        pass


@contextmanager
def echoing() -> Iterator[EchoServer]:
    """Serve inside the block."""
    with EchoServer() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
