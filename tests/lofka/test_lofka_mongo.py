"""MongoClient."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from bson import Int64, ObjectId

from tests.servers.mongo_server import PASSWORD, USERNAME, MongoServer
from tests.servers.programs import free_port
from trimtab.engine.calls import Call
from trimtab.testing.scripts import Handled, ScriptRunner


def run(setting: dict[str, str], name: str, code: str, **options: Any) -> Handled:
    """Run code with ``mongo`` and ``coll`` in it, which returns something."""
    source = f"""
var mongo = new MongoClient({json.dumps(setting)});
var coll = mongo.get_collection("lofka", "{name}");
function processing_data(text) {{ return JSON.stringify((function () {{ {code} }})()); }}
function close() {{ mongo.close(); }}"""
    with ScriptRunner(settings={"lofka": {"sink": "out", "timeout": "10s"}}, **options) as runner:
        runner.load(a__js=source)
        handled = runner.handle(1)
        assert runner.close() == []
        return handled


def result(server: MongoServer, name: str, code: str) -> Any:
    """What the code returns."""
    handled = run({"servers": server.address}, name, code)
    assert handled.faults == []
    return json.loads(handled.emitted[0])


@pytest.fixture
def points(mongo_server: MongoServer, name: str) -> Iterator[str]:
    """The name of a collection with the numbers from 0 to 4 in it."""
    with mongo_server.client() as client:
        client["lofka"][name].insert_many([{"_id": n, "n": n, "odd": n % 2 == 1} for n in range(5)])
        client["lofka"][name].create_index("n")
        yield name


def test_find_is_chained(mongo_server: MongoServer, points: str) -> None:
    code = """
return coll.find({ odd: false }).sort({ n: -1 }).skip(1).limit(5).projection({ n: 1, _id: 0 }).hint({ n: 1 }).toArray();"""
    assert result(mongo_server, points, code) == [{"n": 2}, {"n": 0}]


def test_find_without_a_filter_finds_all_and_filter_replaces_it(mongo_server: MongoServer, points: str) -> None:
    code = "return [coll.find().toArray().length, coll.find({ n: 1 }).filter({ odd: true }).sort({ n: 1 }).toArray().length]"
    assert result(mongo_server, points, code) == [5, 2]


def test_what_is_said_of_a_query_holds_without_chaining(mongo_server: MongoServer, points: str) -> None:
    code = "var found = coll.find(); found.sort({ n: -1 }); found.limit(2); return found.toArray().map(function (d) { return d.n })"
    assert result(mongo_server, points, code) == [4, 3]


def test_first_is_a_document_or_null(mongo_server: MongoServer, points: str) -> None:
    code = "return [coll.find({ odd: true }).sort({ n: -1 }).first(), coll.find({ n: 99 }).first()]"
    assert result(mongo_server, points, code) == [{"_id": 3, "n": 3, "odd": True}, None]


def test_count_and_remove_return_numbers(mongo_server: MongoServer, points: str) -> None:
    code = "return [coll.count({ odd: true }), coll.count(), coll.remove({ odd: true }), coll.count({})]"
    assert result(mongo_server, points, code) == [2, 5, 2, 3]


def test_aggregate_returns_a_list(mongo_server: MongoServer, points: str) -> None:
    code = "return coll.aggregate([{ $match: { n: { $gt: 0 } } }, { $group: { _id: '$odd', sum: { $sum: '$n' } } }, { $sort: { _id: 1 } }])"
    assert result(mongo_server, points, code) == [{"_id": False, "sum": 6}, {"_id": True, "sum": 4}]


def test_insert_takes_an_object_or_a_list(mongo_server: MongoServer, name: str) -> None:
    code = "coll.insert({ x: 1 }); coll.insert([{ x: 2 }, { x: 3 }]); return coll.count({})"
    assert result(mongo_server, name, code) == 3


def test_upsert_one_sets_fields_of_one_document(mongo_server: MongoServer, points: str) -> None:
    code = """
