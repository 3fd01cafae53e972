"""Events that come by HTTP, and values that leave by HTTP, with real servers and clients on both sides."""

from __future__ import annotations

import gzip
import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from tests.e2e.project import Project, eventually, running

ECHO = """
from trimtab import emit
def handle(event, ctx):
    emit("out", [ctx.id, event])
"""
SLOW = """
import time
from trimtab import emit
def handle(event, ctx):
    time.sleep(0.002)
    emit("out", event["n"])
"""
TO_SERVER = """
from trimtab import emit
def handle(event, ctx):
    emit("server", event["n"])
"""


def hook(folder: Path, options: str = "") -> Project:
    return Project(folder, lanes=2, extra=f'[sources.hook]\ntype = "http"\n{options}')


@contextmanager
def posting(project: Project) -> Iterator[httpx.Client]:
    with running(project), httpx.Client(base_url=f"{project.url}/sources", timeout=30, trust_env=False) as client:
        yield client


def out(project: Project, count: int) -> list[Any]:
    return eventually(lambda: rows if len(rows := project.emitted()) >= count else None, f"{count} rows are out")


def test_events_come_as_object_array_lines_or_gzip(tmp_path: Path) -> None:
    project = hook(tmp_path)
    project.save("echo.py", ECHO)
    with posting(project) as client:
        bodies: list[tuple[bytes, dict[str, str], int]] = [
            (b'{"n": 0}', {}, 1),
            (b'[{"n": 1},\n {"n": 2}]', {}, 2),
            (b'{"n": 3}\n\n{"n": 4}\n', {"content-type": "application/x-ndjson"}, 2),
            (gzip.compress(b'[{"n": 5}]'), {"content-encoding": "gzip"}, 1),
            (b"[]", {}, 0),
        ]
        for body, headers, count in bodies:
            answer = client.post("/hook", content=body, headers=headers)
            assert (answer.status_code, answer.json()) == (202, {"accepted": count})
        rows = out(project, 6)
        assert project.status()["sources"]["hook"]["handled"] == 6
    assert sorted(row[1]["n"] for row in rows) == list(range(6))
    assert len({row[0] for row in rows}) == 6
    assert {row[0].split(":")[0] for row in rows} == {"hook"}


def test_a_bad_body_is_refused_whole_and_its_line_is_named(tmp_path: Path) -> None:
    project = hook(tmp_path, "max_body = 1000")
    project.save("echo.py", ECHO)
    with posting(project) as client:
        answer = client.post("/hook", content=b'{"n": 0}\n{"n": 1}\n{"n": \n')
        assert answer.status_code == 400
        assert answer.json()["error"]["line"] == 3
        assert client.post("/hook", content=b"x" * 1001).status_code == 413
        assert client.get("/hook").status_code == 405
        assert client.post("/hok", content=b"{}").status_code == 404
        assert client.post("/hook", content=b'{"n": "good"}').status_code == 202
        assert [row[1] for row in out(project, 1)] == [{"n": "good"}]
        assert project.letters() == []


@pytest.mark.parametrize(
    ("codec", "good", "bad", "event"),
    [
        ("msgpack", msgspec.msgpack.encode({"n": 1, "text": "a\nb", "raw": b"\n"}), b"\xc1", None),
        ("text", b"one", b"\xff", "one"),
    ],
)
def test_other_codecs_work_by_http(tmp_path: Path, codec: str, good: bytes, bad: bytes, event: Any) -> None:
    project = hook(tmp_path, f'codec = "{codec}"')
    project.save("echo.py", ECHO)
    with posting(project) as client:
        assert client.post("/hook", content=bad).status_code == 400
        assert client.post("/hook", content=good).json() == {"accepted": 1}
        assert [row[1] for row in out(project, 1)] == [event or {"n": 1, "text": "a\nb", "raw": "Cg=="}]


