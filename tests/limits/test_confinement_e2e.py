"""What scripts can do to the machine, the host and the network: in real lanes, in Python that tries."""

from __future__ import annotations

import json
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.project import Project, eventually, running
from tests.servers.redis_servers import RedisServer
from trimtab.sandbox.confinement import missing

SECRET = "correct-horse-battery"
TRIES = """
import ctypes, os, socket, sqlite3, ssl, subprocess, sys, tempfile, threading
from trimtab import emit, http, redis, sql

def connect(port, host="127.0.0.1"):
    with socket.create_connection((host, port), 5):
        return "connected"

def read(path):
    with open(path, "rb") as file:
        return file.read().decode("utf-8", "replace")

def write(path):
    with open(path, "w") as file:
        return file.write("x")

def make_socket(*kind):
    with socket.socket(*kind):
        return "made"

def child(*command):
    return subprocess.run(command, capture_output=True).returncode

def forked(work):
    heard, told = os.pipe()
    if os.fork() == 0:
        try:
            work()
            os.write(told, b"done")
        finally:
            os._exit(0)
    os.close(told)
    return os.read(heard, 10).decode()

def trace(pid):
    if ctypes.CDLL(None, use_errno=True).ptrace(16, pid, 0, 0) == 0:
        return "attached"
    raise OSError(ctypes.get_errno(), "ptrace")

def handle(event):
    try:
        result = eval(event["try"])
    except Exception as error:
        result = getattr(error, "name", None) or type(error).__name__
    emit("out", [event["try"], result])
"""
IN_JAVASCRIPT = """
import { emit, sql } from "trimtab";
import { greet } from "greet";
interface Event { n: number }
export function handle(event: Event) { emit("out", [greet(event.n), sql("orders").query("select 1 as one")[0].one]); }
"""


def results(project: Project, *expressions: str) -> list[Any]:
    """What the script got for each expression, in order."""
    before = len(project.emitted())
    project.send(*({"try": expression} for expression in expressions))
    eventually(lambda: len(project.emitted()) >= before + len(expressions), "all is tried")
    got = dict(project.emitted()[before:])
    return [got[expression] for expression in expressions]


def trying(folder: Path, extra: str = "") -> Project:
    project = Project(folder, lanes=1, extra=f"{extra}\n[settings]\nsecret = '${{TEST_SECRET}}'")
    project.save("tries.py", TRIES)
    return project


@pytest.fixture(autouse=True)
def _secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_SECRET", SECRET)
    monkeypatch.setenv("LC_TEST", "passed on")