coll.upsert_one({ n: 1 }, { seen: true }); coll.upsert_one({ n: 77 }, { seen: false });
return coll.find({ seen: { $exists: true } }).sort({ n: 1 }).projection({ _id: 0 }).toArray();"""
    assert result(mongo_server, points, code) == [{"n": 1, "odd": True, "seen": True}, {"n": 77, "seen": False}]


def test_values_that_json_has_not_are_extended_json_both_ways(mongo_server: MongoServer, name: str) -> None:
    key, at = ObjectId(), datetime(2018, 11, 28, tzinfo=UTC)
    with mongo_server.client() as client:
        client["lofka"][name].insert_one({"_id": key, "at": at, "long": Int64(5), "int": 5, "double": 0.5})
    code = f"""
var at = new Date("2018-11-28T00:00:00Z").getTime();
coll.insert({{ _id: 2, at: {{ $date: at }}, long: {{ $numberLong: "6" }} }});
return [coll.find({{ _id: {{ $oid: "{key}" }}, at: {{ $date: at }} }}).first(), coll.count({{ at: {{ $date: at }} }})];"""
    milliseconds = int(at.timestamp() * 1000)
    document = {
        "_id": {"$oid": str(key)},
        "at": {"$date": milliseconds},
        "long": {"$numberLong": "5"},
        "int": 5,
        "double": 0.5,
    }
    assert result(mongo_server, name, code) == [document, 2]
    with mongo_server.client() as client:
        stored = client["lofka"][name].find_one({"_id": 2})
    assert stored == {"_id": 2, "at": at, "long": 6}


def test_a_collection_got_for_an_event_can_be_kept(mongo_server: MongoServer, name: str) -> None:
    source = f"""
var coll = null, mongo = new MongoClient({{ servers: "{mongo_server.address}" }});
function processing_data(text) {{
  if (coll === null) coll = mongo.get_collection("lofka", "{name}");
  coll.insert({{ text: text }});
}}"""
    with ScriptRunner(settings={"lofka": {"timeout": "10s"}}) as runner:
        runner.load(a__js=source)
        assert [*runner.handle(1).faults, *runner.handle(2).faults] == []


def test_auth_logs_in(tmp_path_factory: pytest.TempPathFactory, name: str) -> None:
    with MongoServer(tmp_path_factory.mktemp("locked"), login=True) as locked:
        setting = {"servers": locked.address, "auth": f"{USERNAME}:{PASSWORD}@admin"}
        assert run(setting, name, "coll.insert({ a: 1 }); return coll.count({})").emitted == ["1"]
        (fault,) = run({**setting, "auth": f"{USERNAME}:wrong@admin"}, name, "return coll.count({})").faults
        assert fault.name == "AuthenticationError"
        assert "wrong" not in fault.message


def test_a_server_that_is_not_there_fails_the_event_and_not_the_script(name: str) -> None:
    source = f"""
var coll = new MongoClient({{ servers: "127.0.0.1:{free_port()}" }}).get_collection("a", "b");
function processing_data(text) {{ coll.count({{}}) }}"""
    with ScriptRunner(settings={"lofka": {"timeout": "500ms"}}) as runner:
        runner.load(a__js=source)
        (fault,) = runner.handle(1).faults
        assert fault.name in {"ConnectionError", "TimeoutError", "TimeLimitExceeded"}


def test_rehearsed_calls_reach_no_server(name: str) -> None:
    calls: list[Call] = []
    code = """
coll.insert({ a: 1 }); coll.upsert_one({ a: 1 }, { b: 2 });
return [coll.find({ a: 1 }).toArray(), coll.find({}).first(), coll.count({}), coll.remove({}), coll.aggregate([])];"""
    handled = run({"servers": f"127.0.0.1:{free_port()}"}, name, code, rehearsed=calls)
    assert handled.emitted == ["[[],null,0,0,[]]"]
    assert [call.method for call in calls][:3] == ["insert", "upsert_one", "find"]
    assert calls[0].arguments == ("lofka", name, {"a": 1})


def test_calls_are_counted_together_whatever_the_address(mongo_server: MongoServer, name: str) -> None:
    (count,) = run({"servers": mongo_server.address}, name, "return coll.count({})").calls
    assert (count.resource, count.calls) == ("lofka.mongo", 1)