def test_a_busy_stream_answers_429_and_loses_nothing_that_it_accepted(tmp_path: Path) -> None:
    project = hook(tmp_path, 'key = "n"')
    project.save("slow.py", SLOW)
    accepted: list[int] = []
    with posting(project) as client, ThreadPoolExecutor(8) as pool:

        def post(start: int) -> httpx.Response:
            return client.post("/hook", json=[{"n": n} for n in range(start, start + 20)])

        starts = range(0, 4000, 20)
        answers = list(pool.map(post, starts))
        for start, answer in zip(starts, answers, strict=True):
            if answer.status_code == 202:
                assert answer.json() == {"accepted": 20}
                accepted += range(start, start + 20)
            else:
                assert answer.status_code == 429
                assert int(answer.headers["retry-after"]) >= 1
        assert len(accepted) < 4000
        assert project.stop() == 0, "what was accepted is handled before the host ends"
    assert accepted
    assert sorted(project.emitted()) == accepted


# --- the sink ---


class Receiver:
    """A server that takes arrays of values, or answers with ``status``; :meth:`up` and :meth:`down` at one port."""

    def __init__(self) -> None:
        self.status = 200
        self.values: list[Any] = []
        self.requests = 0
        self._keys: set[str | None] = set()
        self._port = 0
        self.up()
        self._port = self._server.server_port
        self.url = f"http://127.0.0.1:{self._port}/in"

    def up(self) -> None:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                status = receiver.take(json.loads(body), self.headers["idempotency-key"])
                self.send_response(status)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", self._port), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=[0.01])
        self._thread.start()

    def down(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def take(self, values: list[Any], key: str | None) -> int:
        self.requests += 1
        if self.status == 200 and key not in self._keys:
            self._keys.add(key)
            self.values += values
        return self.status


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    yield receiver
    receiver.down()


def sending(folder: Path, receiver: Receiver) -> Project:
    extra = f'[sinks.server]\ntype = "http"\nurl = "{receiver.url}"\nbatch = 50\nattempts = 1\ntimeout = "2s"'
    project = Project(folder, lanes=1, extra=extra)
    project.save("send.py", TO_SERVER)
    return project


def test_values_arrive_in_batches_and_in_order(tmp_path: Path, receiver: Receiver) -> None:
    project = sending(tmp_path, receiver)
    with running(project):
        project.send(*({"n": n} for n in range(1000)))
        eventually(lambda: len(receiver.values) >= 1000, "all values arrive")
        assert project.stop() == 0
    assert receiver.values == list(range(1000))
    assert 1000 / 50 <= receiver.requests < 1000


def test_a_server_that_was_down_gets_everything_once_it_is_up(tmp_path: Path, receiver: Receiver) -> None:
    project = sending(tmp_path, receiver)
    with running(project):
        project.send({"n": 0})
        eventually(lambda: receiver.values == [0], "the first value arrives")
        receiver.down()
        project.send(*({"n": n} for n in range(1, 500)))
        error = eventually(lambda: project.status()["sinks"]["server"]["error"], "the outage is shown")
        assert receiver.url in error
        receiver.up()
        eventually(lambda: len(receiver.values) >= 500, "all values arrive")
        eventually(lambda: project.status()["sinks"]["server"]["written"] == 500, "the outage is over")
        sink = project.status()["sinks"]["server"]
        assert (sink["error"], sink["failed"]) == (None, 0)
        assert project.letters() == []
        assert project.stop() == 0
    assert receiver.values == list(range(500))


def test_values_that_the_server_refuses_are_letters_and_can_be_sent_again(tmp_path: Path, receiver: Receiver) -> None:
    project = sending(tmp_path, receiver)
    receiver.status = 400
    with running(project):
        project.send(*({"n": n} for n in range(20)))
        eventually(lambda: project.status()["sinks"]["server"]["failed"] == 20, "the values are refused")
        letters = project.letters()
        assert {(letter["kind"], letter["sink"], letter["script"]) for letter in letters} == {("sink", "server", None)}
        assert sorted(n for letter in letters for n in map(int, letter["payload"].split())) == list(range(20))
        assert "400" in letters[0]["fault"]["message"]
        again = project.trimtab("dead-letters", "replay", "--all", check=False)
        assert again.returncode == 1
        assert len(project.letters()) == len(letters)
        receiver.status = 200
        project.trimtab("dead-letters", "replay", "--all")
        assert project.letters() == []
        project.send({"n": 20})
        eventually(lambda: len(receiver.values) == 21, "the stream goes on")
        assert project.stop() == 0
    assert receiver.values == list(range(21))
