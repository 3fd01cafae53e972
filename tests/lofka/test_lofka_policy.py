"""Lofka scripts make their own connections; held to the configuration, only to what it declares."""

from __future__ import annotations

import select
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.lofka.lofka_http import EchoServer
from tests.servers.redis_servers import RedisServer
from trimtab.errors import ChangeRefused
from trimtab.plugins.lofka.reach import SQL
from trimtab.plugins.sql.options import SqlOptions
from trimtab.testing.scripts import ScriptRunner

CONNECTIONS = {
    "redis": 'new RedisCluster(["h2:7001", "h1"])',
    "sql": 'new SQLConnection({uri: "jdbc:postgresql://db/orders?user=u&password=s3cr3t"})',
    "mongo": 'new MongoClient({servers: "h2:27018,h1", auth: "u:s3cr3t@admin"})',
}
DECLARED: dict[str, dict[str, Any]] = {
    "redis.cache": {"url": "redis+cluster://h1:6379,h2:7001,h3:7001"},
    "sql.orders": {"url": "postgresql+psycopg://db:5432/other"},
    "mongo.logs": {"url": "mongodb://h1,h2:27018,h3/"},
}


def outcome(code: str, declared: Mapping[str, dict[str, Any]], *, confined: bool | None) -> str:
    """The name of the error that the code ends with at the top level, and its message."""
    source = f"var e = '';\ntry {{ {code} }} catch (error) {{ e = error.name + ': ' + error.message }}\nfunction processing_data() {{ print(e) }}"
    with ScriptRunner(resources=declared, confined=confined, rehearsed=[]) as runner:
        runner.load(a__js=source)
        runner.handle(1)
        return runner.logged[-1].message


@pytest.mark.parametrize("kind", CONNECTIONS)
@pytest.mark.parametrize("confined", [None, False])
def test_any_address_will_do_unless_scripts_are_held_to_the_configuration(kind: str, confined: bool | None) -> None:
    assert outcome(CONNECTIONS[kind], {}, confined=confined) == ""


@pytest.mark.parametrize("kind", CONNECTIONS)
def test_an_address_that_a_resource_of_the_kind_has_will_do(kind: str) -> None:
    assert outcome(CONNECTIONS[kind], DECLARED, confined=True) == ""


@pytest.mark.parametrize("kind", CONNECTIONS)
def test_another_address_is_refused_with_the_configuration_that_would_allow_it(kind: str) -> None:
    others = {name: options for name, options in DECLARED.items() if not name.startswith(kind)}
    message = outcome(CONNECTIONS[kind], others, confined=True)
    assert message.startswith("PolicyError: ")
    assert f"to allow it: [resources.{kind}.NAME] url = " in message
    assert "s3cr3t" not in message


def test_one_address_too_many_is_named() -> None:
    message = outcome('new RedisCluster(["h1", "other:1"])', DECLARED, confined=True)
    assert "got other:1; " in message


@pytest.mark.parametrize(
    "code",
    [
        'new RedisCluster(["other:1", "y@h1:6379"])',
        'new RedisCluster(["h1:6379/0"])',
        'new RedisCluster(["%68%31:6379"])',
        'new RedisCluster(["h1,other:1"])',
        'new MongoClient({servers: "h1/?replicaSet=@other:1"})',
        'new MongoClient({servers: "y@h1"})',
        'new MongoClient({servers: "h1,"})',
        'new MongoClient({servers: "h1:99999"})',
    ],
)
@pytest.mark.parametrize("confined", [None, True])
def test_a_server_is_a_host_and_a_port_and_nothing_more(code: str, confined: bool | None) -> None:
    message = outcome(code, DECLARED, confined=confined)
    assert message.startswith("ValueError: expected servers as host:port, got another form")


@pytest.mark.parametrize(
    ("uri", "seen"),
    [
        ("jdbc:postgresql://db,other/x", "other:5432"),
        ("jdbc:postgresql://@db/x", "@db:5432"),
        ("jdbc:postgresql:x", "localhost:5432"),
        ("jdbc:mysql://(host=db)/x", "(host=db):3306"),
        ("jdbc:sqlserver://;serverName=other", "other:1433"),
        (r"jdbc:sqlserver://db\\other", r"db\other:1433"),
        ("jdbc:oracle:thin:@other:5432:x", "other:5432"),
        ("jdbc:sqlite:/srv/x.db", "sqlite:////srv/x.db"),
    ],
)
def test_a_jdbc_address_is_held_to_where_its_driver_would_connect(uri: str, seen: str) -> None:
    message = outcome(f'new SQLConnection({{uri: "{uri}"}})', DECLARED, confined=True)
    assert message.startswith("PolicyError: expected an address that the configuration declares (db:5432), got ")
    assert seen in message