@pytest.fixture
def listening() -> Iterator[int]:
    """The port of a server that no configuration declares."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        yield port


def test_what_is_not_declared_is_out_of_reach_where_lanes_are_confined(tmp_path: Path, listening: int) -> None:
    project = trying(tmp_path)
    with running(project):
        assert project.process is not None
        host = project.process.pid
        state = tmp_path / ".trimtab"
        tries = [
            "read('/etc/shadow')",
            f"read('{state / 'control.token'}')",
            f"read('{state / 'artifacts.db'}')",
            f"read('{project.config}')",
            f"write('{project.scripts / 'more.py'}')",
            f"write('{state / 'control.token'}')",
            f"write('{tmp_path / 'beside'}')",
            "write('/dev/shm/beside')",
            f"read('/proc/{host}/environ')",
            f"read('/proc/{host}/cmdline')",
            "read(f'/proc/{os.getppid()}/environ')",
            f"os.kill({host}, 0)",
            "os.kill(os.getppid(), 0)",
            f"trace({host})",
            f"connect({listening})",
            "make_socket(socket.AF_INET, socket.SOCK_DGRAM)",
            "make_socket(socket.AF_INET, socket.SOCK_STREAM, 262)",  # MPTCP, which Landlock lets through
            "make_socket(socket.AF_UNIX)",
            "socket.create_server(('127.0.0.1', 0))",
        ]
        indirect = [
            "child('cat', '/etc/shadow')",
            f"forked(lambda: connect({listening}))",
            "http.get('http://192.0.2.1/')",
        ]
        got = results(project, *tries)
        if missing() is None:
            assert dict(zip(tries, got, strict=True)) == dict.fromkeys(tries, "PermissionError")
            assert results(project, *indirect) == [1, "", "PolicyError"]
            assert project.process.poll() is None
        else:
            assert "lanes are not confined" in _doctor(project)["confinement"]


def test_a_secret_of_the_host_is_in_no_environment_of_a_script(tmp_path: Path) -> None:
    project = trying(tmp_path)
    with running(project):
        own, _of_file, variable = results(
            project, "dict(os.environ)", "read('/proc/self/environ')", "os.environ.get('LC_TEST')"
        )
    assert SECRET not in json.dumps(project.emitted())
    assert variable == "passed on"
    assert set(own) >= {"PATH", "TMPDIR"}


def test_processes_of_scripts_get_no_new_privileges_and_leave_no_core_dumps(tmp_path: Path) -> None:
    project = trying(tmp_path)
    with running(project):
        status, limit = results(
            project, "read('/proc/self/status')", "__import__('resource').getrlimit(__import__('resource').RLIMIT_CORE)"
        )
    assert "NoNewPrivs:\t1" in status
    assert limit == [0, 0]


def test_temporary_files_of_scripts_go_with_the_host_however_it_ends(tmp_path: Path) -> None:
    project = trying(tmp_path)
    with running(project):
        (folder,) = results(project, "(tempfile.mkstemp(), tempfile.gettempdir())[1]")
        assert list(Path(folder).iterdir()) != []
        project.stop(signal.SIGKILL)
        eventually(lambda: not Path(folder).exists(), "the folder is deleted")


def test_what_is_declared_and_what_python_needs_is_within_reach(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    with closing(sqlite3.connect(tmp_path / "data" / "orders.db")) as connection:
        connection.execute("create table orders (n integer)")
    with RedisServer(tmp_path) as server:
        declared = f"""
            [resources.sql.orders]
            url = "jdbc:sqlite:data/orders.db"
            [resources.redis.tcp]
            url = "{server.url}"
            [resources.redis.socket]
            url = "{server.socket_url}"
        """
        project = trying(tmp_path, declared)
        expected = {
            "sql('orders').execute('insert into orders values (1)')": 1,
            "redis('tcp').set('k', 'v')": True,
            "redis('socket').get('k')": "v",
            f"connect({server.port})": "connected",
            f"len(read('{project.scripts / 'tries.py'}')) > 0": True,
            "tempfile.TemporaryFile().write(b'x')": 1,
            "len(ssl.create_default_context().get_ca_certs()) >= 0": True,
            "__import__('colorsys').__name__": "colorsys",  # what nobody has imported before
            "socket.getaddrinfo('localhost', 80) != []": True,
            "[t.start() or t.join() for t in [threading.Thread(target=len, args=('x',)) for _ in range(100)]] != []": True,
            "child(sys.executable, '-c', 'import json')": 0,
            "write('/dev/null')": 1,
        }
        with running(project):
            assert dict(zip(expected, results(project, *expected), strict=True)) == expected
    with closing(sqlite3.connect(tmp_path / "data" / "orders.db")) as connection:
        assert connection.execute("select n from orders").fetchall() == [(1,)]


def test_typescript_finds_its_packages_and_leaves_what_it_compiled_in_the_cache(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    project = Project(tmp_path, extra='[resources.sql.orders]\nurl = "sqlite:///data/new.db"')
    package = project.scripts / "node_modules" / "greet"
    package.mkdir(parents=True)
    (package / "index.js").write_text("exports.greet = (n) => `hello ${n}`;")
    project.save("work.ts", IN_JAVASCRIPT)
    with running(project):
        project.send({"n": 1})
        assert eventually(project.emitted, "the event is handled") == [["hello 1", 1]]
    assert list((tmp_path / ".trimtab" / "cache").glob("typescript-*.json"))


def test_a_server_that_a_change_declares_can_be_reached_from_then_on(tmp_path: Path, listening: int) -> None:
    project = trying(tmp_path)
    with running(project):
        (before,) = results(project, f"connect({listening})")
        assert before == ("PermissionError" if missing() is None else "connected")
        with project.config.open("a") as file:
            file.write(f'\n[resources.http.new]\nbase_url = "http://127.0.0.1:{listening}"\n')
        eventually(lambda: "http.new" in project.status()["resources"], "the change is taken")
        assert results(project, f"connect({listening}) ") == ["connected"]


def test_files_that_the_sandbox_lists_are_within_reach(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "a.txt").write_text("a")
    (tmp_path / "out").mkdir()
    project = trying(tmp_path, '[sandbox]\nreads = ["models"]\nwrites = ["out"]')
    model, out = tmp_path / "models" / "a.txt", tmp_path / "out" / "b.txt"
    with running(project):
        got = results(project, f"read('{model}')", f"write('{out}')", f"write('{model}')")
    assert got == ["a", 1, "PermissionError" if missing() is None else 1]


@pytest.mark.parametrize("words", ['[sandbox]\nresources = "any"', ""], ids=["any", "lofka"])
def test_no_server_is_out_of_reach_of_who_may_reach_any(tmp_path: Path, listening: int, words: str) -> None:
    project = trying(tmp_path, words)
    if not words:
        project.save("old.js", "function processing_data(text) { return text; }")
    with running(project):
        assert results(project, f"connect({listening})", "make_socket(socket.AF_INET, socket.SOCK_DGRAM)") == [
            "connected",
            "made",
        ]
        (state,) = results(project, f"read('{tmp_path / '.trimtab' / 'control.token'}') != ''")
        assert state == ("PermissionError" if missing() is None else True)


def test_a_host_that_must_confine_its_lanes_and_cannot_does_not_start(tmp_path: Path) -> None:
    project = Project(tmp_path, extra="[sandbox]\nrequire = true")
    without = "import sys; sys.modules['sandlock'] = None; from trimtab.cli.main import main; main()"
    command = [sys.executable, "-c", without, "run", "--config", str(project.config)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert "sandbox.require: expected lanes that are confined" in done.stderr
    assert "trimtab[confinement]" in done.stderr or "Landlock" in done.stderr


def test_a_host_that_must_confine_its_lanes_starts_where_the_doctor_says_that_it_can(tmp_path: Path) -> None:
    project = Project(tmp_path, extra="[sandbox]\nrequire = true")
    found = _doctor(project)
    if missing() is None:
        assert "lanes are confined (Landlock version" in found["confinement"]
        with running(project):
            pass
    else:
        assert "sandbox.require" in found["configuration"]


def test_the_doctor_says_what_the_lanes_of_a_configuration_reach(tmp_path: Path) -> None:
    declared = """
        [resources.redis.cache]
        url = "redis://127.0.0.1:6390"
        [resources.sql.beside]
        url = "sqlite:///orders.db"
    """
    found = _doctor(Project(tmp_path, extra=declared))["lanes reach"]
    assert found.startswith("TCP ports 6390; the state folder")


def _doctor(project: Project) -> dict[str, str]:
    checks = json.loads(project.trimtab("doctor", "--json", check=False).stdout)["checks"]
    return {check["name"]: check["found"] for check in checks}
