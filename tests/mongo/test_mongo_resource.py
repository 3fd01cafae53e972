"""The resource: its options, its sign of life, its connections and threads."""

from __future__ import annotations

import subprocess
import sys
import threading
from typing import Any
from urllib.parse import quote

import msgspec
import pytest

from tests.mongo.asking import Asker
from tests.servers.mongo_server import HOST, PASSWORD, USERNAME, MongoServer
from tests.servers.programs import free_port, until
from trimtab.api import CallError
from trimtab.durations import check_positive_duration
from trimtab.engine.calls import Call
from trimtab.plugin_manager import Plugins
from trimtab.plugins.mongo.options import MongoOptions, check_url
from trimtab.plugins.mongo.resource import MongoResource
from trimtab.testing.scripts import ScriptRunner


def resource(**options: Any) -> MongoResource:
    return MongoResource(msgspec.convert(options, MongoOptions), "mongo.it")


def check(**options: Any) -> None:
    made = resource(**options)
    try:
        made.check()
    finally:
        made.close()


def refused(**options: Any) -> CallError:
    with pytest.raises(CallError) as caught:
        check(**options)
    error = caught.value
    assert error.__cause__ is error.__context__ is None
    return error


def test_a_server_that_answers_passes_the_check(server: MongoServer) -> None:
    check(url=server.url)


def test_who_logs_in_passes_the_check(locked_server: MongoServer) -> None:
    check(url=locked_server.url, user=USERNAME, password=PASSWORD)
    check(url=f"mongodb://{USERNAME}:{quote(PASSWORD, safe='')}@{locked_server.address}/?authSource=admin")


@pytest.mark.parametrize("wrong", [{"user": "nobody", "password": PASSWORD}, {"user": USERNAME, "password": "x"}])
def test_who_cannot_log_in_is_refused(locked_server: MongoServer, wrong: dict[str, str]) -> None:
    error = refused(url=locked_server.url, **wrong)
    assert (error.name, error.code, error.retryable) == ("AuthenticationError", 18, False)
    assert "check `user`, `password` and `authSource`" in error.message
    assert PASSWORD not in error.message


@pytest.mark.parametrize("language", ["python", "javascript"])
def test_scripts_log_in(locked_server: MongoServer, language: str, collection: str) -> None:
    options = {"url": locked_server.url, "user": USERNAME, "password": PASSWORD}
    with Asker(language, options, collection) as asker:
        assert asker("insert", {"_id": 1})["inserted"] == 1
    with Asker(language, {"url": locked_server.url}, collection) as asker:
        assert asker.refusal("find_one").code == 13
    with Asker(language, options | {"password": "wrong"}, collection) as asker:
        assert asker.refusal("find_one").name == "AuthenticationError"


def test_a_server_that_is_not_there_fails_the_check() -> None:
    error = refused(url=f"mongodb://{HOST}:{free_port()}", timeout="300ms")
    assert (error.name, error.retryable) == ("ConnectionError", True)
    assert "mongo.it: expected a connection, got" in error.message
    assert "Connection refused" in error.message


def test_a_name_that_cannot_be_resolved_fails_the_check() -> None:
    assert refused(url="mongodb://no-such-host.invalid/", timeout="300ms").name in {"ConnectionError", "TimeoutError"}
    assert refused(url="mongodb+srv://no-such-host.invalid/", timeout="300ms").retryable


def test_a_resource_that_is_not_used_begins_no_thread() -> None:
    before = set(threading.enumerate())
    made = resource(url="mongodb://127.0.0.1:1/")
    assert set(threading.enumerate()) == before
    made.close()


def test_close_ends_the_threads_and_may_be_called_again(server: MongoServer) -> None:
    before = set(threading.enumerate())
    made = resource(url=server.url)
    made.check()
    assert set(threading.enumerate()) > before
    made.close()
    until(lambda: set(threading.enumerate()) <= before, "the driver's threads to end")
    made.close()


# --- options ---

URLS = ["localhost:27017", "http://localhost/", "mongodb://", "mongodb://h:port/", "mongodb://h/?timeoutMS=x", ""]


@pytest.mark.parametrize("url", URLS)
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match='expected an address such as "mongodb://host:27017/"'):
        check_url(url)
    with pytest.raises(CallError, match=r"mongo\.it: expected an address such as"):
        resource(url=url)


def test_an_address_with_a_password_is_not_shown() -> None:
    with pytest.raises(ValueError, match="escape user name and password") as caught:
        check_url("mongodb://user:p@ss/word@host/")
    assert "word" not in str(caught.value).replace("password", "")


def test_a_timeout_is_above_0() -> None:
    check_positive_duration("1ms")
    with pytest.raises(ValueError, match="more than 0 seconds"):
        check_positive_duration("0s")


