"""What scripts in both languages may write, and what they get: the contract of the binding."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Case:
    """Expressions with ``r``, ``redis("cache")``: the values of a list, one after the other."""

    name: str
    python: str
    javascript: str
    expected: Any


CASES = [
    Case("a text that is set is got", 'r.set("k", "vü"), r.get("k")', 'r.set("k", "vü"), r.get("k")', [True, "vü"]),
    Case("what is not there is nothing", 'r.get("k"), r.hget("h", "f")', 'r.get("k"), r.hget("h", "f")', [None, None]),
    Case(
        "numbers and truth values become text",
        'r.set("k", 1.5), r.get("k"), r.set("k", True), r.get("k"), r.set("k", 7), r.get("k")',
        'r.set("k", 1.5), r.get("k"), r.set("k", true), r.get("k"), r.set("k", 7), r.get("k")',
        [True, "1.5", True, "true", True, "7"],
    ),
    Case(
        "big integers keep every digit",
        'r.set("k", 9007199254740993), r.get("k")',
        'r.set("k", 9007199254740993n), r.get("k")',
        [True, "9007199254740993"],
    ),
    Case(
        "options come by name",
        'r.set("k", "v", ex=60), r.ttl("k"), r.set("k", "w", nx=True)',
        'r.set("k", "v", { ex: 60 }), r.ttl("k"), r.set("k", "w", { nx: true })',
        [True, 60, None],
    ),
    Case(
        "options may come as a last object in Python too",
        'r.set("k", "v", {"ex": 60}), r.ttl("k")',
        'r.set("k", "v", { ex: 60 }), r.ttl("k")',
        [True, 60],
    ),
    Case(
        "a hash takes an object of fields or one field",
        'r.hset("h", {"a": 1, "b": "x"}), r.hset("h", "c", 2), r.hset("h", mapping={"d": 3}), r.hgetall("h")',
        'r.hset("h", { a: 1, b: "x" }), r.hset("h", "c", 2), r.hset("h", { d: 3 }), r.hgetall("h")',
        [2, 1, 1, {"a": "1", "b": "x", "c": "2", "d": "3"}],
    ),
    Case(
        "fields named like options are fields",
        'r.hset("h", {"key": 1, "value": 2, "mapping": 3}), r.hgetall("h")',
        'r.hset("h", { key: 1, value: 2, mapping: 3 }), r.hgetall("h")',
        [3, {"key": "1", "value": "2", "mapping": "3"}],
    ),
    Case(
        "hmset and expire are there",
        'r.hmset("h", {"a": 1}), r.expire("h", 100), r.ttl("h")',
        'r.hmset("h", { a: 1 }), r.expire("h", 100), r.ttl("h")',
        [True, True, 100],
    ),
    Case(
        "a sorted set gives pairs with scores",
        'r.zadd("z", {"m": 1.5, "n": 2}), r.zadd("z", {"m": 9}, nx=True), r.zrange("z", 0, -1, withscores=True)',
        'r.zadd("z", { m: 1.5, n: 2 }), r.zadd("z", { m: 9 }, { nx: true }), r.zrange("z", 0, -1, { withscores: true })',
        [2, 0, [["m", 1.5], ["n", 2.0]]],
    ),
    Case(
        "a stream gives pairs of id and fields",
        'r.xadd("s", {"f": "v"}, id="1-1"), r.xrange("s"), r.xlen("s")',
        'r.xadd("s", { f: "v" }, { id: "1-1" }), r.xrange("s"), r.xlen("s")',
        ["1-1", [["1-1", {"f": "v"}]], 1],
    ),
    Case(
        "a set comes as a sorted list",
        'r.sadd("t", 3, 1, 2), r.smembers("t"), r.sismember("t", 1)',
        'r.sadd("t", 3, 1, 2), r.smembers("t"), r.sismember("t", 1)',
        [3, ["1", "2", "3"], 1],
    ),
    Case(
        "a list keeps its order",
        'r.rpush("l", 1, 2, 3), r.lrange("l", 0, -1), r.lpop("l")',
        'r.rpush("l", 1, 2, 3), r.lrange("l", 0, -1), r.lpop("l")',
        [3, ["1", "2", "3"], "1"],
    ),
    Case(
        "counters count",
        'r.incr("n"), r.incr("n", 5), r.decr("n")',
        'r.incr("n"), r.incr("n", 5), r.decr("n")',
        [1, 6, 5],
    ),
    Case(
        "keys are deleted by either name, of several nodes too",
        'r.mset({"{x}a": 1, "{x}b": 2}), r.set("c", 3), r.delete("{x}a", "c"), getattr(r, "del")("{x}b"), r.exists("c")',
        'r.mset({ "{x}a": 1, "{x}b": 2 }), r.set("c", 3), r.delete("{x}a", "c"), r.del("{x}b"), r.exists("c")',
        [True, True, 2, 1, 0],
    ),
    Case(
        "commands have their names in camel case too",
        'r.hset("h", "f", 1), r.hgetAll("h"), r.hincrBy("h", "f", 4)',
        'r.hset("h", "f", 1), r.hgetAll("h"), r.hincrBy("h", "f", 4)',
        [1, {"f": "1"}, 5],
    ),
    Case(
        "a command may be sent as it is",
        'r.command("XADD", "s", "1-1", "f", "v"), r.command("xlen", "s"), r.command("OBJECT ENCODING", "s")',
        'r.command("XADD", "s", "1-1", "f", "v"), r.command("xlen", "s"), r.command("OBJECT ENCODING", "s")',
        ["1-1", 1, "stream"],
    ),
    Case(
        "a command that the driver has no plain method for is sent by its name",
        'r.bitfield("k", "INCRBY", "u8", 0, 5)',
        'r.bitfield("k", "INCRBY", "u8", 0, 5)',
        [[5]],
    ),
    Case(
        "a script of the server's is run",
        'r.eval("return {KEYS[1], ARGV[1], 7}", 1, "k", "a")',
        'r.eval("return {KEYS[1], ARGV[1], 7}", 1, "k", "a")',
        [["k", "a", 7]],
    ),
    Case("a message without listeners is heard by none", 'r.publish("c", "m")', 'r.publish("c", "m")', [0]),
    Case(
        "bytes go in, and come out where they are asked for",
        'r.set("k", b"\\xff\\x00a"), list(r.bytes().get("k")), r.bytes().hgetall("h")',
        'r.set("k", new Uint8Array([255, 0, 97])), Array.from(r.bytes().get("k")), r.bytes().hgetall("h")',
        [True, [255, 0, 97], {}],
    ),
    Case(
        "the fields of a hash have text names also among bytes",
        'r.hset("h", {"f": "v"}), {name: list(value) for name, value in r.bytes().hgetall("h").items()}',
        'r.hset("h", { f: "v" }), { f: Array.from(r.bytes().hgetall("h").f) }',
        [1, {"f": [118]}],
    ),
    Case(
        "a blocking command may wait for less than the timeout",
        'r.rpush("l", 1), r.blpop("l", 1), r.blpop("l", timeout=0.01)',
        'r.rpush("l", 1), r.blpop("l", 1), r.blpop("l", { timeout: 0.01 })',
        [1, ["l", "1"], None],
    ),
    Case(
        "a pipeline gives the answers",
        'r.pipeline(lambda p: (p.set("{x}a", 1), p.incr("{x}a"), p.hset("{x}h", {"f": 1}), p.hgetall("{x}h")))',
        'r.pipeline((p) => { p.set("{x}a", 1); p.incr("{x}a"); p.hset("{x}h", { f: 1 }); p.hgetall("{x}h"); })',
        [[True, 2, 1, {"f": "1"}]],
    ),
    Case(
        "a pipeline without transaction may reach many nodes",
        'r.pipeline(lambda p: [p.set(f"k{n}", n) for n in range(50)], transaction=False), r.get("k49")',
        'r.pipeline((p) => { for (let n = 0; n < 50; n++) p.set(`k${n}`, n); }, { transaction: false }), r.get("k49")',
        [[True] * 50, "49"],
    ),
    Case(
        "a pipeline sends commands as they are too",
        'r.pipeline(lambda p: (p.command("SET", "k", "v"), p.get("k")))',
        'r.pipeline((p) => { p.command("SET", "k", "v"); p.get("k"); })',
        [[True, "v"]],
    ),
    Case("an empty pipeline sends nothing", "r.pipeline(lambda p: None)", "r.pipeline(() => {})", [[]]),
    Case(
        "scans find the keys of all nodes",
        '[r.set(f"k{n}", n) for n in range(30)][0], len(set(r.scan_iter(match="k*", count=5)))',
        "[...Array(30).keys()].map((n) => r.set(`k${n}`, n))[0], "
        'new Set(r.scanIter({ match: "k*", count: 5 }).toArray()).size',
        [True, 30],
    ),
    Case(
        "scans of one key give what its whole reads give",
        'r.hset("h", {"a": 1}), r.sadd("t", "m"), r.zadd("z", {"m": 1}), list(r.hscan_iter("h")), '
        'list(r.sscan_iter("t")), list(r.zscan_iter("z", count=5))',
        'r.hset("h", { a: 1 }), r.sadd("t", "m"), r.zadd("z", { m: 1 }), [...r.hscanIter("h")], '
        '[...r.sscanIter("t")], [...r.zscanIter("z", { count: 5 })]',
        [1, 1, 1, [["a", "1"]], ["m"], [["m", 1.0]]],
    ),
    Case(
        "a scan of nothing finds nothing", 'list(r.scan_iter(match="no*"))', '[...r.scanIter({ match: "no*" })]', [[]]
    ),
]


@dataclass(frozen=True, slots=True)
class Refusal:
    """An expression that fails: with an error of this name, this code and these words in its message."""

    name: str
    python: str
    javascript: str
    error: str
    says: str
    code: str | None = None
    retryable: bool | None = None


REFUSALS = [
    Refusal(
        "the wrong type of key",
        '(r.set("k", 1), r.hgetall("k"))',
        '[r.set("k", 1), r.hgetall("k")]',
        "RedisError",
        "answer HGETALL, got WRONGTYPE",
        "WRONGTYPE",
        False,
    ),
    Refusal(
        "a script that the server does not have",
        'r.evalsha("0" * 40, 0)',
        'r.evalsha("0".repeat(40), 0)',
        "RedisError",
        "script",
        "NOSCRIPT",
        False,
    ),
    Refusal(
        "one command of a transaction",
        'r.pipeline(lambda p: (p.set("{x}a", "t"), p.incr("{x}a")))',
        'r.pipeline((p) => { p.set("{x}a", "t"); p.incr("{x}a"); })',
        "RedisError",
        "INCR (command 2 of the pipeline)",
        "ERR",
        False,
    ),
    Refusal(
        "one command of a pipeline",
        'r.pipeline(lambda p: (p.set("a", "t"), p.lpush("a", "t")), transaction=False)',
        'r.pipeline((p) => { p.set("a", "t"); p.lpush("a", "t"); }, { transaction: false })',
        "RedisError",
        "LPUSH (command 2 of the pipeline)",
        "WRONGTYPE",
        False,
    ),
    Refusal("nothing as a value", 'r.set("k", None)', 'r.set("k", null)', "TypeError", "got nothing (null, None)"),
    Refusal("an object as a value", 'r.set("k", {"a": 1})', 'r.set("k", { a: 1 })', "TypeError", "JSON.stringify"),
    Refusal("a list as a value", 'r.hset("h", "f", [1])', 'r.hset("h", "f", [1])', "TypeError", "json.dumps"),
    Refusal(
        "nothing as a value in a pipeline",
        'r.pipeline(lambda p: (p.get("k"), p.set("k", None)))',
        'r.pipeline((p) => { p.get("k"); p.set("k", null); })',
        "TypeError",
        "command 2 of the pipeline: SET",
    ),
    Refusal("a missing argument", 'r.set("k")', 'r.set("k")', "TypeError", "set: missing a required argument: 'value'"),
    Refusal(
        "an unknown option",
        'r.set("k", "v", {"exx": 1})',
        'r.set("k", "v", { exx: 1 })',
        "TypeError",
        "expected options among ex, px, nx",
    ),
    Refusal("text that is none", '(r.set("k", b"\\xff"), r.get("k"))', '[r.set("k", new Uint8Array([255])), r.get("k")]', "ValueError", "ask for bytes: redis('cache').bytes()"),
    Refusal("subscribing", 'r.subscribe("c")', 'r.subscribe("c")', "ValueError", "SUBSCRIBE is refused"),
    Refusal("another database", "r.select(1)", "r.select(1)", "ValueError", "SELECT is refused"),
    Refusal("logging in", 'r.auth("p")', 'r.auth("p")', "ValueError", "AUTH is refused"),
    Refusal("silence", 'r.client_reply("OFF")', 'r.clientReply("OFF")', "ValueError", "CLIENT REPLY is refused"),
    Refusal("silence, in raw words", 'r.command("client", "reply", "off")', 'r.command("client", "reply", "off")', "ValueError", "CLIENT REPLY is refused"),
    Refusal("an open transaction", "r.multi()", "r.multi()", "ValueError", "use pipeline()"),
    Refusal("watching", 'r.watch("k")', 'r.watch("k")', "ValueError", "use pipeline()"),
    Refusal("a transaction in raw words of a pipeline", 'r.pipeline(lambda p: p.command("MULTI"))', 'r.pipeline((p) => { p.command("MULTI"); })', "ValueError", "MULTI is refused"),
    Refusal("waiting for ever", 'r.blpop("l")', 'r.blpop("l")', "ValueError", "got 0 s (for ever)"),
    Refusal("waiting for longer than the timeout", 'r.blpop("l", 5)', 'r.blpop("l", 5)', "ValueError", "less than the resource's timeout of 2 s, got 5 s"),
    Refusal(
        "waiting for ever for a stream",
        'r.xread({"s": "$"}, block=0)',
        'r.xread({ s: "$" }, { block: 0 })',
        "ValueError",
        "XREAD to wait for more than 0 s",
    ),
    Refusal("what the driver has beside commands", "r.connection_pool()", "r.connection_pool()", "RedisError", "CONNECTION_POOL", retryable=False),
    Refusal("a lock", 'r.lock("k")', 'r.lock("k")', "RedisError", "LOCK", retryable=False),
]  # fmt: skip
