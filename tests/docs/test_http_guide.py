"""The guide to the binding ``http``: its examples are run, in both languages, against a real server."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from tests.docs.documents import GUIDES, Example, examples, sections
from tests.http.http_servers import Reply, Site, Visit
from tests.servers.programs import free_port
from trimtab.bindings.http import Options, Requests, Response
from trimtab.plugins.http.options import CALL_OPTIONS
from trimtab.testing.scripts import ScriptRunner

PAGE = GUIDES / "bindings" / "http.md"
PLACE = "127.0.0.1:8080"


def echo(visit: Visit) -> Reply:
    seen = {"method": visit.method, "path": visit.path, "body": visit.body.decode("latin-1")}
    return Reply(200, json.dumps(seen).encode())


@pytest.mark.parametrize("example", list(examples(PAGE)), ids=lambda example: example.title)
def test_an_example_emits_what_the_guide_shows(example: Example) -> None:
    site = Site(echo)
    with site.serving() as url:
        resources: dict[str, dict[str, Any]] = {
            "http.shop": {"base_url": f"{url}/api", "token": "t0ken"},
            "http.default": {"allow": [f"127.0.0.1:{site.port}"]},
            "http.closed": {"base_url": f"http://127.0.0.1:{free_port()}"},
        }
        with ScriptRunner(resources=resources, confined=True) as runner:
            name = example.title.replace(".", "__")
            runner.load(**{name: example.script.replace(PLACE, f"127.0.0.1:{site.port}")})
            handled = runner.handle({"item": "bolt"})
    assert handled.faults == []
    assert handled.emitted == [json.loads(example.emitted.replace(PLACE, f"127.0.0.1:{site.port}"))]


def named(section: str) -> set[str]:
    """The names in the first column of the tables of a section."""
    rows = re.findall(r"^\| (`.+?) \|", sections(PAGE)[section], re.MULTILINE)
    return {name for row in rows for name in re.findall(r"`(\w+)", row)}


def test_every_option_and_method_is_in_the_guide_and_known_to_editors() -> None:
    methods = {name for name in vars(Requests) if not name.startswith("_")}
    assert named("Requests") == {*methods, *CALL_OPTIONS}
    assert set(Options.__annotations__) == set(CALL_OPTIONS)


def test_every_name_of_an_answer_is_in_the_guide() -> None:
    assert named("The answer") == {name for name in vars(Response) if not name.startswith("_")}