PLACES = [
    ({"database": "one"}, "", ["things"], "one"),
    ({}, "two", ["things"], "two"),
    ({"database": "one"}, "two", ["things"], "one"),
    ({"database": "one"}, "two", ["three", "things"], "three"),
]


@pytest.mark.parametrize(("options", "path", "names", "database"), PLACES)
def test_the_database_is_named_or_the_one_of_the_configuration(
    server: MongoServer, options: dict[str, str], path: str, names: list[str], database: str
) -> None:
    with server.client() as client:
        client[database].things.drop()
        client[database].things.insert_one({"_id": 1, "database": database})
    with ScriptRunner({"mongo.it": {"url": server.url + path, **options}}) as runner:
        runner.load(
            a__py=f"""
            from trimtab import emit, mongo
            def handle(event):
                emit("out", mongo("it").collection(*{names}).find_one())
            """.replace("\n            ", "\n")
        )
        assert runner.handle({}).emitted == [{"_id": 1, "database": database}]


def test_a_database_must_be_known(server: MongoServer) -> None:
    made = resource(url=server.url)
    with pytest.raises(ValueError, match=r"or set `database` of \[resources\.mongo\.it\]"):
        made.run_on(None, "things", lambda collection: collection.find_one())
    made.close()


@pytest.mark.parametrize("names", ["'db', 5", "''", "'db', ''", "5"])
def test_a_collection_must_be_named(names: str) -> None:
    with ScriptRunner({"mongo.it": {"url": "mongodb://127.0.0.1:1/"}}) as runner:
        runner.load(a__py=f"from trimtab import mongo\ndef handle(event): mongo('it').collection({names})")
        (fault,) = runner.handle({}).faults
        assert "expected collection(database, name) or collection(name)" in fault.message


def test_a_name_that_mongodb_does_not_take_is_refused(server: MongoServer) -> None:
    made = resource(url=server.url)
    for database, name in [("a.b", "c"), ("a", ".c"), ("a", "b$")]:
        with pytest.raises(ValueError, match="expected what MongoDB can hold, got InvalidName"):
            made.run_on(database, name, lambda collection: collection.find_one())
    made.close()


def test_importing_the_plugin_does_not_import_the_driver() -> None:
    code = "import sys, trimtab.plugins.mongo; sys.exit('pymongo' in sys.modules or 'bson' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# --- trimtab try ---

REHEARSED: list[tuple[str, str, Any]] = [
    ("find", "({}, sort={'a': 1}).toArray()", []),
    ("find", "({'a': 1}).limit(1).first()", None),
    ("findOne", "({})", None),
    ("count", "()", 0),
    ("distinct", "('a')", []),
    ("aggregate", "([]).toArray()", []),
    ("insert", "([{'a': 1}])", {"inserted": 0, "ids": []}),
    ("update", "({}, {'$set': {'a': 1}}, one=True)", {"matched": 0, "modified": 0, "upserted": 0, "ids": []}),
    ("replace", "({}, {})", {"matched": 0, "modified": 0, "upserted": 0, "ids": []}),
    ("upsert", "({}, {})", {"matched": 0, "modified": 0, "upserted": 0, "ids": []}),
    ("delete", "({})", {"deleted": 0}),
    ("bulk", "([])", {"inserted": 0, "matched": 0, "modified": 0, "upserted": 0, "deleted": 0}),
    ("createIndex", "({'a': -1})", "a_-1"),
    ("indexes", "()", []),
    ("dropIndex", "('a')", None),
]


@pytest.mark.parametrize(("method", "call", "answer"), REHEARSED)
def test_a_rehearsed_call_is_shown_and_reaches_nobody(method: str, call: str, answer: Any) -> None:
    seen: list[Call] = []
    with ScriptRunner({"mongo.it": {"url": "mongodb://127.0.0.1:1/"}}, rehearsed=seen) as runner:
        runner.load(
            a__py=f"from trimtab import emit, mongo\n"
            f"def handle(event): emit('out', mongo('it').collection('d', 'c').{method}{call})"
        )
        assert runner.handle({}).emitted == [answer]
    assert [(shown.resource, shown.method) for shown in seen] == [("mongo.it", method)]


def test_a_rehearsed_call_shows_its_options_last() -> None:
    seen: list[Call] = []
    with ScriptRunner({"mongo.it": {"url": "mongodb://127.0.0.1:1/"}}, rehearsed=seen) as runner:
        runner.load(
            a__py="from trimtab import mongo\n"
            "def handle(event): mongo('it').collection('d', 'c').find({'a': 1}).limit(2).toArray()"
        )
        runner.handle({})
    assert seen[0].arguments == ({"a": 1}, {"limit": 2})


def test_the_kind_is_there() -> None:
    assert Plugins.load().resource_kinds()["mongo"].options is MongoOptions
