"""The guide to Lofka scripts: its examples are run against real servers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import pairwise

import pytest

from tests.docs.documents import GUIDES, Block, blocks
from tests.lofka.lofka_http import echoing
from tests.servers.mongo_server import MongoServer
from tests.servers.redis_servers import RedisServer
from tests.servers.sql_servers import PASSWORD, USER, PostgresServer
from trimtab.sandbox.javascript.interpreter import BareInterpreter
from trimtab.testing.scripts import ScriptRunner

PAGE = GUIDES / "lofka.md"
NOT_SHOWN = {
    *(
        "javax",
        "javafx",
        "com",
        "edu",
        "org",
        "Packages",
        "Lists",
        "Document",
        "__ENGINE_TOOLS",
        "get_tool_type",
    ),  # of the JVM
    *("MongoCollection", "MongoIterable"),
}
"""Names that the guide has no need of."""


def examples() -> Iterator[tuple[Block, Block]]:
    """Each script, and the block that shows what it emits."""
    for block, following in pairwise(blocks(PAGE)):
        if block.language == "js":
            yield block, following


@pytest.fixture(scope="module")
def addresses(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """What stands for the addresses of the page."""
    postgres = PostgresServer()
    try:
        postgres.start()
        folder = tmp_path_factory.mktemp("lofka_guide")
        with MongoServer(folder) as mongo, RedisServer(folder) as redis, echoing() as http:
            yield {
                "http://sms.internal": http.url,
                '"h1:7001", "h2:7002"': f'"{redis.address}"',
                "jdbc:postgresql://db:5432/orders": postgres.jdbc_url,
                '"user": "app"': f'"user": "{USER}"',
                '"password": "secret"': f'"password": "{PASSWORD}"',
                "mongo1:27017,mongo2:27017": mongo.address,
                '"auth": "user:password@database"': '"auth": ""',
                "redis": redis.url,
            }
    finally:
        postgres.remove()


@pytest.mark.parametrize(("script", "shown"), list(examples()), ids=lambda block: block.title or "")
def test_a_script_emits_what_the_guide_shows(script: Block, shown: Block, addresses: dict[str, str]) -> None:
    event = next(block.text for block in blocks(PAGE) if block.title == "event.json")
    text = script.text
    for written, real in addresses.items():
        text = text.replace(written, real) if written != "redis" else text
    resources = {"redis.cache": {"url": addresses["redis"]}}
    with ScriptRunner(resources=resources, settings={"lofka": {"sink": "out", "timeout": "10s"}}) as runner:
        runner.load(example__js=text)
        handled = runner.handle(json.loads(event))
    assert (handled.faults, handled.emitted) == ([], json.loads(shown.text))


def test_every_example_shows_what_it_emits() -> None:
    assert {following.language for _block, following in examples()} == {"json"}


def test_every_global_name_for_scripts_is_in_the_guide() -> None:
    listed = "Object.getOwnPropertyNames(globalThis)"
    bare = set(BareInterpreter().evaluate(listed.encode(), b"{}")) | {"__trimtab_require"}
    with ScriptRunner() as runner:
        runner.load(a__js=f"console.logJSON({listed});\nfunction processing_data() {{}}")
        names = set(json.loads(runner.logged[0].message)) - bare - {"processing_data"}
    assert {"$", "RedisCluster", "sleep"} <= names
    page = PAGE.read_text()
    assert {name for name in names - NOT_SHOWN if name not in page} == set()
