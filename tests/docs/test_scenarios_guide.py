"""The five problems: their page is walked on the demo host, and its configuration for servers is valid."""

from __future__ import annotations

import json
import signal
import tomllib
from pathlib import Path

import pytest

from tests.docs.documents import GUIDES, blocks
from tests.docs.test_readme import demo_host
from tests.docs.walkthrough import PATIENCE, Walkthrough
from tests.e2e.project import eventually
from tests.servers.programs import program
from trimtab.config import load
from trimtab.plugin_manager import Plugins

PAGE = GUIDES / "scenarios.md"
URL = "http://127.0.0.1:8471"
CONFIGURATIONS = [block for block in blocks(PAGE) if block.language == "toml"]


def address(folder: Path) -> str | None:
    """Where the host in a folder listens, once it does."""
    path = folder / ".trimtab" / "host.json"
    return str(json.loads(path.read_text())["url"]) if path.exists() else None


@pytest.mark.timeout(300)
def test_the_page_goes_as_it_says(tmp_path: Path) -> None:
    program("curl", "curl")
    project = tmp_path / "project"
    project.mkdir()
    with demo_host(project) as terminal:
        url = eventually(lambda: address(project), "the host listens")
        page = tmp_path / PAGE.name
        page.write_text(PAGE.read_text().replace(URL, url))
        Walkthrough(project, terminal.printed).follow(page)
        terminal.process.send_signal(signal.SIGINT)
        assert terminal.process.wait(PATIENCE) == 0, terminal.printed()


@pytest.mark.parametrize("number", range(len(CONFIGURATIONS)))
def test_its_configuration_for_servers_is_valid(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    (tmp_path / "scripts").mkdir()
    for name in ("FLEET_PASSWORD", "FENCES_TOKEN", "SMS_TOKEN", "MAIL_TOKEN", "PUSH_TOKEN"):
        monkeypatch.setenv(name, "secret")
    path = tmp_path / "trimtab.toml"
    path.write_text(CONFIGURATIONS[number].text)
    config = load(path, Plugins.load())
    said = tomllib.loads(path.read_text())
    assert config.sources.keys() == said.get("sources", {}).keys()
    assert config.sinks.keys() == said.get("sinks", {}).keys()
    assert {f"{kind}.{name}" for kind, names in said.get("resources", {}).items() for name in names} == set(
        config.resources
    )
