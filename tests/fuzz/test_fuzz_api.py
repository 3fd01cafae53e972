"""Any request to a running host, made from its own OpenAPI document, is answered as the document says."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import httpx
import pytest

from tests.e2e.project import PATIENCE, Project, eventually, running
from tests.fuzz.effort import EFFORT

EXAMPLES = 20
"""Requests a route beside those for the bounds of each parameter, which are always sent."""

SOURCES = """
[sources.hooks]
type = "http"
[sources.notes]
type = "http"
codec = "text"
token = "token-of-notes"
"""
HOOKS = """
from trimtab import emit, handler

@handler(source="hooks")
def hooks(event, ctx):
    emit("out", event["n"])
"""
NOTES = "export const source = 'notes';\nexport const handle = (event) => event.x.y;\n"

# Whether a name or an id is known is not in the document: valid requests may be refused.
UNCHECKED = "positive_data_acceptance"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A host with two versions of a script, dead letters, and HTTP sources."""
    project = Project(tmp_path_factory.mktemp("fuzzed"), lanes=1, extra=SOURCES)
    project.save("hooks.py", HOOKS + "# first\n")
    project.save("notes.js", NOTES)
    with running(project):
        httpx.post(f"{project.url}/sources/hooks", json=[{}, 1, None], trust_env=False).raise_for_status()
        eventually(lambda: len(project.letters()) == 3, "three dead letters")
        project.save("hooks.py", HOOKS)
        eventually(lambda: project.script("hooks.py").get("seq") == 2, "the second version runs")
        yield project


def schemathesis(project: Project) -> subprocess.CompletedProcess[str]:
    """Fuzz the control API of a host."""
    token = (project.folder / ".trimtab" / "control.token").read_text().strip()
    config = project.folder / "schemathesis.toml"
    config.write_text(f"[auth.openapi]\ncontrol.bearer = '{token}'\nsource.bearer = 'token-of-notes'\n")
    command = [sys.executable, "-c", "from schemathesis.cli import schemathesis; schemathesis()"]
    how = ["--phases", "coverage,fuzzing", "--max-examples", str(EXAMPLES * EFFORT), "--exclude-checks", UNCHECKED]
    how += ["--generation-deterministic"] if EFFORT == 1 else []
    how += ["--request-timeout", str(PATIENCE), "--no-color"]
    return subprocess.run(
        [*command, "--config-file", str(config), "run", f"{project.url}/openapi.json", *how],
        cwd=project.folder,
        capture_output=True,
        text=True,
        check=False,
    )


def test_any_request_is_answered_as_the_document_says_and_the_host_lives_on(project: Project) -> None:
    done = schemathesis(project)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Selected: 14/14" in done.stdout, done.stdout
    project.save("hooks.py", HOOKS + "# again\n")
    eventually(lambda: "again" in project.ask("/api/show?name=hooks.py")["content"], "a new version runs")
    httpx.post(f"{project.url}/sources/hooks", json={"n": "after all"}, trust_env=False).raise_for_status()
    eventually(lambda: "after all" in project.emitted(), "events are handled")
    assert all(lane["restarts"] == 0 for lane in project.status()["lanes"])
    assert not [entry for entry in project.logged() if "exception" in entry]


def test_the_status_of_a_running_host_has_no_field_that_the_document_lacks(project: Project) -> None:
    schemas = project.ask("/openapi.json")["components"]["schemas"]
    status = project.ask("/api/status")
    assert set(status) == set(schemas["Status"]["properties"])
    for part, schema in (("scripts", "ScriptStatus"), ("lanes", "LaneStatus")):
        assert {field for each in status[part] for field in each} == set(schemas[schema]["properties"])
    for part, schema in (("sources", "SourceStatus"), ("sinks", "SinkStatus"), ("discoverers", "DiscovererStatus")):
        assert {field for each in status[part].values() for field in each} == set(schemas[schema]["properties"])
