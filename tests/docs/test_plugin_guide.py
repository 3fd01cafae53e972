"""The plugin guide: its example is installed and run, and nothing of the contract is missing."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import trimtab.api
import trimtab.testing
from tests.docs.documents import GUIDES, blocks, sections
from tests.docs.walkthrough import PATIENCE, Walkthrough, environment
from trimtab.plugins import hookspecs

PAGE = GUIDES / "plugins.md"
SECTIONS = sections(PAGE)


TEXTS = {block.title: block.text for block in blocks(PAGE) if block.title}


def install(folder: Path) -> None:
    """Write the metadata that pip would write for the example of the guide, beside its module."""
    project = tomllib.loads(TEXTS["site/pyproject.toml"])["project"]
    folder.mkdir()
    metadata = folder / f"fleet_tools-{project['version']}.dist-info"
    metadata.mkdir()
    name = f"Name: {project['name']}\nVersion: {project['version']}\n"
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\n{name}")
    (metadata / "entry_points.txt").write_text(
        "".join(
            f"[{group}]\n" + "".join(f"{name} = {module}\n" for name, module in points.items())
            for group, points in project["entry-points"].items()
        )
    )


def test_the_example_runs_as_shown_once_it_is_installed(tmp_path: Path) -> None:
    install(tmp_path / "site")
    Walkthrough(tmp_path, environment=environment(PYTHONPATH=str(tmp_path / "site"))).follow(PAGE)


def test_the_tests_of_the_example_pass(tmp_path: Path) -> None:
    (tmp_path / "fleet_tools.py").write_text(TEXTS["site/fleet_tools.py"])
    (tmp_path / "test_fleet_tools.py").write_text(TEXTS["test_fleet_tools.py"])
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--rootdir", "."]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 passed" in done.stdout


def test_every_hook_is_in_the_table_and_no_other() -> None:
    named = set(re.findall(r"^\| `(trimtab_\w+)` \|", SECTIONS["The hooks"], re.MULTILINE))
    assert named == {name for name in vars(hookspecs) if name.startswith("trimtab_")}


def test_every_name_of_the_door_is_explained() -> None:
    text = SECTIONS["The names of `trimtab.api`"]
    assert not {name for name in trimtab.api.__all__ if not re.search(rf"`{name}\b", text)}


def test_every_double_is_named() -> None:
    text = SECTIONS["Testing a plugin"]
    assert not {name for name in trimtab.testing.__all__ if f"`{name}`" not in text} - {"Rejected"}
