"""The architecture, as rules on who may import whom."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import trimtab.api

ROOT = Path(__file__).parents[2]
PACKAGES = {"trimtab": ROOT / "host", "trimtab.plugins": ROOT / "plugins", "trimtab.sandbox": ROOT / "sandbox"}

PURE = ("trimtab.engine", "trimtab.expressions")
IMPURE = ("asyncio", "os", "signal", "socket", "sqlite3", "subprocess", "threading", "time", "watchfiles")
HOST_SIDE = ("trimtab.cli", "trimtab.control", "trimtab.deploy", "trimtab.host", "trimtab.runtime")


def modules(package: str) -> Iterator[tuple[str, Path]]:
    """Every module of one of our packages, by its dotted name."""
    top = max((name for name in PACKAGES if package.startswith(name)), key=len)
    folder = PACKAGES[top].joinpath(*package.removeprefix(top).strip(".").split("."))
    for path in folder.rglob("*.py"):
        parts = path.relative_to(folder).with_suffix("").parts
        yield ".".join((package, *(part for part in parts if part != "__init__"))), path


def imports(path: Path) -> set[str]:
    """Everything that a module imports when it runs, wherever in it: not what only type checkers read."""
    found: set[str] = set()
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            node.body = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return found


def within(name: str, packages: tuple[str, ...]) -> bool:
    return any(name == package or name.startswith(package + ".") for package in packages)


@pytest.mark.parametrize("package", PURE)
def test_pure_packages_know_no_process_file_clock_or_runtime(package: str) -> None:
    for name, path in modules(package):
        bad = {each for each in imports(path) if within(each, IMPURE + HOST_SIDE)}
        assert not bad, f"{name} imports {bad}"


def test_plugins_import_the_door_and_each_other_only() -> None:
    for name, path in modules("trimtab.plugins"):
        for each in imports(path):
            if within(each, ("trimtab",)):
                allowed = ("trimtab.api", "trimtab.plugins", "trimtab.sandbox")
                assert within(each, allowed), f"{name} imports {each} instead of trimtab.api"


def test_script_engines_know_nothing_of_the_host_side() -> None:
    for name, path in modules("trimtab.sandbox"):
        bad = {each for each in imports(path) if within(each, HOST_SIDE)}
        assert not bad, f"{name} imports {bad}"


def test_what_lanes_import_does_not_bring_the_host_side_along() -> None:
    code = "import sys, trimtab.runtime.nursery; print(*sorted(sys.modules), sep='\\n')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    heavy = {"httpx", "rich", "starlette", "structlog", "typer", "uvicorn", "watchfiles"}
    assert not heavy & set(done.stdout.split())


DOOR = """
ANYWHERE
Binding CallError Caller Codec CodecError Connector Discoverer DiscovererContext DiscovererKind Duration Events Fault Hand HandlerRun
HandlerSpec INTERNAL LogEntry Notice OutsideError Pages PluginError Position Problem Reach Records Resource ResourceBinding ResourceKind Scope
Script ScriptEngine ScriptError ScriptHost ScriptInstance ScriptObject Sink SinkContext SinkError SinkKind Snapshot
Source SourceContext SourceError SourceKind StateError Timer TrimtabError check_positive_duration hookimpl is_ignored name_problem parse_duration
"""


def test_the_door_has_exactly_these_names() -> None:
    assert sorted(trimtab.api.__all__) == sorted(DOOR.split())
    assert all(hasattr(trimtab.api, name) for name in trimtab.api.__all__)
