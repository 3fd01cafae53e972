"""RedisCluster, on a cluster and on a single Redis."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.servers.programs import free_port
from tests.servers.redis_servers import RedisCluster, RedisServer
from trimtab.engine.calls import Call
from trimtab.errors import ChangeRefused
from trimtab.testing.scripts import ScriptRunner


@pytest.fixture(params=["cluster", "single"])
def addresses(request: pytest.FixtureRequest) -> Iterator[str]:
    """The addresses as JavaScript writes them: of a cluster, of a single Redis."""
    if request.param == "cluster":
        cluster: RedisCluster = request.getfixturevalue("redis_cluster")
        yield json.dumps(cluster.addresses)
    else:
        server: RedisServer = request.getfixturevalue("redis_server")
        yield json.dumps([server.address])


def returned(addresses: str, code: str, **options: Any) -> list[Any]:
    """What code with ``redis`` and ``jedis`` in it leaves in ``out``."""
    source = f"""
var redis = new RedisCluster({addresses});
function processing_data(text) {{
  var out = [], jedis = redis.get_connection();
  {code}
  return JSON.stringify(out);
}}
function close() {{ redis.close(); }}"""
    with ScriptRunner(settings={"lofka": {"sink": "out"}}, **options) as runner:
        runner.load(a__js=source)
        handled = runner.handle(1)
        assert handled.faults == []
        (text,) = handled.emitted
        result: list[Any] = json.loads(text)
        assert runner.close() == []
        return result


def test_the_methods_of_lofka(addresses: str, name: str) -> None:
    code = f"""
out.push(redis.set("{name}", "v"), redis.get("{name}"), redis.get("{name}_not"));
out.push(redis.hmset("{name}_h", {{a: 1, b: "two"}}), redis.hget("{name}_h", "a"), redis.hget("{name}_h", "no"));
out.push(redis.hgetall("{name}_h"), redis.hgetall("{name}_not"), redis.expire("{name}", 100), redis.expire("{name}_not", 1));"""
    first = ["OK", "v", None]
    assert returned(addresses, code) == [*first, "OK", "1", None, {"a": "1", "b": "two"}, {}, 1, 0]


def test_the_other_commands_by_their_jedis_names(addresses: str, name: str) -> None:
    code = f"""
var k = "{name}";
out.push(jedis.setex(k, 60, "v"), jedis.exists(k), jedis.exists(k + "_not"), jedis.ttl(k) > 0, jedis.type(k));
out.push(jedis.incrBy(k + "n", 5), jedis.incrByFloat(k + "n", 0.5), jedis.setnx(k, "x"), jedis.persist(k));
out.push(jedis.lpush(k + "l", "a", "b"), jedis.lrange(k + "l", 0, -1), jedis.ltrim(k + "l", 0, 0), jedis.llen(k + "l"));
out.push(jedis.sadd(k + "s", "m"), jedis.sismember(k + "s", "m"), jedis.smembers(k + "s"), jedis.scard(k + "s"));
out.push(jedis.zadd(k + "z", 1.5, "m"), jedis.zadd(k + "z", {{n: 2}}), jedis.zscore(k + "z", "m"), jedis.zscore(k + "z", "no"));
out.push(jedis.zrangeByScore(k + "z", 0, 9, 1, 5), jedis.zrangeWithScores(k + "z", 0, 0), jedis.zrank(k + "z", "n"));
out.push(jedis.hincrBy(k + "h", "f", 2), jedis.hexists(k + "h", "f"), jedis.hmget(k + "h", "f", "g"), jedis.hgetAll(k + "h"));
out.push(jedis.del(k), jedis.getSet(k, "new"), jedis.append(k, "er"), jedis.eval("return KEYS[1]", 1, k) === k);"""
    assert returned(addresses, code) == [
        *("OK", True, False, True, "string"),
        *(5, 5.5, 0, 1),
        *(2, ["b", "a"], "OK", 1),
        *(1, True, ["m"], 1),
        *(1, 1, 1.5, None),
        *(["n"], [{"element": "m", "score": 1.5}], 1),
        *(2, True, ["2", None], {"f": "2"}),
        *(1, None, 5, True),
    ]


def test_collections_have_the_methods_of_java(addresses: str, name: str) -> None:
    code = f"""
var k = "{name}";
jedis.rpush(k, "a", "b"); jedis.hset(k + "h", "get", "own"); jedis.zadd(k + "z", 1, "m");
var list = jedis.lrange(k, 0, -1), map = jedis.hgetAll(k + "h"), it = list.iterator(), seen = "";
while (it.hasNext()) seen += it.next();
for (var field in map) seen += field;
var tuple = jedis.zrangeWithScores(k + "z", 0, 0).get(0);
out.push(list.size(), list.get(1), list.contains("b"), list.isEmpty(), list.map(String), seen);
out.push(map.get, map.size(), map.keySet().size(), map.containsKey("no"), tuple.getElement() + tuple.getScore());"""
    assert returned(addresses, code) == [2, "b", True, False, ["a", "b"], "abget", "own", 1, 1, False, "m1"]


def test_methods_can_be_added(addresses: str, name: str) -> None:
    code = f"""
