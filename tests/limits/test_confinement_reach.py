"""What resources need, as the host works it out from their options, and what scripts see of the environment."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.docs.documents import ROOT, sections
from trimtab.api import ANYWHERE, Reach
from trimtab.plugin_manager import Plugins
from trimtab.plugins.sql.options import SqlOptions
from trimtab.plugins.sql.reach import reach_of as sql_reach
from trimtab.runtime import processes
from trimtab.runtime.confinement import declared_reach
from trimtab.runtime.processes import environment
from trimtab.sandbox.javascript import JavaScriptEngine

FOLDER = Path("/project")
SECTIONS = dict(sections(ROOT / "docs" / "operating.md"))
DNS = 53


def of(name: str, **options: Any) -> Reach:
    return declared_reach({name: options}, Plugins.load(), FOLDER)


def ports(*numbers: int, names: bool = False, sockets: bool = False) -> Reach:
    return Reach(ports=frozenset(numbers), names=names, sockets=sockets)


def test_a_reach_covers_what_it_has_and_what_lies_below_its_folders() -> None:
    wide = Reach(reads=frozenset({"/a"}), writes=frozenset({"/b"}), ports=frozenset({1, 2}), names=True)
    assert wide.covers(Reach(reads=frozenset({"/a/x", "/b/y"}), writes=frozenset({"/b/y"}), ports=frozenset({1})))
    for beyond in (
        Reach(reads=frozenset({"/ab"})),
        Reach(writes=frozenset({"/a/x"})),
        ports(3),
        Reach(sockets=True),
        ANYWHERE,
    ):
        assert not wide.covers(beyond)
        assert (wide | beyond).covers(beyond)
        assert (wide | beyond).covers(wide)


def test_who_reaches_any_server_reaches_each_but_no_file_more() -> None:
    assert ANYWHERE.covers(ports(1, names=True, sockets=True))
    assert not ANYWHERE.covers(Reach(reads=frozenset({"/a"})))


@pytest.mark.parametrize(
    ("name", "options", "expected"),
    [
        ("http.a", {"base_url": "https://10.0.0.1/x"}, ports(443)),
        ("http.a", {"base_url": "http://localhost:8080"}, ports(8080)),
        ("http.default", {"allow": ["*.internal", "[::1]:81"]}, ports(80, 81, 443, DNS, names=True)),
        ("http.default", {"allow": ["*:81"]}, ports(81, DNS, names=True)),
        ("http.a", {"verify": "ca.pem"}, Reach(reads=frozenset({"/project/ca.pem"}))),
        ("redis.a", {"url": "redis://10.0.0.1"}, ports(6379)),
        ("redis.a", {"url": "unix:///run/redis"}, Reach(sockets=True)),
        ("redis.a", {"url": "redis+cluster://10.0.0.1:7001"}, ANYWHERE),
        ("redis.a", {"url": "redis+sentinel://10.0.0.1/main"}, ANYWHERE),
        ("mongo.a", {"url": "mongodb://me:pw@db/"}, ports(27017, DNS, names=True)),
        (
            "mongo.a",
            {"url": "mongodb://127.0.0.1:1/?tlsCAFile=/ca&tls=true"},
            ports(1) | Reach(reads=frozenset({"/ca"})),
        ),
        ("mongo.a", {"url": "mongodb://%2Frun%2Fmongo.sock/"}, Reach(sockets=True)),
        ("mongo.a", {"url": "mongodb://a,b/"}, ANYWHERE),
        ("mongo.a", {"url": "mongodb://a/?replicaSet=r"}, ANYWHERE),
        ("mongo.a", {"url": "mongodb+srv://a/"}, ANYWHERE),
        ("sql.a", {"url": "sqlite:///data/a.db"}, Reach(writes=frozenset({"/project/data"}))),
        ("sql.a", {"url": "jdbc:sqlite:/abs/a.db?x=1"}, Reach(writes=frozenset({"/abs"}))),
        ("sql.a", {"url": "sqlite+pysqlite:///file:a.db?uri=true"}, Reach(writes=frozenset({"/project"}))),
        ("sql.a", {"url": "jdbc:mysql://10.0.0.1/x"}, ports(3306)),
        (
            "sql.a",
            {"url": "mariadb+pymysql://u:p%40/w@10.0.0.1:33/x?ssl_ca=/ca"},
            ports(33) | Reach(reads=frozenset({"/ca"})),
        ),
        ("sql.a", {"url": "jdbc:sqlserver://10.0.0.1:14;databaseName=x"}, ports(14)),
        ("sql.a", {"url": "jdbc:oracle:thin:@h:1521:x"}, ANYWHERE),
        (
            "sql.a",
            {"url": "jdbc:h2:mem:x", "driver": "org.h2.Driver", "jar": "h2.jar"},
            ANYWHERE | Reach(reads=frozenset({"/project/h2.jar"})),
        ),
        ("sql.a", {"url": 1}, Reach()),
    ],
)
def test_a_resource_needs_the_servers_and_files_of_its_options(
    name: str, options: dict[str, Any], expected: Reach
) -> None:
    assert of(name, **options) == expected


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("postgresql://u:p/w@10.0.0.1:1/db?sslrootcert=/ca", ports(1) | Reach(reads=frozenset({"/ca"}))),
        ("jdbc:postgresql://10.0.0.1:1,[::1]/db", ports(1, 5432)),
        ("postgresql://db.internal/x", ports(5432, DNS, names=True)),
        ("postgresql+psycopg:///x?host=/run/postgresql", Reach(sockets=True)),
        ("postgresql://me@/x", Reach(sockets=True)),
    ],
)
def test_postgresql_needs_its_servers_and_the_files_that_its_driver_looks_for(url: str, expected: Reach) -> None:
    home = Reach(reads=frozenset(str(Path(place).expanduser()) for place in ("~/.postgresql", "~/.pgpass")))
    assert sql_reach(SqlOptions(url=url), FOLDER) == expected | home


def test_options_of_a_resource_that_is_dropped_need_nothing() -> None:
    assert declared_reach({"sql.a": None, "unknown.b": {}}, Plugins.load(), FOLDER) == Reach()


def test_only_scripts_in_lofka_mode_need_servers_that_are_not_declared() -> None:
    engine = next(engine for engine in Plugins.load().script_engines() if isinstance(engine, JavaScriptEngine))
    assert engine.reaches("a.js", b"function processing_data(text) {}") == ANYWHERE
    assert engine.reaches("a.js", b"export function handle(event) {}") == Reach()
    assert engine.reaches("a.ts", b"function processing_data(text) {}") == Reach()


def test_scripts_see_of_the_environment_what_is_listed() -> None:
    host = {"PATH": "p", "PYTHONPATH": "q", "LC_ALL": "C", "DB_PASSWORD": "s", "HTTPS_PROXY": "s", "PGPASSWORD": "s"}
    assert environment(host) == {"PATH": "p", "PYTHONPATH": "q", "LC_ALL": "C"}


def test_the_guide_lists_what_scripts_see_of_the_environment() -> None:
    paragraph = SECTIONS["Confinement"].split("no secret")[0]
    named = {name for name in re.findall(r"`([A-Z_]+)`", paragraph) if not name.endswith("_")} - {"PYTHON"}
    assert environment(dict.fromkeys(named, "x")).keys() == named
    assert {*named, "TMPDIR"} == processes._PASSED_ON


def test_a_reach_is_told_to_a_worker_as_it_is() -> None:
    reach = Reach(frozenset({"/a"}), frozenset({"/b"}), frozenset({1}), names=True, sockets=True, anywhere=True)
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(reach), type=Reach) == reach
