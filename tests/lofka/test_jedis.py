"""Methods of Jedis become commands of Redis."""

from __future__ import annotations

from typing import Any

import pytest

from trimtab.plugins.lofka.jedis import command_of


@pytest.mark.parametrize(
    ("method", "arguments", "command"),
    [
        ("get", ["k"], "GET k"),
        ("hgetAll", ["k"], "HGETALL k"),
        ("setex", ["k", 60, "v"], "SETEX k 60 v"),
        ("set", ["k", "v", "NX", "EX", 10], "SET k v NX EX 10"),
        ("hmset", ["k", {"a": "1", "b": "2"}], "HMSET k a 1 b 2"),
        ("lpush", ["k", "a", "b"], "LPUSH k a b"),
        ("lpush", ["k", ["a", "b"]], "LPUSH k a b"),
        ("zadd", ["k", 1.5, "m"], "ZADD k 1.5 m"),
        ("zadd", ["k", 2.0, "m"], "ZADD k 2 m"),
        ("zadd", ["k", {"m": 1, "n": 2}], "ZADD k 1 m 2 n"),
        ("zrangeByScore", ["k", "-inf", "+inf"], "ZRANGEBYSCORE k -inf +inf"),
        ("zrangeByScore", ["k", 0, 9, 5, 10], "ZRANGEBYSCORE k 0 9 LIMIT 5 10"),
        ("zrevrangeByScoreWithScores", ["k", 9, 0, 5, 10], "ZREVRANGEBYSCORE k 9 0 WITHSCORES LIMIT 5 10"),
        ("zrangeWithScores", ["k", 0, -1], "ZRANGE k 0 -1 WITHSCORES"),
        ("blpop", [1, "a", "b"], "BLPOP a b 1"),
        ("brpoplpush", ["a", "b", 1], "BRPOPLPUSH a b 1"),
        ("zunionstore", ["to", "a", "b"], "ZUNIONSTORE to 2 a b"),
        ("eval", ["return 1", "k"], "EVAL return 1 0"),
        ("eval", ["return 1"], "EVAL return 1 0"),
        ("eval", ["return 1", 1, "k", "a"], "EVAL return 1 1 k a"),
        ("eval", ["return 1", ["k"], ["a", "b"]], "EVAL return 1 1 k a b"),
        ("setbit", ["k", 7, True], "SETBIT k 7 1"),
        ("append", ["k", True], "APPEND k true"),
        ("randomKey", [], "RANDOMKEY"),
    ],
)
def test_a_method_becomes_a_command(method: str, arguments: list[Any], command: str) -> None:
    made = command_of(method, arguments)
    assert " ".join([made.name, *made.words]) == command


@pytest.mark.parametrize(
    ("method", "arguments", "came", "reply"),
    [
        ("exists", ["k"], 1, True),
        ("exists", ["k", "l"], 2, 2),
        ("sismember", ["k", "m"], 0, False),
        ("zscore", ["k", "m"], "1.5", 1.5),
        ("zscore", ["k", "m"], None, None),
        ("incrByFloat", ["k", 0.5], "2.5", 2.5),
        ("hgetAll", ["k"], ["a", "1", "b", "2"], {"a": "1", "b": "2"}),
        ("hgetAll", ["k"], [], {}),
        ("zrangeWithScores", ["k", 0, 1], ["m", "2"], [{"element": "m", "score": 2.0}]),
        ("expire", ["k", 1], 1, 1),
        ("lrange", ["k", 0, 1], ["a"], ["a"]),
    ],
)
def test_a_reply_has_the_type_that_jedis_gives_it(method: str, arguments: list[Any], came: Any, reply: Any) -> None:
    made = command_of(method, arguments).reply(came)
    assert (made, type(made)) == (reply, type(reply))


def test_null_is_refused_as_jedis_refuses_it() -> None:
    with pytest.raises(TypeError, match="null"):
        command_of("set", ["k", None])
