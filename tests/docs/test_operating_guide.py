"""The operator's guide: no key, command, option, route, field or file is missing from it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import typer.core
from starlette.routing import BaseRoute, Mount, Route

from tests.control.still_host import StillHost
from tests.docs.documents import GUIDES, sections
from tests.e2e.project import Project, eventually, running
from trimtab.cli.main import app
from trimtab.config import KeyReference, reference
from trimtab.control.app import create_app
from trimtab.plugin_manager import Plugins

PAGES = (GUIDES / "operating.md", GUIDES / "discovery.md", *sorted((GUIDES / "bindings").glob("*.md")))
SECTIONS = {heading: text for page in reversed(PAGES) for heading, text in sections(page).items()}

_VALUE = re.compile(r"['\d]|true$|false$")


# --- configuration ---


def row(key: KeyReference) -> str:
    """How a key stands in its table. The dash: it must be given. A default that depends is said in words."""
    default = "—" if key.default is None else f"`{key.default}`" if _VALUE.match(key.default) else key.default
    cells = [f"`{key.path.rpartition('.')[2]}`", key.type, default, key.description]
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def keys() -> list[KeyReference]:
    return list(reference(Plugins.load()))


def section_of(key: KeyReference) -> str:
    place = key.path.rpartition(".")[0]
    return f"`[{place}]`" if key.kind is None else f'`[{place}]` with `type = "{key.kind}"`'


@pytest.mark.parametrize("key", keys(), ids=lambda key: f"{key.path} {key.kind or ''}".strip())
def test_a_key_stands_in_its_table_as_the_code_declares_it(key: KeyReference) -> None:
    assert row(key) in SECTIONS[section_of(key)].splitlines()


def test_every_type_of_source_and_sink_has_a_section_and_every_codec_is_named() -> None:
    plugins = Plugins.load()
    for kind in plugins.source_kinds():
        assert f'`[sources.NAME]` with `type = "{kind}"`' in SECTIONS
    for kind in plugins.sink_kinds():
        assert f'`[sinks.NAME]` with `type = "{kind}"`' in SECTIONS
    for kind in plugins.discoverer_kinds():
        assert f'`[discoverers.NAME]` with `type = "{kind}"`' in SECTIONS
    for codec in plugins.codecs():
        assert f"`{codec}`" in SECTIONS["Codecs"]


# --- command line ---


def commands(group: typer.core.TyperGroup, prefix: str = "trimtab") -> Iterator[tuple[str, typer.core.TyperCommand]]:
    for name, command in group.commands.items():
        if isinstance(command, typer.core.TyperGroup):
            yield from commands(command, f"{prefix} {name}")
        elif isinstance(command, typer.core.TyperCommand):
            yield f"{prefix} {name}", command


def all_commands() -> dict[str, typer.core.TyperCommand]:
    root = typer.main.get_command(app)
    assert isinstance(root, typer.core.TyperGroup)
    return dict(commands(root))


@pytest.mark.parametrize("name", all_commands())
def test_a_command_has_a_section_with_all_its_options(name: str) -> None:
    text = SECTIONS[f"`{name}`"]
    options = {option for parameter in all_commands()[name].params for option in parameter.opts if option[:2] == "--"}
    missing = {option for option in options - {"--config", "--json"} if not re.search(rf"{option}\b(?!-)", text)}
    assert not missing
    assert ("--json" not in options) or "`--json`" in SECTIONS["Command line"]


def test_the_guide_names_no_command_that_there_is_not() -> None:
    named = {heading.strip("`") for heading in SECTIONS if heading.startswith("`trimtab ")}
    assert named == set(all_commands())


# --- control API ---


def routes(found: list[BaseRoute], prefix: str = "") -> Iterator[str]:
    for route in found:
        if isinstance(route, Route):
            method = "POST" if "POST" in (route.methods or ()) else "GET"
            yield f"`{method} {prefix}{route.path.replace(':int', '')}`"
        elif isinstance(route, Mount) and route.path != "/sources":
            yield from routes(list(route.routes), prefix + route.path)


def test_every_route_of_the_control_api_is_named(tmp_path: Path) -> None:
    host = StillHost(tmp_path)
    try:
        found = set(routes(list(create_app(host, "token").routes)))
    finally:
        host.close()
    assert found >= {"`GET /healthz`", "`GET /api/status`", "`POST /api/rollback`"}
    assert not {route for route in found if route not in SECTIONS["Control API"]}


# --- a host that runs ---


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A running host that has handled an event, with a resource."""
    project = Project(tmp_path_factory.mktemp("operating"), lanes=1, extra="[resources.http.default]")
    project.save("work.ts", "import { emit } from 'trimtab';\nexport const handle = (e: number) => emit('out', e);\n")
    with running(project):
        project.send(1)
        eventually(project.emitted, "the event is handled")
        yield project


PARTS = ("sources", "sinks", "resources", "settings", "discoverers")


def fields(document: Any, named: tuple[str, ...] = (*PARTS, "scripts", "lanes")) -> Iterator[str]:
    """The paths of a status document, with the names of the parts left out."""
    for name, value in document.items():
        if name in ("checkpoint", "rules"):
            yield from (f"{name}.{field}" for field in value)
        elif name not in named:
            yield name
        elif isinstance(value, Mapping):
            yield from (f"{name}.NAME.{field}" for part in value.values() for field in part)
        else:
            yield from (f"{name}[].{field}" for part in value for field in part)


def test_every_field_of_the_status_is_explained_and_no_other(project: Project) -> None:
    explained = set(re.findall(r"^\| `([^`]+)` \|", SECTIONS["Status"], re.MULTILINE))
    assert explained == set(fields(project.status()))


def test_every_file_of_the_state_folder_is_explained(project: Project) -> None:
    explained = set(re.findall(r"^\| `([^`]+)` \|", SECTIONS["The state folder"], re.MULTILINE))
    there = {path.name for path in (project.folder / ".trimtab").iterdir()}
    assert {re.sub(r"-(wal|shm)$", "", name) for name in there} == {name.rstrip("/") for name in explained}


def test_every_field_of_a_dead_letter_is_explained(project: Project) -> None:
    project.save("fails.py", "def handle(event, ctx):\n    event.x\n")
    eventually(lambda: project.script("fails.py"), "the script runs")
    project.send(2)
    letter = eventually(project.letters, "a dead letter")[0]
    explained = set(re.findall(r"^\| `(\w+)` \|", SECTIONS["Dead letters"], re.MULTILINE))
    assert explained == set(letter)


def test_the_answer_to_a_rollback_is_as_shown(project: Project) -> None:
    project.save("work.ts", "export const handle = () => {};\n")
    eventually(lambda: project.script("work.ts").get("seq") == 2, "the second version runs")
    answer = json.loads(project.trimtab("rollback", "work.ts", "--json").stdout)
    shown = set(re.findall(r'"(\w+)":', SECTIONS["`trimtab rollback`"]))
    assert set(answer) <= shown
