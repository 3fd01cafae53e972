"""The parts that need no server: addresses, options, rehearsals, scripts without effects."""

from __future__ import annotations

from pathlib import Path

import pytest

from trimtab.api import parse_duration
from trimtab.engine.calls import Call
from trimtab.plugins.redis.address import Address, Form, parse_address
from trimtab.plugins.redis.options import RedisOptions, check_positive
from trimtab.testing import ScriptRunner


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("redis://h", Address(Form.SINGLE, (("h", 6379),))),
        ("redis://h:7000/3", Address(Form.SINGLE, (("h", 7000),), database=3)),
        ("rediss://u:p%40ss@h", Address(Form.SINGLE, (("h", 6379),), tls=True, username="u", password="p@ss")),
        ("redis://:p@[::1]:7000", Address(Form.SINGLE, (("::1", 7000),), password="p")),
        ("unix:///run/redis.sock", Address(Form.SOCKET, path="/run/redis.sock")),
        ("unix://u:p@/run/redis.sock", Address(Form.SOCKET, path="/run/redis.sock", username="u", password="p")),
        ("redis+cluster://a:1,b:2", Address(Form.CLUSTER, (("a", 1), ("b", 2)))),
        (
            "rediss+cluster://u:p@a,b",
            Address(Form.CLUSTER, (("a", 6379), ("b", 6379)), True, username="u", password="p"),
        ),
        ("redis+sentinel://a,b:2/m/4", Address(Form.SENTINEL, (("a", 26379), ("b", 2)), master="m", database=4)),
    ],
)
def test_an_address_says_where_redis_is(url: str, address: Address) -> None:
    assert parse_address(url) == address


@pytest.mark.parametrize(
    "url",
    [
        "h:6379",
        "http://h",
        "redis://",
        "redis://a,b",
        "redis://h:port",
        "redis://h/x",
        "redis://h?db=1",
        "unix://socket",
        "redis+cluster://h/1",
        "redis+cluster://a,,b",
        "redis+sentinel://h",
    ],
)
def test_an_address_that_cannot_be_meant_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="expected"):
        parse_address(url)


def test_the_mistake_in_an_address_is_told_without_the_password() -> None:
    with pytest.raises(ValueError, match="expected") as caught:
        parse_address("redis://user:secret@h:port")
    assert "secret" not in str(caught.value)


def test_options_go_before_the_login_of_the_address() -> None:
    options = RedisOptions(url="redis://a:b@h", user="c", password="d")
    assert (options.address().username, options.address().password) == ("c", "d")


def test_no_password_is_shown() -> None:
    address = parse_address("redis+sentinel://u:secret@a:1,b:2/m")
    assert str(address) == "a:1,b:2/m"
    assert "secret" not in repr(address)


def test_a_timeout_is_above_zero() -> None:
    with pytest.raises(ValueError, match="1 ms"):
        check_positive(0)
    assert parse_duration(RedisOptions(url="redis://h").timeout) == 2


PYTHON = """
from trimtab import redis, emit

def handle(event):
    r = redis("cache")
    emit("out", [r.get("k"), r.hgetall("h"), r.incr("n"), r.set("k", 1, ex=5), list(r.scan_iter()),
                 r.pipeline(lambda p: (p.get("k"), p.lrange("l", 0, -1)))])
"""
JAVASCRIPT = """
import { redis, emit } from "trimtab";

export function handle(event) {
  const r = redis("cache");
  emit("out", [r.get("k"), r.hgetall("h"), r.incr("n"), r.set("k", 1, { ex: 5 }), [...r.scanIter()],
               r.pipeline((p) => { p.get("k"); p.lrange("l", 0, -1); })]);
}
"""


@pytest.mark.parametrize(("name", "script"), [("try.py", PYTHON), ("try.js", JAVASCRIPT)])
def test_a_rehearsed_script_gets_what_an_empty_redis_answers(name: str, script: str, tmp_path: Path) -> None:
    calls: list[Call] = []
    with ScriptRunner({"redis.cache": {"url": "redis://127.0.0.1:1"}}, rehearsed=calls, folder=tmp_path) as runner:
        runner.load(**{name.replace(".", "__"): script})
        handled = runner.handle({})
    assert handled.faults == []
    assert handled.emitted == [[None, {}, 1, True, [], [None, []]]]
    assert [(call.method, call.arguments) for call in calls] == [
        ("get", ("k",)),
        ("hgetall", ("h",)),
        ("incr", ("n",)),
        ("set", ("k", 1, {"ex": 5})),
        ("scanIter", ()),
        ("pipeline", ("GET", "LRANGE")),
    ]


def test_every_call_is_counted(tmp_path: Path) -> None:
    with ScriptRunner({"redis.cache": {"url": "redis://127.0.0.1:1"}}, folder=tmp_path) as runner:
        runner.load(get__py="from trimtab import redis\ndef handle(event):\n    redis('cache').get('k')\n")
        [count] = runner.handle({}).calls
    assert (count.script, count.resource, count.calls, count.failed) == ("get.py", "redis.cache", 1, 1)


@pytest.mark.parametrize("name", ["new_pipeline", "newPipeline"])
def test_scripts_find_pipelines_by_their_function_alone(name: str) -> None:
    calls: list[Call] = []
    source = f"""
from trimtab import emit, redis

def handle(event):
    emit("out", redis("cache").{name}())
"""
    with ScriptRunner({"redis.cache": {"url": "redis://127.0.0.1:1"}}, rehearsed=calls) as runner:
        runner.load(a__py=source)
        runner.handle(1)
    assert [call.method for call in calls] == [name]
