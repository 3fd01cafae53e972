"""What goes wrong on the way to the server: killed, refused, silent, cut off by the time limit."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.mongo.asking import Asker
from tests.mongo.cut_off import EVENTS
from tests.servers.mongo_server import HOST, MongoServer
from tests.servers.programs import free_port, until
from trimtab.testing.scripts import ScriptRunner

LANGUAGES = ["python", "javascript"]
INSERT = {
    "python": """
from trimtab import emit, mongo
timeout = {limit}
def handle(event):
    collection = mongo("it").collection("faults", "{collection}")
    collection.insert({{"_id": event["n"]}})
    emit("out", collection.find_one({{"_id": event["n"]}}))
""",
    "javascript": """
import {{ emit, mongo }} from "trimtab";
export const timeout = {limit};
export function handle(event) {{
  const collection = mongo("it").collection("faults", "{collection}");
  collection.insert({{ _id: event.n }});
  emit("out", collection.findOne({{ _id: event.n }}));
}}
""",
}


@contextmanager
def paused(server: MongoServer) -> Iterator[None]:
    server.pause()
    try:
        yield
    finally:
        server.resume()


@contextmanager
def inserting(language: str, server: MongoServer, collection: str, **options: Any) -> Iterator[ScriptRunner]:
    """A script that inserts a document and reads it back, for each event; ``limit``: its time limit, in seconds."""
    limit = options.pop("limit", 20)
    with ScriptRunner({"mongo.it": {"url": server.url, **options}}) as runner:
        name = {"python": "insert__py", "javascript": "insert__js"}[language]
        runner.load(**{name: INSERT[language].format(limit=limit, collection=collection)})
        yield runner


def works(runner: ScriptRunner, n: int) -> bool:
    """Whether an event is handled."""
    handled = runner.handle({"n": n})
    assert handled.emitted in ([{"_id": n}], [])
    return not handled.faults


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_refused_connection_is_an_error_that_may_be_retried(language: str) -> None:
    with Asker(language, {"url": f"mongodb://{HOST}:{free_port()}", "timeout": "300ms"}, "c") as asker:
        error = asker.refusal("find_one")
    assert (error.name, error.code, error.retryable) == ("ConnectionError", None, True)
    assert "mongo.it: expected a connection, got" in error.message
    assert "Connection refused" in error.message
    assert "is the server running, and `url` right?" in error.message


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_silent_server_is_a_timeout_that_may_be_retried(
    frail_server: MongoServer, language: str, collection: str
) -> None:
    with Asker(language, {"url": frail_server.url, "timeout": "500ms"}, collection) as asker:
        asker("insert", {"_id": 1})
        with paused(frail_server):
            error = asker.refusal("find_one")
        assert (error.name, error.code, error.retryable) == ("TimeoutError", None, True)
        assert error.message == "mongo.it: expected an answer within 0.5 s, got none"
        until(lambda: _answers(asker), "an answer after the silence")


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_server_that_is_silent_from_the_beginning_is_a_timeout(
    frail_server: MongoServer, language: str, collection: str
) -> None:
    with paused(frail_server), Asker(language, {"url": frail_server.url, "timeout": "500ms"}, collection) as asker:
        error = asker.refusal("find_one")
    assert (error.name, error.retryable) == ("TimeoutError", True)


def _answers(asker: Asker) -> bool:
    outcome = asker.evaluate(python="collection.count() and 1", javascript="collection.count() && 1")
    return bool(outcome == 1)


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_server_that_was_killed_and_started_again_is_found_again(
    frail_server: MongoServer, language: str, collection: str
) -> None:
    with inserting(language, frail_server, collection, timeout="1s") as runner:
        assert works(runner, 1)
        frail_server.kill()
        (fault,) = runner.handle({"n": 2}).faults
        assert fault.name == "ConnectionError"
        frail_server.start()
        numbers = iter(range(3, 100))
        until(lambda: works(runner, next(numbers)), "a call to get through")
    with frail_server.client() as client:
        assert client.faults[collection].find_one({"_id": 1}) is not None


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_call_that_the_time_limit_cuts_off_leaves_nothing_behind(
    frail_server: MongoServer, language: str, collection: str
) -> None:
    with inserting(language, frail_server, collection, limit=0.5, timeout="30s") as runner:
        assert works(runner, 1)
        with paused(frail_server):
            (fault,) = runner.handle({"n": 2}).faults
            assert fault.name == "TimeLimitExceeded"
        numbers = iter(range(3, 100))
        until(lambda: works(runner, next(numbers)), "a call to get through")
        assert all(works(runner, number) for number in range(100, 120))


def test_a_time_limit_at_any_moment_leaves_nothing_behind(server: MongoServer, collection: str) -> None:
    command = [sys.executable, "-m", "tests.mongo.cut_off", server.url, collection]
    ended = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False)
    assert ended.stdout.splitlines() == ["TimeLimitExceeded"] * EVENTS, ended.stdout + ended.stderr[-4000:]


def test_the_time_limit_strikes_while_threads_of_a_client_are_idle(frail_server: MongoServer, collection: str) -> None:
    """The signal must reach the main thread, which waits for the server, however many other threads there are."""
    with inserting("python", frail_server, collection, limit=0.3, timeout="30s") as runner:
        assert works(runner, 1)
        assert threading.active_count() > 1
        for _ in range(5):
            with paused(frail_server):
                assert runner.handle({"n": -1}).faults[0].name == "TimeLimitExceeded"


def test_clients_that_were_given_up_end(frail_server: MongoServer, collection: str) -> None:
    before = set(threading.enumerate())
    with inserting("python", frail_server, collection, limit=0.3, timeout="30s") as runner:
        for number in range(3):
            with paused(frail_server):
                runner.handle({"n": number})
    until(lambda: set(threading.enumerate()) <= before, "the threads of all clients to end")


def test_closing_does_not_wait_for_a_silent_server(frail_server: MongoServer, collection: str) -> None:
    with inserting("python", frail_server, collection, timeout="30s") as runner:
        assert works(runner, 1)
        with paused(frail_server):
            assert runner.close() == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_loop_that_is_left_lets_its_cursor_go(server: MongoServer, language: str, collection: str) -> None:
    with Asker(language, {"url": server.url}, collection) as asker:
        asker("insert", [{"n": n} for n in range(10)])
        before = _open_cursors(server)
        for _ in range(3):
            asker.evaluate(
                python="next(iter(collection.find({}, batch=2)))",
                javascript="(() => { for (const found of collection.find({}, { batch: 2 })) return found; })()",
            )
        until(lambda: _open_cursors(server) <= before, "the cursors to be closed")


def _open_cursors(server: MongoServer) -> int:
    with server.client() as client:
        return int(client.admin.command("serverStatus")["metrics"]["cursor"]["open"]["total"])


def test_a_cursor_that_outlives_its_connections_says_so(server: MongoServer, collection: str) -> None:
    script = f"""
