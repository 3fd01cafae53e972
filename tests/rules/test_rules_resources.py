"""Where a discoverer gets the address of its database from: the resource as it runs, else as it is declared."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from trimtab.api import DiscovererContext, DiscovererKind, OutsideError
from trimtab.config import load
from trimtab.deploy.discoverers import find_discoverers
from trimtab.errors import ConfigurationError
from trimtab.plugin_manager import Plugins
from trimtab.plugins.sql.options import SqlOptions
from trimtab.testing import TestingPlugin

DECLARED = """
[resources.sql.racks]
url = "sqlite:///${FILE}"
timeout = "5s"
[discoverers.spy]
type = "spy"
"""


class NoOptions(msgspec.Struct, frozen=True):
    """None."""


class Spy:
    """Has a discoverer made that remembers its context."""

    def __init__(self, folder: Path, text: str = DECLARED) -> None:
        (folder / "scripts").mkdir()
        (folder / "trimtab.toml").write_text(text)
        kind = DiscovererKind("spy", NoOptions, self._create)
        self._plugins = Plugins.load([("spy", TestingPlugin(discoverer_kinds=[kind]))])
        self.config = load(folder / "trimtab.toml", self._plugins)

    def context(self, running: Callable[[str], bytes | None] = lambda _name: None) -> DiscovererContext:
        find_discoverers(self.config, self._plugins, running)
        return self._context

    def _create(self, _options: NoOptions, _name: str, context: DiscovererContext) -> Any:
        self._context = context


@pytest.fixture
def spy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Spy:
    monkeypatch.setenv("FILE", "secret.db")
    return Spy(tmp_path)


def test_before_anything_runs_a_resource_is_as_it_is_declared(spy: Spy) -> None:
    assert spy.context().resource("sql.racks") == SqlOptions(url="sqlite:///secret.db", timeout="5s")


def test_then_it_is_as_it_runs(spy: Spy) -> None:
    running = {"resources.sql.racks": json.dumps({"url": "sqlite:///one.db"}).encode()}
    context = spy.context(running.get)
    assert context.resource("sql.racks") == SqlOptions(url="sqlite:///one.db")
    running["resources.sql.racks"] = json.dumps({"url": "sqlite:///two-${FILE}"}).encode()
    assert context.resource("sql.racks") == SqlOptions(url="sqlite:///two-secret.db")


def test_what_variables_hold_is_never_shown(spy: Spy) -> None:
    spy.context().resource("sql.racks")
    assert spy.config.mask("no such file: secret.db") == "no such file: ***"


def test_a_variable_that_is_not_set_any_more_is_an_outage(spy: Spy, monkeypatch: pytest.MonkeyPatch) -> None:
    context = spy.context()
    monkeypatch.delenv("FILE")
    with pytest.raises(OutsideError, match="FILE") as refused:
        context.resource("sql.racks")
    assert refused.value.retryable


def test_a_resource_that_is_not_declared_is_told_with_the_nearest_that_is(spy: Spy) -> None:
    expected = (
        r"expected a declared resource, got sql\.rack, and there is no \[resources\.sql\.rack\]; did you mean racks"
    )
    with pytest.raises(OutsideError, match=expected) as refused:
        spy.context().resource("sql.rack")
    assert not refused.value.retryable


def test_a_host_does_not_start_with_rules_of_a_database_that_is_not_declared(tmp_path: Path) -> None:
    (tmp_path / "scripts").mkdir()
    (tmp_path / "trimtab.toml").write_text('[discoverers.racks]\ntype = "sql-rules"\nresource = "racks"\n')
    command = [sys.executable, "-m", "trimtab", "run", "--config", str(tmp_path / "trimtab.toml")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "discoverers.racks: expected a declared resource, got sql.racks" in done.stderr + done.stdout


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ('resource = ""', "discoverers.racks.resource: expected text that is not empty"),
        (
            'resource = "racks"\ncolumns = {patern = "x"}',
            "discoverers.racks.columns: expected a table of columns of a rule",
        ),
        ('resource = "racks"\ntable = "a"\nquery = "b"', "discoverers.racks: expected keys that fit together"),
        ('resource = "racks"\nquery = "b"\nupdated_at = "c"', "discoverers.racks: expected keys that fit together"),
        ('resource = "racks"\nprobe = "b"\nupdated_at = "c"', "discoverers.racks: expected keys that fit together"),
        ('resource = "racks"\npoll = 0', "discoverers.racks.poll: expected a duration above 0"),
        ('resource = "racks"\nfull_every = 0', "discoverers.racks.full_every: expected a whole number of at least 1"),
        ('resource = "racks"\ntable = "a; drop"', "discoverers.racks.table: expected the name of a table"),
        ('resource = "racks"\ninterval = "1s"', "discoverers.racks.interval: expected one of"),
    ],
)
def test_keys_that_cannot_be_meant_are_told_with_their_path(tmp_path: Path, keys: str, message: str) -> None:
    (tmp_path / "scripts").mkdir()
    path = tmp_path / "trimtab.toml"
    path.write_text(f'[discoverers.racks]\ntype = "sql-rules"\n{keys}\n')
    with pytest.raises(ConfigurationError) as refused:
        load(path, Plugins.load())
    assert str(refused.value).startswith(message)