@pytest.mark.parametrize(
    "uri",
    [
        "postgresql://db:5432/x",
        "postgresql://db:5432/x?port=1",
        "postgresql://db:5432/x?hostaddr=10.0.0.1",
        "postgresql:///x?service=other",
        "mysql://db:5432/x?unix_socket=/run/other",
        "jdbc:sqlite:x.db",
        "jdbc:sqlite:file:/srv/x.db",
    ],
)
def test_an_address_whose_place_may_stand_elsewhere_is_refused(uri: str) -> None:
    declared = DECLARED | {"sql.file": {"url": "jdbc:sqlite:x.db"}}
    message = outcome(f'new SQLConnection({{uri: "{uri}"}})', declared, confined=True)
    assert message.startswith("PolicyError: SQLConnection: expected a JDBC address")
    assert "PolicyError" not in outcome(f'new SQLConnection({{uri: "{uri}"}})', declared, confined=False)


def test_parameters_that_name_another_place_lead_nowhere() -> None:
    with socket.create_server(("127.0.0.1", 0)) as declared, socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        address = f"jdbc:postgresql://127.0.0.1:{declared.getsockname()[1]}/x"
        source = f"""
var db = new SQLConnection({{uri: "{address}?host=localhost&hostaddr=127.0.0.1&port={port}", user: "u", password: "p"}});
function processing_data() {{ db.query("select 1") }}"""
        with ScriptRunner(resources={"sql.db": {"url": address}}, confined=True) as runner:
            runner.load(a__js=source)
            assert len(runner.handle(1).faults) == 1
        assert select.select([declared, other], [], [], 10)[0] == [declared]


def test_a_file_is_the_declared_one_in_its_own_letters(tmp_path: Path) -> None:
    declared = {"sql.file": {"url": f"jdbc:sqlite:{tmp_path}/orders.db"}}
    assert outcome(f'new SQLConnection({{uri: "jdbc:sqlite:{tmp_path}/orders.db"}})', declared, confined=True) == ""
    message = outcome(f'new SQLConnection({{uri: "jdbc:sqlite:{tmp_path}/ORDERS.db"}})', declared, confined=True)
    assert f'to allow it: [resources.sql.NAME] url = "sqlite:///{tmp_path}/ORDERS.db"' in message


def test_what_goes_to_java_is_no_address_for_lofka() -> None:
    assert SQL.addresses(SqlOptions("jdbc:db2://db:50000/x", driver="com.example.Driver", jar="db2.jar")) == frozenset()


def test_a_declared_cluster_whose_name_cannot_be_resolved_is_a_connection_error() -> None:
    message = outcome(CONNECTIONS["mongo"], {"mongo.logs": {"url": "mongodb+srv://logs.invalid/"}}, confined=True)
    assert message.startswith("ConnectionError: expected the servers of a declared mongodb+srv:// address, got none")


def test_connections_are_counted_together_whatever_the_addresses() -> None:
    source = """
function processing_data(n) { try { new RedisCluster(["127.0.0.1:" + n]) } catch (error) { print(error.name) } }"""
    with ScriptRunner() as runner:
        runner.load(a__js=source)
        (count,) = runner.handle(1, 2, 3).calls
    assert (count.resource, count.calls, count.failed) == ("lofka.redis", 3, 3)


def test_requests_follow_the_list_of_allowed_hosts(http_server: EchoServer) -> None:
    source = f'var t = syncHttp.get("{http_server.url}/get", {{}}, String);\nfunction processing_data() {{ print(t) }}'
    with ScriptRunner(confined=True) as runner:
        with pytest.raises(ChangeRefused, match=r"PolicyError.*allow = "):
            runner.load(a__js=source)
        runner.declare(http__default={"allow": [http_server.address]})
        runner.load(a__js=source)
        assert runner.handle(1).faults == []


def test_load_follows_it_too(http_server: EchoServer) -> None:
    with ScriptRunner(confined=True) as runner, pytest.raises(ChangeRefused, match=r"PolicyError.*allow = "):
        runner.load(a__js=f'load("{http_server.url}/lib.js");\nfunction processing_data() {{}}')
    assert http_server.asked == []


def test_load_is_held_to_the_same_where_calls_are_rehearsed(http_server: EchoServer) -> None:
    http_server.texts["/lib.js"] = "function lib() { return 'lib' }"
    source = f'load("{http_server.url}/lib.js");\nfunction processing_data() {{ print(lib()) }}'
    with ScriptRunner(confined=True, rehearsed=[]) as runner:
        with pytest.raises(ChangeRefused, match=r"PolicyError.*allow = "):
            runner.load(a__js=source)
        runner.declare(http__default={"allow": [http_server.address]})
        runner.load(a__js=source)
        runner.handle(1)
        assert runner.logged[-1].message == "lib"
    assert http_server.asked == ["GET /lib.js"]


def test_a_declared_address_is_used_with_what_the_script_says(redis_server: RedisServer) -> None:
    source = f'var r = new RedisCluster(["{redis_server.address}"]);\nfunction processing_data() {{ r.get("a") }}'
    with ScriptRunner(resources={"redis.any": {"url": redis_server.url}}, confined=True) as runner:
        runner.load(a__js=source)
        assert runner.handle(1).faults == []
