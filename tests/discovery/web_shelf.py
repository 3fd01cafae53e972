"""A real web server that holds documents, for discoverers to look at."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self


@dataclass(frozen=True, slots=True)
class Asked:
    """One request, and the status it was answered with. Header names are in lower case."""

    path: str
    headers: Mapping[str, str]
    status: int


@dataclass(frozen=True, slots=True)
class Answer:
    """What a path is answered with instead of a document."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


class Shelf:
    """Serves ``documents``, by path, on a free port of loopback.

    ``answers``: what is said instead, by path. ``marked``: documents have an ETag. ``modified``: documents have that
    Last-Modified, in seconds since the epoch, and were asked for at the second ``now``. ``crowd``: requests for scripts
    are answered when so many have come.
    """

    def __init__(self) -> None:
        self.documents: dict[str, bytes] = {}
        self.answers: dict[str, Answer] = {}
        self.marked = True
        self.modified: float | None = None
        self.now: float | None = None
        self.crowd: threading.Barrier | None = None
        self.requests: list[Asked] = []
        self.asked = 0
        self.most_at_once = 0
        self._answering = threading.Event()
        self._answering.set()
        self._lock = threading.Lock()
        self._open = 0
        self._server: ThreadingHTTPServer | None = None
        self._thread: threading.Thread | None = None
        self.port = 0

    def url(self, path: str) -> str:
        """The address of a document."""
        return f"http://127.0.0.1:{self.port}{path}"

    def start(self) -> None:
        """Serve; after a :meth:`stop`, at the same address."""
        self._server = _Server(("127.0.0.1", self.port), _handler(self))
        self.port = self._server.server_port
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def stop(self) -> None:
        """Refuse connections."""
        self.resume()
        if self._server is not None and self._thread is not None:
            self._server.shutdown()
            self._server.server_close()
            self._thread.join()
            self._server = None

    def pause(self) -> None:
        """Accept connections and answer nothing, until :meth:`resume`."""
        self._answering.clear()

    def resume(self) -> None:
        """Answer, also what was asked before."""
        self._answering.set()

    def answer(self, path: str, headers: Mapping[str, str]) -> Answer:
        """What a request is answered with; notes it."""
        with self._lock:
            self.asked += 1
            self._open += 1
            self.most_at_once = max(self.most_at_once, self._open)
        self._answering.wait(60)
        if self.crowd is not None and not path.endswith(".json"):
            self.crowd.wait(30)
        answer = self.answers.get(path) or self._document(path, headers)
        with self._lock:
            self._open -= 1
            self.requests.append(Asked(path, headers, answer.status))
        return answer

    def _document(self, path: str, asked: Mapping[str, str]) -> Answer:
        content = self.documents.get(path)
        if content is None:
            return Answer(404, body=b"no such document")
        headers: dict[str, str] = {}
        unchanged = False
        if self.marked:
            headers["ETag"] = f'"{hashlib.md5(content).hexdigest()}"'
            unchanged = asked.get("if-none-match") == headers["ETag"]
        if self.modified is not None:
            headers["Last-Modified"] = formatdate(self.modified, usegmt=True)
            unchanged = unchanged or asked.get("if-modified-since") == headers["Last-Modified"]
        return Answer(304, headers) if unchanged else Answer(200, headers, content)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.stop()


class _Server(ThreadingHTTPServer):
    request_queue_size = 128


def _handler(shelf: Shelf) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 10

        def do_GET(self) -> None:
            answer = shelf.answer(self.path, {name.lower(): value for name, value in self.headers.items()})
            self.send_response_only(answer.status)
            headers = {"Content-Length": str(len(answer.body)), "Date": formatdate(shelf.now, usegmt=True)}
            for name, value in {**headers, **answer.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            try:
                self.wfile.write(answer.body)
            except ConnectionError:
                self.close_connection = True

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Say nothing."""

    return Handler
