"""Streams through real hosts: one is killed, another goes on."""

from __future__ import annotations

import signal
from pathlib import Path

from tests.e2e.project import Project, eventually, running
from tests.servers.redis_servers import RedisServer

SCRIPT = """
import time
from trimtab import emit, redis

source = "alarms"


def handle(event):
    time.sleep(0.002)
    redis("cache").sadd("handled", event["n"])
    emit("doubled", {"n": event["n"] * 2})
"""
CONFIGURATION = """
[sources.alarms]
type = "redis-stream"
url = "{url}"
stream = "alarms"
claim_after = "500ms"
batch = {batch}
[sinks.doubled]
type = "redis-stream"
url = "{url}"
stream = "doubled"
[resources.redis.cache]
url = "{url}"
"""
COUNT, BATCH = 600, 50


def project(folder: Path, server: RedisServer) -> Project:
    folder.mkdir()
    made = Project(folder, lanes=1, extra=CONFIGURATION.format(url=server.url, batch=BATCH))
    made.save("double.py", SCRIPT)
    return made


def handled(server: RedisServer) -> int:
    return int(server.ask("SCARD", "handled"))


def test_another_host_takes_over_what_a_killed_one_had_in_hand(tmp_path: Path, server: RedisServer) -> None:
    first, second = project(tmp_path / "first", server), project(tmp_path / "second", server)
    with server.client() as client:
        for n in range(COUNT):
            client.xadd("alarms", {"event": f'{{"n": {n}}}'})
    with running(first):
        eventually(lambda: handled(server) > 50, "the first host is at work")
        first.stop(signal.SIGKILL)
    assert server.ask("XPENDING", "alarms", "trimtab")["pending"] > 0
    assert handled(server) < COUNT
    with running(second):
        eventually(lambda: handled(server) == COUNT, "the second host handles the rest")
        eventually(lambda: server.ask("XPENDING", "alarms", "trimtab")["pending"] == 0, "all is acknowledged")
        eventually(lambda: second.status()["sources"]["alarms"]["position"], "the position is shown")
        assert second.stop() == 0
    doubled = {fields["event"] for _id, fields in server.ask("XRANGE", "doubled", "-", "+")}
    assert doubled == {f'{{"n":{n * 2}}}' for n in range(COUNT)}
    assert second.letters() == []


def test_a_host_that_is_stopped_acknowledges_what_it_has_handled(tmp_path: Path, server: RedisServer) -> None:
    host = project(tmp_path / "host", server)
    with server.client() as client:
        for n in range(COUNT):
            client.xadd("alarms", {"event": f'{{"n": {n}}}'})
    with running(host):
        eventually(lambda: handled(server) > 50, "the host is at work")
        assert host.stop() == 0
    assert 50 < handled(server) < COUNT
    assert server.ask("XPENDING", "alarms", "trimtab")["pending"] <= BATCH  # the one that was being handed on