RedisCluster.prototype.push_all = function (key, values) {{ return this.get_connection().rpush(key, values); }};
RedisCluster.prototype["hgetall_pairs"] = function (key) {{ return java_object_to_json(this.get_connection().hgetAll(key)); }};
redis.hmset("{name}_h", {{a: "b"}});
out.push(redis.push_all("{name}", ["x", "y"]), redis.hgetall_pairs("{name}_h"));"""
    assert returned(addresses, code) == [2, {"a": "b"}]


def test_commands_that_change_the_connection_are_refused(addresses: str) -> None:
    assert returned(addresses, "try { jedis.subscribe('a') } catch (e) { out.push(e.name) }") == ["ValueError"]


def test_an_error_of_the_server_can_be_caught(addresses: str, name: str) -> None:
    code = f'redis.set("{name}", "text"); try {{ jedis.lpush("{name}", "x") }} catch (e) {{ out.push(e.name, e.code) }}'
    assert returned(addresses, code) == ["RedisError", "WRONGTYPE"]


def test_nothing_that_answers_refuses_the_script_at_its_line() -> None:
    source = f"\nvar redis = new RedisCluster(['127.0.0.1:{free_port()}']);\nfunction processing_data() {{}}"
    with ScriptRunner() as runner, pytest.raises(ChangeRefused) as refused:
        runner.load(a__js=source)
    fault = refused.value.faults["a.js"]
    assert (fault.name, fault.line) == ("ConnectionError", 2)


def test_the_first_address_that_answers_will_do(redis_server: RedisServer, name: str) -> None:
    addresses = json.dumps([f"127.0.0.1:{free_port()}", redis_server.address])
    assert returned(addresses, f'out.push(redis.set("{name}", 1), redis.get("{name}"))') == ["OK", "1"]


def test_a_closed_connection_says_so(redis_server: RedisServer) -> None:
    code = 'redis.close(); redis.close(); try { redis.get("a") } catch (e) { out.push(e.name) }'
    (name,) = returned(json.dumps([redis_server.address]), code)
    assert name in {"ConnectionError", "ReferenceError"}


def test_a_connection_made_for_an_event_is_there_for_the_next_one(redis_server: RedisServer, name: str) -> None:
    source = f"""
var redis = null;
function processing_data(text) {{
  if (redis === null) redis = new RedisCluster(["{redis_server.address}"]);
  redis.get_connection().incr("{name}");
}}"""
    with ScriptRunner() as runner:
        runner.load(a__js=source)
        assert runner.handle(1, 2).faults == []
        assert runner.handle(3).faults == []
    assert redis_server.ask("GET", name) == "3"


def test_connections_that_a_script_leaves_open_end_with_it(redis_server: RedisServer) -> None:
    before = len(redis_server.ask("CLIENT LIST"))
    source = f'var redis = new RedisCluster(["{redis_server.address}"]);\nfunction processing_data() {{}}'
    with ScriptRunner() as runner:
        runner.load(a__js=source)
        runner.load(a__js=source + "\n")
        runner.load(a__js=source)
        assert len(redis_server.ask("CLIENT LIST")) == before + 1
    assert len(redis_server.ask("CLIENT LIST")) == before


def test_calls_are_counted_under_the_address(redis_server: RedisServer, name: str) -> None:
    source = f'var r = new RedisCluster(["{redis_server.address}"]);\nfunction processing_data() {{ r.get("{name}") }}'
    with ScriptRunner() as runner:
        runner.load(a__js=source)
        (count,) = runner.handle(1, 2).calls
    assert (count.script, count.resource, count.calls) == ("a.js", "lofka.redis", 3)


def test_rehearsed_calls_reach_no_server() -> None:
    calls: list[Call] = []
    code = 'out.push(redis.set("k", 1), redis.get("k"), redis.hgetall("k"), jedis.exists("k"), jedis.smembers("k"))'
    address = json.dumps([f"127.0.0.1:{free_port()}"])
    assert returned(address, code, rehearsed=calls) == ["OK", None, {}, False, []]
    assert [call.method for call in calls] == ["connect", "set", "get", "hgetAll", "exists", "smembers"]


def test_a_call_that_the_time_limit_cuts_off_does_not_answer_the_next_one(redis_server: RedisServer, name: str) -> None:
    source = f"""
var redis = new RedisCluster(["{redis_server.address}"]);
redis.set("{name}", "right");
function processing_data(text) {{
  if (text === "1") redis.get_connection().blpop(0.9, "{name}_none");
  return redis.get("{name}");
}}"""
    with ScriptRunner(settings={"lofka": {"sink": "out", "timeout": "300ms"}}) as runner:
        runner.load(a__js=source)
        handled = runner.handle(1, 2, 3)
        assert len(handled.faults) == 1
        assert handled.emitted == ["right", "right"]


def test_a_new_interpreter_connects_anew_and_leaves_nothing_of_the_old_one_behind(redis_server: RedisServer) -> None:
    before = len(redis_server.ask("CLIENT LIST"))
    source = f"""
var redis = null;
function open() {{ redis = new RedisCluster(["{redis_server.address}"]); }}
function processing_data(text) {{
  for (var kept = []; text === "1"; ) kept.push(new Array(100000).fill(text));
  return redis.set("after", text);
}}"""
    with ScriptRunner(settings={"lofka": {"sink": "out", "timeout": "60s"}}) as runner:
        runner.load(a__js=source)
        handled = runner.handle(1, 2)
        assert [fault.name for fault in handled.faults] == ["MemoryLimitExceeded"]
        assert handled.emitted == ["OK"]
        assert len(redis_server.ask("CLIENT LIST")) == before + 1
