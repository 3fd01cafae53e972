"""Any request to a running host, made from its own OpenAPI document, is answered as the document says."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import schemathesis
from hypothesis import settings
from schemathesis.checks import CHECKS, not_a_server_error

from tests.e2e.project import PATIENCE, Project, eventually, running

SOURCES = """
[sources.hooks]
type = "http"
[sources.notes]
type = "http"
codec = "text"
token = "the-token"
"""
SCRIPT = """
from trimtab import emit, handler

@handler(source="hooks")
def hooks(event, ctx):
    emit("out", event["n"])
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    project = Project(tmp_path_factory.mktemp("fuzzed"), lanes=1, extra=SOURCES)
    project.save("work.py", SCRIPT)
    project.save("noted.js", "export const source = 'notes';\nexport function handle(event) { event.x.y; }\n")
    with running(project):
        yield project


@pytest.fixture(scope="module")
def schema(project: Project) -> schemathesis.BaseSchema:
    return schemathesis.openapi.from_url(f"{project.url}/openapi.json")


lazy = schemathesis.pytest.from_fixture("schema")


@lazy.parametrize()
@settings(max_examples=20, deadline=None, derandomize=True)
def test_any_request_is_answered_as_the_document_says(case: schemathesis.Case, project: Project) -> None:
    token = (project.folder / ".trimtab" / "control.token").read_text().strip()
    if "/sources" in case.path: token = "the-token"
    case.call_and_validate(headers={"Authorization": f"Bearer {token}"}, timeout=PATIENCE)