from trimtab import emit, mongo
kept = []
def handle(event):
    if not kept:
        kept.append(iter(mongo("it").collection("faults", "{collection}").find({{}}, batch=1)))
    emit("out", next(kept[0])["n"])
"""
    with ScriptRunner({"mongo.it": {"url": server.url}}) as runner:
        with server.client() as client:
            client.faults[collection].insert_many([{"n": n} for n in range(9)])
        runner.load(a__py=script)
        assert runner.handle({}).emitted == [0]
        runner.declare(mongo__it={"url": server.url, "timeout": "1s"})
        (fault,) = runner.handle({}).faults
        assert fault.name == "ConnectionError"


def test_a_cursor_that_the_server_does_not_know_any_more_may_be_read_anew(
    frail_server: MongoServer, collection: str
) -> None:
    script = f"""
from trimtab import emit, mongo
timeout = 20
found = mongo("it").collection("faults", "{collection}")
kept = iter(found.find({{}}, batch=1))
def handle(event):
    try:
        emit("out", found.count() if event == "count" else next(kept)["n"])
    except Exception as error:
        emit("out", [error.name, error.code, error.retryable])
"""
    with frail_server.client() as client:
        client.faults[collection].insert_many([{"n": n} for n in range(9)])
    with ScriptRunner({"mongo.it": {"url": frail_server.url}}) as runner:
        runner.load(a__py=script)
        assert runner.handle("next").emitted == [0]
        frail_server.kill()
        frail_server.start()
        until(lambda: runner.handle("count").emitted == [9], "a call to get through")
        assert runner.handle("next").emitted == [["MongoError", 43, True]]
