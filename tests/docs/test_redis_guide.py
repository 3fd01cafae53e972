"""The guide to the binding ``redis``: its examples are run, in both languages, on each form of a Redis."""

from __future__ import annotations

import json
import re

import pytest

from tests.docs.documents import GUIDES, Example, examples, sections
from tests.redis.conftest import (  # noqa: F401 - fixtures
    AnyRedis,
    any_redis,
    empty_redis,
    redis_cluster,
    redis_sentinel,
    redis_server,
)
from trimtab.bindings import redis as types
from trimtab.plugins.redis.binding import Redis
from trimtab.plugins.redis.commands import REFUSED
from trimtab.testing import ScriptRunner

PAGE = GUIDES / "bindings" / "redis.md"


@pytest.mark.parametrize("example", list(examples(PAGE)), ids=lambda example: example.title)
def test_an_example_emits_what_the_guide_shows(example: Example, empty_redis: AnyRedis) -> None:  # noqa: F811 - the fixture
    with ScriptRunner({"redis.cache": {"url": empty_redis.url}}, confined=True) as runner:
        runner.load(**{example.title.replace(".", "__"): example.script})
        handled = runner.handle({"page": "home"})
    assert handled.faults == []
    assert handled.emitted == [json.loads(example.emitted)]


def test_editors_know_every_method() -> None:
    known = {name for name in vars(types.Redis) if not name.startswith("_")}
    assert known == {*Redis.methods, *Redis.scopes}


def test_what_the_guide_calls_refused_is_refused() -> None:
    section = sections(PAGE)["What is refused"].partition("Commands that wait")[0]
    assert set(re.findall(r"`([A-Z ]+)`", section)) <= set(REFUSED)
