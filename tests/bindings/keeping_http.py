"""An HTTP server in a process of its own, which can be killed and paused; keeps what it is given: ``PORT``."""

from __future__ import annotations

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

_kept: dict[str, str] = {}


class Keeper(BaseHTTPRequestHandler):
    """``PUT /kept/NAME`` keeps the name, ``GET`` gives it as JSON, or null; ``GET /broken`` fails without JSON."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_PUT(self) -> None:
        """Keep the last part of the path."""
        _kept[self.path] = self.path.rpartition("/")[2]
        self._answer(201, b"")

    def do_GET(self) -> None:
        """Give what is kept."""
        if self.path == "/broken":
            self._answer(500, b"out of order")
        else:
            self._answer(200, json.dumps(_kept.get(self.path)).encode())

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - its name there
        """Say nothing."""

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Keeper).serve_forever()
