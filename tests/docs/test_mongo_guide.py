"""The guide to the binding ``mongo``: its examples are run, in both languages, against a real server."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.documents import GUIDES, Example, examples, sections
from tests.servers.mongo_server import MongoServer
from trimtab.bindings.mongo import Collection
from trimtab.engine.objects import camel_case
from trimtab.plugins.mongo.collection import MongoCollection
from trimtab.testing.scripts import ScriptRunner

PAGE = GUIDES / "bindings" / "mongo.md"
EVENT = {"vehicle": "v1", "speed": 0}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MongoServer]:
    with MongoServer(tmp_path_factory.mktemp("mongo")) as running:
        yield running


@pytest.mark.parametrize("example", list(examples(PAGE)), ids=lambda example: example.title)
def test_an_example_emits_what_the_guide_shows(server: MongoServer, example: Example) -> None:
    with server.client() as client:
        client.drop_database("fleet")
    with ScriptRunner({"mongo.logs": {"url": server.url, "database": "fleet", "timeout": "20s"}}) as runner:
        timeout = "export const timeout = 20;\n" if example.title.endswith("js") else "timeout = 20\n"
        runner.load(**{example.title.replace(".", "__"): example.script + timeout})
        handled = runner.handle(EVENT)
    assert handled.faults == []
    assert handled.emitted == [json.loads(line) for line in example.emitted.splitlines()]


def test_every_example_is_there_in_both_languages() -> None:
    titles = {example.title for example in examples(PAGE)}
    assert {Path(title).stem for title in titles if title.endswith(".py")} == {
        Path(title).stem for title in titles if title.endswith(".js")
    }


def named(section: str) -> set[str]:
    """The names in the first column of the tables of a section."""
    rows = re.findall(r"^\| (`.+?) \|", sections(PAGE)[section], re.MULTILINE)
    return {name for row in rows for name in re.findall(r"`(\w+)", row)}


def test_every_method_is_in_the_guide_and_known_to_editors() -> None:
    assert named("MongoDB") >= {camel_case(name) for name in MongoCollection.methods}
    assert {name for name in vars(Collection) if not name.startswith("_")} == MongoCollection.methods


def test_every_option_of_find_is_in_the_guide_and_known_to_editors() -> None:
    options = set(MongoCollection.find.__kwdefaults__ or ())
    assert named("find") == options == set(Collection.find.__kwdefaults__ or ())
